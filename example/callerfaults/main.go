// Command callerfaults provokes ten faults of golang.org/x/oauth2/clientcredentials, in
// that package and in middleware/outbound, side by side. Both run with their defaults against
// servers on the loopback. It prints what happened as a Markdown table, after about 11 s.
// It ends with status 1 if middleware/outbound has one of the faults.
//
//	go run ./example/callerfaults
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"
)

func main() {
	switch err := usage(os.Args[1:], os.Stdout); {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		log.Fatal("callerfaults: ", err)
	}
	rows, err := compare(context.Background(), oauth2Library, outboundLibrary)
	if err != nil {
		log.Fatal(err)
	}
	write(os.Stdout, rows, oauth2Library, outboundLibrary)
	bad := faulty(rows, 1)
	for _, f := range bad {
		log.Printf("fault %s: %s: %s", f.number, f.event, outboundLibrary.name)
	}
	if len(bad) > 0 {
		os.Exit(1)
	}
}

const help = `callerfaults puts ten faults of golang.org/x/oauth2/clientcredentials to that package and to
middleware/outbound, and prints a Markdown table after about 11 s. It takes no arguments. Exit status: 1 if
middleware/outbound has one of the faults.
`

// usage returns an error if there are arguments: flag.ErrHelp after it has printed the help.
func usage(args []string, out io.Writer) error {
	switch {
	case len(args) == 0:
		return nil
	case slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]):
		if _, err := io.WriteString(out, help); err != nil {
			return err
		}
		return flag.ErrHelp
	}
	return fmt.Errorf("%q: the only argument is help", args[0])
}

// row is what happened to each library with one fault.
type row struct {
	fault
	findings []finding
}

// finding is what a library did, and whether that is the fault.
type finding struct {
	text  string
	fault bool
}

// compare puts every fault to every library, all at once. Each has servers of its own.
func compare(ctx context.Context, libraries ...library) ([]row, error) {
	rows := make([]row, len(faults))
	group, ctx := errgroup.WithContext(ctx)
	for i, f := range faults {
		rows[i] = row{f, make([]finding, len(libraries))}
		for column, l := range libraries {
			group.Go(func() error {
				found, err := put(ctx, f, l)
				if err != nil {
					return fmt.Errorf("fault %s, %s, %s: %w", f.number, f.event, l.name, err)
				}
				rows[i].findings[column] = found
				return nil
			})
		}
	}
	return rows, group.Wait()
}

// put puts one fault to one library. What was found while the machine was too busy to tell
// is tried anew, a few times at most.
func put(ctx context.Context, f fault, l library) (found finding, err error) {
	for range 5 {
		s, failed := newStage(l)
		if failed != nil {
			return finding{}, failed
		}
		stalled := watchStalls()
		found, err = f.try(ctx, s)
		s.close()
		if !stalled() {
			return found, err
		}
	}
	return found, err
}

// faulty returns the faults that a library has.
func faulty(rows []row, column int) (bad []fault) {
	for _, r := range rows {
		if r.findings[column].fault {
			bad = append(bad, r.fault)
		}
	}
	return bad
}

// write writes the table.
func write(out io.Writer, rows []row, libraries ...library) {
	line, rule := "| | what happens |", "|---|---|"
	for _, l := range libraries {
		line, rule = line+" "+l.name+" |", rule+"---|"
	}
	fmt.Fprintf(out, "%s\n%s\n", line, rule)
	for _, r := range rows {
		fmt.Fprintf(out, "| %s | %s |", r.number, r.event)
		for _, f := range r.findings {
			fmt.Fprintf(out, " %s |", f.text)
		}
		fmt.Fprintln(out)
	}
}
