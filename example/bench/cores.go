package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/echo-m2m/m2m/issuer"
)

// hot is how many tokens or questions one core's turn has: so many that starting the
// goroutines costs nothing beside them.
const hot = 10_000

// cores uses one hot token on one core and on two, with few and with many live
// revocations. Memory that every caller writes, such as a lock, moves from core to
// core, so that two cores do less than twice as much.
func cores(ctx context.Context, b *bench) error {
	if runtime.GOMAXPROCS(0) < 2 {
		b.note("Two cores: left out, for there is one.")
		return nil
	}
	w, err := newWorld("EdDSA")
	if err != nil {
		return err
	}
	defer w.Close()
	credential, err := w.credential(1, time.Hour)
	if err != nil {
		return err
	}
	none, _, err := withRevocations(ctx, w, 0)
	if err != nil {
		return err
	}
	many, _, err := withRevocations(ctx, w, b.verdicts)
	if err != nil {
		return err
	}
	defer func() { _, _ = none.Close(), many.Close() }() // they have nothing to save
	var contestants []contestant
	for _, iss := range []*issuer.Issuer{none, many} {
		guarded, err := m2mGuard(iss, w.keys, 0)
		if err != nil {
			return err
		}
		route := newRoute(guarded)
		for _, p := range []int{1, 2} {
			alone := make([]func() error, p)
			hits := make([]func() error, p)
			for i := range p {
				c, err := newCaller(route)
				if err != nil {
					return err
				}
				hits[i], alone[i] = c.rotating([]string{credential}, http.StatusOK), askOneRevoked(ctx, iss)
			}
			contestants = append(contestants,
				contestant{name: "hit", op: together(hits)},
				contestant{name: "alone", op: together(alone)})
		}
	}
	all, err := b.plan.race(contestants)
	if err != nil {
		return err
	}
	b.heading("Two cores", "One hot token, asked with on one core (GOMAXPROCS=1) and on two at the same time, and the real issuer's `Revoked` alone about it.\n"+
		"The ratio is of requests per second, two cores to one: 2 would be perfect.")
	t := &table{head: []string{"live revocations", "repeated token, ns, one core", "ns, two", "×", "`iss.Revoked`, ns, one core", "ns, two", "×"}}
	for i, n := range []int{0, b.verdicts} {
		oneHit, oneAlone, twoHits, twoAlone := all[4*i], all[4*i+1], all[4*i+2], all[4*i+3]
		hits, alone := spreadOf(paired(oneHit.ns, twoHits.ns, speedup)), spreadOf(paired(oneAlone.ns, twoAlone.ns, speedup))
		each := func(s series) string { return fmt.Sprintf("%.0f", spreadOf(s.ns).median/hot) }
		t.add(count(n), each(oneHit), each(twoHits), hits.String(), each(oneAlone), each(twoAlone), alone.String())
		key := map[bool]string{false: "none", true: "many"}[n > 0]
		b.found("cores hit "+key, hits.median >= 1.7, "%v", hits)
		b.found("cores revoked "+key, alone.median >= 1.7, "%v", alone)
	}
	t.write(b.out)
	return nil
}

// speedup returns how much more two cores do than one: the time of one core for its
// part alone, and of two for theirs at the same time.
func speedup(one, two float64) float64 { return 2 * one / two }

// together runs each op hot times on a core of its own.
func together(ops []func() error) func() error {
	return func() error {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(len(ops)))
		var all errgroup.Group
		for _, op := range ops {
			all.Go(func() error {
				for range hot {
					if err := op(); err != nil {
						return err
					}
				}
				return nil
			})
		}
		return all.Wait()
	}
}

// askOneRevoked asks about one token, which is not revoked.
func askOneRevoked(ctx context.Context, iss *issuer.Issuer) func() error {
	now := time.Now()
	return func() error {
		revoked, err := iss.Revoked(ctx, "one hot token", "client-1", now)
		if revoked {
			return errors.New("the hot token is revoked")
		}
		return err
	}
}
