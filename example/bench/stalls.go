package main

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"slices"
	"time"
)

// stalls measures how long a reader waits while all that can be written is written.
//
// The other core is busy then, and makes garbage. What that alone costs is measured
// with the same churn in another middleware, which shares nothing with the reader's.
func stalls(_ context.Context, b *bench) error {
	w, err := newWorld("EdDSA")
	if err != nil {
		return err
	}
	defer w.Close()
	here, err := newChurn(w, b.verdicts)
	if err != nil {
		return err
	}
	defer here.Close()
	elsewhere, err := newChurn(w, shippedVerdicts)
	if err != nil {
		return err
	}
	defer elsewhere.Close()
	reader, err := newCaller(here.route)
	if err != nil {
		return err
	}
	hot, err := w.credential(0, time.Hour)
	if err != nil {
		return err
	}
	read := reader.rotating([]string{hot}, http.StatusOK)
	states := [3]func() func() error{func() func() error { return func() error { return nil } }, elsewhere.start, here.start}
	var waited [3][3][]float64 // by state and percentile
	for round := range b.plan.rounds {
		for _, state := range order(len(states), round) {
			runtime.GC()
			stop := states[state]()
			waits, err := latencies(read, 10*b.plan.slice)
			if err := errors.Join(err, stop()); err != nil {
				return err
			}
			for i, q := range percentiles {
				waited[state][i] = append(waited[state][i], quantile(waits, q))
			}
		}
	}
	b.heading("Stalls", "A reader with one hot token, every request timed, alone and while the other core churns: new tokens let in and old ones out of a cache of\n"+
		"%s verdicts of which some expire every second, keyrings rotated, a key set that changes fetched over and over. \"Elsewhere\" is the same\n"+
		"churn in a middleware of its own: what a busy core and its garbage cost, with nothing shared. Percentiles of %v, paired by round.",
		count(b.verdicts), 10*b.plan.slice)
	t := &table{head: []string{"", "p50, ns", "p99, ns", "p99.99, µs"}}
	alone, apart, beside := waited[0], waited[1], waited[2]
	for i, name := range []string{"alone", "churn elsewhere", "churn here"} {
		of := waited[i]
		t.add(name, spreadOf(of[0]).text("%.0f"), spreadOf(of[1]).text("%.0f"), spreadOf(of[2]).in(inMicroseconds).text("%.0f"))
	}
	t.add("here × alone", ratioSpread(beside[0], alone[0]).String(), ratioSpread(beside[1], alone[1]).String(), ratioSpread(beside[2], alone[2]).String())
	t.add("here × elsewhere", ratioSpread(beside[0], apart[0]).String(), ratioSpread(beside[1], apart[1]).String(), ratioSpread(beside[2], apart[2]).String())
	t.write(b.out)
	b.note("Meanwhile, here: %d tokens let in, %d keys rotated, %d key sets fetched.", here.admitted, here.rotated, here.fetched.Load())
	worst := spreadOf(beside[2]).in(inMicroseconds)
	b.found("stalls", worst.median <= 200, "%s µs (alone %.0f, churn elsewhere %.0f)", worst.text("%.0f"),
		spreadOf(alone[2]).in(inMicroseconds).median, spreadOf(apart[2]).in(inMicroseconds).median)
	return nil
}

var percentiles = [3]float64{0.5, 0.99, 0.9999}

// latencies are how long each operation took in the time given, sorted.
func latencies(op func() error, during time.Duration) ([]float64, error) {
	waits := make([]float64, 0, 1<<22)
	for until := time.Now().Add(during); ; {
		began := time.Now()
		if began.After(until) {
			break
		}
		if err := op(); err != nil {
			return nil, err
		}
		waits = append(waits, float64(time.Since(began)))
	}
	slices.Sort(waits)
	return waits, nil
}
