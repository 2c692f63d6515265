package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// bench is one run of the program, which writes a report.
type bench struct {
	plan     plan
	verdicts int // the size of the growth and stall tests
	wire     time.Duration
	out      io.Writer // Markdown
	findings findings
	charts   charts
}

func (b *bench) heading(title, text string, values ...any) {
	fmt.Fprintf(b.out, "## %s\n\n", title)
	fmt.Fprintf(b.out, text+"\n\n", values...)
}

func (b *bench) note(text string, values ...any) { fmt.Fprintf(b.out, text+"\n\n", values...) }

// preamble says what the figures were measured on and how to measure them again.
func (b *bench) preamble(command string, now time.Time) {
	fmt.Fprintf(b.out, "# Benchmarks\n\nGo %s, %s, %d cores, %s/%s, %s; %d rounds of %v for each contestant. Command, in `example/bench`: `%s`\n\n",
		strings.TrimPrefix(runtime.Version(), "go"), processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH,
		now.UTC().Format(time.DateOnly), b.plan.rounds, b.plan.slice, command)
	b.note("Contestants take turns in every round, in another order each time. Times and allocations are medians over the rounds; a ratio is taken within\n"+
		"each round and shown as median [lower quartile–upper quartile]. Only ratios carry over to other machines.\n"+
		"The garbage collector runs with GOGC=%s, for everyone: by Go's default, 100, a process with as little in its heap as this one would spend much of its time on collecting, which a service does not. `GOGC=100 go run .` shows that.",
		cmp.Or(os.Getenv("GOGC"), strconv.Itoa(gcPercent)))
}

// processor is the CPU's name where the system tells it.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return "unknown CPU"
}

// wrk is the load generator's path, "" when it is not installed.
func wrk() string {
	path, err := exec.LookPath("wrk")
	if err != nil {
		return ""
	}
	return path
}
