package main

import (
	"fmt"
	"runtime"
	"time"
)

// contestant is one way to do the job that a section measures.
type contestant struct {
	name string
	op   func() error // the job, once; an error ends the run
	why  string       // why it does not take part, when op is nil
}

// series is what a contestant took: per operation, one value a round.
type series struct {
	name       string
	ns, allocs []float64
	ops        int // in all the rounds
	why        string
}

// plan is how long to measure.
type plan struct {
	rounds int
	slice  time.Duration // of one contestant in one round
}

// atMost is a plan of fewer rounds, where each costs more than its slices.
func (p plan) atMost(rounds int) plan {
	p.rounds = min(p.rounds, rounds)
	return p
}

// race gives every contestant its slice in every round. The order changes from
// round to round, so that no contestant always follows the same one.
func (p plan) race(contestants []contestant) ([]series, error) {
	results := make([]series, len(contestants))
	batches := make([]int, len(contestants))
	for i, c := range contestants {
		results[i] = series{name: c.name, why: c.why}
		if c.op == nil {
			continue
		}
		batch, err := calibrate(c.op, p.slice)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		batches[i] = batch
	}
	for round := range p.rounds {
		for _, i := range order(len(contestants), round) {
			if contestants[i].op == nil {
				continue
			}
			if err := p.measure(&results[i], contestants[i].op, batches[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", contestants[i].name, err)
			}
		}
	}
	return results, nil
}

// order returns the order of a round: each begins with the next contestant, and every
// second one goes backwards.
func order(n, round int) []int {
	places := make([]int, n)
	for i := range n {
		step := i
		if round%2 == 1 {
			step = n - i
		}
		places[i] = (round + step) % n
	}
	return places
}

// calibrate warms the contestant up and finds how many operations to run between two
// readings of the clock.
func calibrate(op func() error, slice time.Duration) (batch int, err error) {
	ops, began := 0, time.Now()
	for ops == 0 || (ops < 10_000 && time.Since(began) < slice/4) {
		if err := op(); err != nil {
			return 0, err
		}
		ops++
	}
	each := max(time.Since(began)/time.Duration(ops), 1)
	return max(1, int(slice/20/each)), nil
}

// measure runs one slice. It collects the heap first, so that no contestant pays for
// the garbage of the one before.
func (p plan) measure(s *series, op func() error, batch int) error {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	ops, elapsed, began := 0, time.Duration(0), time.Now()
	for ops == 0 || elapsed < p.slice {
		for range batch {
			if err := op(); err != nil {
				return err
			}
		}
		ops += batch
		elapsed = time.Since(began)
	}
	runtime.ReadMemStats(&after)
	s.ns = append(s.ns, float64(elapsed.Nanoseconds())/float64(ops))
	s.allocs = append(s.allocs, float64(after.Mallocs-before.Mallocs)/float64(ops))
	s.ops += ops
	return nil
}

// named finds a contestant's series; the zero series when there is none, whose
// ratios are not numbers.
func named(all []series, name string) series {
	for _, s := range all {
		if s.name == name {
			return s
		}
	}
	return series{name: name}
}
