package main

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain lets the program start itself as a server, as it does when it is not
// a test, and fails the run when goroutines are left behind.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-serve" {
		main()
		return
	}
	slog.SetDefault(slog.New(slog.DiscardHandler)) // zitadel tells of every wrong secret
	before := runtime.NumGoroutine()
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	for wait := time.Millisecond; runtime.NumGoroutine() > before; wait *= 2 {
		if wait > 10*time.Second {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines leaked:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			os.Exit(1)
		}
		time.Sleep(wait)
	}
	os.Exit(code)
}

// The whole program, with rounds too short for figures.
func TestRun(t *testing.T) {
	t.Chdir(t.TempDir())
	rounds := "2"
	if testing.Short() {
		rounds = "1"
	}
	args := []string{"-rounds", rounds, "-slice", "1ms", "-verdicts", "1000", "-wire", "1s", "-write"}
	var out strings.Builder
	if err := run(t.Context(), args, strings.NewReader(""), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	report := out.String()
	for _, want := range []string{
		"# Benchmarks", "`go run . " + strings.Join(args, " ") + "`", "## Validation", "## Refusal of junk", "## Issuance",
		"## Growth", "## Two cores", "## Stalls", "## Key fetches", "## Under attack", "## Over the wire", "## Reach",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	for _, row := range targets {
		line := tableRow(report, row.what)
		if line == "" {
			t.Errorf("the last table lacks %q", row.what)
		}
		unmeasured := strings.Contains(line, "not measured")
		want := row.key == "again wire" && wrk() == "" || row.key == "issue PostgreSQL" && os.Getenv("POSTGRES_URL") == "" ||
			strings.HasPrefix(row.key, "cores ") && runtime.GOMAXPROCS(0) < 2
		if unmeasured != want {
			t.Errorf("%q: not measured = %v, want %v", row.what, unmeasured, want)
		}
	}
	if row := tableRow(report, "Key fetches for 300 forged kids"); !strings.Contains(row, "| yes ") { // a count, not a time
		t.Error(row)
	}
	if left := strings.Contains(report, noPostgres); left != (os.Getenv("POSTGRES_URL") == "") {
		t.Errorf("PostgreSQL left out = %v", left)
	}
	if left := strings.Contains(report, noWrk); left != (wrk() == "") {
		t.Errorf("wrk left out = %v", left)
	}
	if strings.Contains(report, "NaN") || strings.Contains(report, "%!") {
		t.Errorf("the report has figures that are none:\n%s", report)
	}
	if written := string(must(os.ReadFile("RESULTS.md"))); written != report {
		t.Error("RESULTS.md is not what was printed")
	}
	checkSVG(t, string(must(os.ReadFile("results.svg"))))
}

// tableRow is the line of the last table that begins so.
func tableRow(report, first string) string {
	_, reach, _ := strings.Cut(report, "## Reach")
	for line := range strings.Lines(reach) {
		if strings.HasPrefix(line, "| "+first+" ") {
			return line
		}
	}
	return ""
}

func TestFlags(t *testing.T) {
	s := must(parse([]string{"-quick", "-rounds", "5"}, io.Discard))
	if s.rounds != 5 || s.slice != 10*time.Millisecond || s.verdicts != 20_000 {
		t.Errorf("-quick gives way to what is given: %+v", s)
	}
	if s := must(parse(nil, io.Discard)); s.verdicts != 1_000_000 || s.write != "" {
		t.Errorf("defaults: %+v", s)
	}
	for _, args := range [][]string{{"-only", "validation,nothing"}, {"-rounds", "0"}, {"-slice", "-1s"}, {"-verdicts", "10"}, {"more"}, {"-unknown"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
	if _, err := parse([]string{"-h"}, io.Discard); err != flag.ErrHelp {
		t.Errorf("-h: %v", err)
	}
}

func TestServeUnknown(t *testing.T) {
	if err := run(t.Context(), []string{"-serve", "nobody"}, strings.NewReader(""), io.Discard, io.Discard); err == nil {
		t.Error("a contestant that does not exist is served")
	}
}
