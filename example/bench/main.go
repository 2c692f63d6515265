// Command bench measures this library beside others that do the same job, beside
// the least that any implementation does, and against its targets. All figures of
// a table come from one run in which the contestants take turns, so the ratios hold
// on a machine whose speed varies.
//
//	go run .            # everything, in some ten minutes
//	go run . -quick     # the same with short rounds, to see that it works
//	go run . -write     # also writes RESULTS.md and results.svg
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// gcPercent makes up for a small heap. Here 2 MB are live, which Go by default would
// collect 200 times a second, and so the figures would mostly show the collector.
// GOGC in the environment is obeyed, here and in the server of the wire section.
const gcPercent = 400

// section is a part of the report.
type section struct {
	name string
	run  func(ctx context.Context, b *bench) error
}

var sections = []section{
	{"validation", validation},
	{"junk", refusals},
	{"issuance", issuance},
	{"growth", growth},
	{"cores", cores},
	{"stalls", stalls},
	{"fetches", fetches},
	{"attack", attack},
	{"wire", overTheWire},
}

// settings are the flags.
type settings struct {
	rounds   int
	slice    time.Duration
	verdicts int
	wire     time.Duration
	only     string
	write    string
	quick    bool
	serve    string // hidden: be the server of the wire section
}

func parse(args []string, errOut io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.IntVar(&s.rounds, "rounds", 15, "rounds, in each of which every contestant has its turn")
	flags.DurationVar(&s.slice, "slice", 100*time.Millisecond, "time of one contestant in one round")
	flags.IntVar(&s.verdicts, "verdicts", 1_000_000, "cached verdicts, revocations and clients of the growth test")
	flags.DurationVar(&s.wire, "wire", 2*time.Second, "time of one contestant in one round over the wire")
	flags.StringVar(&s.only, "only", "", "sections to run, separated by commas (default all): "+strings.Join(sectionNames(), ","))
	write := flags.Bool("write", false, "also write RESULTS.md and results.svg here")
	flags.BoolVar(&s.quick, "quick", false, "short rounds and small tests: shows that it works, not how fast it is")
	flags.StringVar(&s.serve, "serve", "", "used by the program itself")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if *write {
		s.write = "."
	}
	if s.quick {
		given := map[string]bool{}
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		for name, value := range map[string]string{"rounds": "3", "slice": "10ms", "verdicts": "20000", "wire": "300ms"} {
			if !given[name] {
				if err := flags.Set(name, value); err != nil {
					return s, err
				}
			}
		}
	}
	switch {
	case flags.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case s.rounds < 1 || s.slice <= 0 || s.wire <= 0:
		return s, errors.New("-rounds, -slice and -wire must be above zero")
	case s.verdicts < 1000:
		return s, errors.New("-verdicts must be at least 1000")
	}
	for name := range strings.SplitSeq(s.only, ",") {
		if name != "" && !slices.Contains(sectionNames(), name) {
			return s, fmt.Errorf("-only: there is no section %q, there are %s", name, strings.Join(sectionNames(), ","))
		}
	}
	return s, nil
}

func sectionNames() []string {
	names := make([]string, 0, len(sections))
	for _, s := range sections {
		names = append(names, s.name)
	}
	return names
}

func run(ctx context.Context, args []string, in io.Reader, out, progress io.Writer) error {
	s, err := parse(args, progress)
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if s.serve != "" {
		return serve(ctx, s.serve, in, out)
	}
	var report strings.Builder
	b := &bench{
		plan: plan{rounds: s.rounds, slice: s.slice}, verdicts: s.verdicts, wire: s.wire,
		out: io.MultiWriter(out, &report),
	}
	began := time.Now()
	b.preamble(strings.Join(append([]string{"go run ."}, args...), " "), began)
	wanted := strings.Split(s.only, ",")
	for _, section := range sections {
		if s.only != "" && !slices.Contains(wanted, section.name) {
			continue
		}
		fmt.Fprintf(progress, "%v %s\n", time.Since(began).Round(time.Second), section.name)
		if err := section.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", section.name, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	b.reach()
	fmt.Fprintf(progress, "%v done\n", time.Since(began).Round(time.Second))
	if s.write == "" {
		return nil
	}
	return errors.Join(
		os.WriteFile(filepath.Join(s.write, "RESULTS.md"), []byte(report.String()), 0o600),
		os.WriteFile(filepath.Join(s.write, "results.svg"), []byte(b.charts.svg()), 0o600),
	)
}
