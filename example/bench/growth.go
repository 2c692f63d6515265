package main

import (
	"context"
	"fmt"
	"net/http"
)

const (
	sampled      = 1000 // tokens that are used in turn
	growthRounds = 9    // each begins with the collection of a big heap
)

func growth(ctx context.Context, b *bench) error {
	b.heading("Growth", "What a request costs when many tokens are cached or revoked. EdDSA, real tokens through the real middleware.")
	for _, part := range []func(context.Context, *bench) error{verdictGrowth, revocationGrowth, clientGrowth} {
		if err := part(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// verdictGrowth uses one token, and a thousand in turn, while the cache holds few
// and many.
func verdictGrowth(_ context.Context, b *bench) error {
	w, err := newWorld("EdDSA")
	if err != nil {
		return err
	}
	defer w.Close()
	var one, turns []contestant
	var bytes float64
	sizes := []int{1, sampled, b.verdicts}
	for _, n := range sizes {
		before := liveHeap()
		middleware, err := m2mGuard(w.iss, w.keys, b.verdicts+b.verdicts/4)
		if err != nil {
			return err
		}
		route := newRoute(middleware)
		kept, err := w.fill(route, n, sampled, anHour)
		if err != nil {
			return err
		}
		bytes = (liveHeap() - before) / float64(n)
		c, err := newCaller(route)
		if err != nil {
			return err
		}
		one = append(one, contestant{name: count(n), op: c.rotating(kept[:1], http.StatusOK)})
		if n >= sampled {
			turns = append(turns, contestant{name: count(n), op: c.rotating(kept, http.StatusOK)})
		}
	}
	all, err := b.plan.atMost(growthRounds).race(append(one, turns...))
	if err != nil {
		return err
	}
	t := &table{head: []string{"cached verdicts", "one token again, ns", "×", fmt.Sprintf("%d tokens in turn, ns", sampled), "×"}}
	hot := ratioSpread(all[2].ns, all[0].ns)
	spreadOut := ratioSpread(all[4].ns, all[3].ns)
	t.add("1", inNanoseconds.median(all[0]), "1", absent, absent)
	t.add(count(sampled), inNanoseconds.median(all[1]), ratioSpread(all[1].ns, all[0].ns).String(), inNanoseconds.median(all[3]), "1")
	t.add(count(b.verdicts), inNanoseconds.median(all[2]), hot.String(), inNanoseconds.median(all[4]), spreadOut.String())
	t.write(b.out)
	b.note("Heap of a cached verdict, token included, with %s of them: %.0f B.", count(b.verdicts), bytes)
	b.found("growth verdicts", hot.median <= 2, "%v; of %d in turn, for which there is no target, %v", hot, sampled, spreadOut)
	b.found("bytes verdict", bytes <= 800, "%.0f B", bytes)
	return nil
}
