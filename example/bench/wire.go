package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const noWrk = "left out: wrk is not installed (Debian: apt-get install wrk)"

const wireRounds = 5 // of all, each of which takes seconds

// overTheWire is requests per second through a real server in a process of its
// own, on one core, with wrk on the other.
func overTheWire(ctx context.Context, b *bench) (err error) {
	b.heading("Over the wire", "Requests/s over loopback, ES256, the same token each time: `wrk -t1 -c16`, the server a process of its own with GOMAXPROCS=1.")
	generator := wrk()
	if generator == "" {
		b.note("This section is %s.", noWrk)
		return nil
	}
	names := []string{noAuth, m2mAgain, lean}
	for _, p := range peers {
		names = append(names, p.name)
	}
	var servers []*served
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.Close())
		}
	}()
	for _, name := range names {
		s, err := launch(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		servers = append(servers, s)
	}
	rates, err := race(ctx, servers, b.plan.atMost(wireRounds).rounds, generator, b.wire)
	if err != nil {
		return err
	}
	pairs, err := race(ctx, servers[:2], b.plan.rounds, generator, b.wire) // hard to tell apart
	if err != nil {
		return err
	}
	t := &table{head: []string{"", "requests/s", "× no auth"}}
	for i, name := range names {
		t.add(name, grouped(fmt.Sprintf("%.0f", spreadOf(rates[i]).median)), ratioSpread(rates[i], rates[0]).String())
	}
	t.write(b.out)
	ours := ratioSpread(pairs[1], pairs[0])
	b.note("The first two once more, by themselves and in turn, %d times: × no auth %v.", len(pairs[0]), ours)
	b.found("again wire", true, "%v", ours)
	return nil
}

// race is the requests per second that each server takes, one value a round.
func race(ctx context.Context, servers []*served, rounds int, generator string, during time.Duration) ([][]float64, error) {
	rates := make([][]float64, len(servers))
	for round := range rounds {
		for _, i := range order(len(servers), round) {
			rate, err := servers[i].load(ctx, generator, during)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", servers[i].command.Args[2], err)
			}
			rates[i] = append(rates[i], rate)
		}
	}
	return rates, nil
}

// served is a server in another process. It lives as long as its standard input.
type served struct {
	command    *exec.Cmd
	input      io.Closer
	url        string
	credential string
}

func launch(ctx context.Context, name string) (*served, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &served{command: exec.CommandContext(ctx, program, "-serve", name)} //nolint:gosec // G204: this very program
	s.command.Env = append(os.Environ(), "GOMAXPROCS=1")
	s.command.Stderr = os.Stderr
	input, err := s.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := s.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	s.input = input
	lines := bufio.NewScanner(output)
	for _, into := range []*string{&s.url, &s.credential} {
		if !lines.Scan() {
			return nil, errors.Join(errors.New("the server did not start"), lines.Err(), s.Close())
		}
		*into = lines.Text()
	}
	return s, nil
}

func (s *served) Close() error {
	return errors.Join(s.input.Close(), s.command.Wait())
}

var perSecond = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)

// load is the requests per second that the server takes. wrk counts in whole
// seconds.
func (s *served) load(ctx context.Context, generator string, during time.Duration) (float64, error) {
	seconds := strconv.Itoa(int(math.Ceil(during.Seconds()))) + "s"
	command := exec.CommandContext(ctx, generator, "-t1", "-c16", "-d"+seconds, //nolint:gosec // G204: wrk, from the PATH
		"-H", "Authorization: "+s.credential, s.url)
	output, err := command.CombinedOutput()
	found := perSecond.FindSubmatch(output)
	if err != nil {
		return 0, fmt.Errorf("wrk: %w\n%s", err, output)
	}
	if found == nil || strings.Contains(string(output), "Non-2xx") || strings.Contains(string(output), "Socket errors") {
		return 0, fmt.Errorf("wrk met with errors:\n%s", output)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

// serve is the other process: it says where it listens and with which credential
// it lets callers in, and ends when its input does.
func serve(ctx context.Context, name string, in io.Reader, out io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w, err := newWorld("ES256")
	if err != nil {
		return err
	}
	defer w.Close()
	keys := publish(w)
	defer keys.Close()
	guards, err := allGuards(ctx, w, keys.URL)
	if err != nil {
		return err
	}
	credentials, err := w.credentials(1)
	if err != nil {
		return err
	}
	for _, g := range guards {
		if g.name != name {
			continue
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		server := &http.Server{Handler: g.route(), ReadHeaderTimeout: time.Minute}
		fmt.Fprintf(out, "http://%s%s\n%s\n", listener.Addr(), routePath, credentials[0])
		go func() {
			_, _ = io.Copy(io.Discard, in) // only its end matters
			_ = server.Close()             // it has nothing to save
		}()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
	return fmt.Errorf("no contestant is called %q", name)
}
