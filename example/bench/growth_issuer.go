package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
)

// feed is a store with n live revocations that makes them as they are read, so
// that all the memory they take is the issuer's.
type feed struct {
	*registry.Memory
	n     int64
	until time.Time
}

func (f feed) Changes(_ context.Context, since int64) (registry.Page, error) {
	const size = 1000
	page := registry.Page{Changes: make([]registry.Change, 0, size), End: f.n, More: f.n-since > size}
	for sequence := since + 1; sequence <= min(f.n, since+size); sequence++ {
		page.Changes = append(page.Changes, registry.Change{
			Sequence: sequence, Kind: registry.TokenRevoked, TokenID: fmt.Sprintf("revoked-%014d", sequence), ExpiresAt: f.until,
		})
	}
	return page, nil
}

// withRevocations returns an issuer that has read n revocations, and the heap that
// each takes.
func withRevocations(ctx context.Context, w *world, n int) (iss *issuer.Issuer, bytes float64, err error) {
	memory, err := registry.NewMemory()
	if err != nil {
		return nil, 0, err
	}
	before := liveHeap()
	iss, err = issuer.New(issuer.Config{Issuer: issuerURL, MaxGrantRate: -1, Keys: w.keys, Store: feed{memory, int64(n), time.Now().Add(time.Hour)}})
	if err != nil {
		return nil, 0, err
	}
	for range 10 { // the first calls may time out before all are read
		if _, err = iss.Revoked(ctx, "one", "client-1", time.Now()); err == nil {
			break
		}
	}
	return iss, (liveHeap() - before) / float64(max(1, n)), err
}

// revocationGrowth measures the lookup alone, and as part of a cached token.
func revocationGrowth(ctx context.Context, b *bench) error {
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
	many, bytes, err := withRevocations(ctx, w, b.verdicts)
	if err != nil {
		return err
	}
	defer func() { _, _ = none.Close(), many.Close() }() // they have nothing to save
	var contestants []contestant
	for _, iss := range []*issuer.Issuer{none, many} {
		middleware, err := m2mGuard(iss, w.keys, 0)
		if err != nil {
			return err
		}
		c, err := newCaller(newRoute(middleware))
		if err != nil {
			return err
		}
		contestants = append(contestants,
			contestant{name: "alone", op: askRevoked(ctx, iss)},
			contestant{name: "hit", op: c.rotating([]string{credential}, http.StatusOK)})
	}
	all, err := b.plan.atMost(growthRounds).race(contestants)
	if err != nil {
		return err
	}
	alone, hit := ratioSpread(all[2].ns, all[0].ns), ratioSpread(all[3].ns, all[1].ns)
	t := &table{head: []string{"live revocations", "`iss.Revoked`, ns", "×", "repeated token, ns", "×"}}
	t.add("0", inNanoseconds.median(all[0]), "1", inNanoseconds.median(all[1]), "1")
	t.add(count(b.verdicts), inNanoseconds.median(all[2]), alone.String(), inNanoseconds.median(all[3]), hit.String())
	t.write(b.out)
	b.note("Heap of a revocation, with %s of them: %.0f B.", count(b.verdicts), bytes)
	b.found("growth revocations", hit.median <= 2, "%v, `iss.Revoked` alone %v", hit, alone)
	b.found("bytes revocation", bytes <= 120, "%.0f B", bytes)
	return nil
}

// askRevoked asks about a thousand tokens in turn, none of them revoked.
func askRevoked(ctx context.Context, iss *issuer.Issuer) func() error {
	ids, next, now := make([]string, sampled), 0, time.Now()
	for i := range ids {
		ids[i] = fmt.Sprintf("%022d", i)
	}
	return func() error {
		next = (next + 1) % sampled
		revoked, err := iss.Revoked(ctx, ids[next], "client-1", now)
		if revoked {
			return fmt.Errorf("%s is revoked", ids[next])
		}
		return err
	}
}

// clientGrowth asks for tokens of ten clients among few and many.
func clientGrowth(_ context.Context, b *bench) (err error) {
	o, err := newOffice("EdDSA")
	if err != nil {
		return err
	}
	defer o.Close()
	const few = 10
	var endpoints []grantor
	defer func() { err = errors.Join(err, closeAll(endpoints)) }()
	var contestants []contestant
	for _, n := range []int{few, b.verdicts} {
		store, err := registry.NewMemory()
		if err != nil {
			return err
		}
		for i := range n { // they share a secret, which changes no figure
			client := o.client()
			client.ID = "client-" + strconv.Itoa(i)
			if err := store.Put(client); err != nil {
				return err
			}
		}
		g, err := m2mGrantor(count(n), o, store)
		if err != nil {
			return err
		}
		endpoints = append(endpoints, g)
		p, err := newPoster(g.handler, g.path)
		if err != nil {
			return err
		}
		var credentials []string
		for i := range few {
			credentials = append(credentials, basic("client-"+strconv.Itoa(i*(n/few)), o.secret))
		}
		contestants = append(contestants, contestant{name: g.name, op: p.asking(credentials, http.StatusOK)})
	}
	all, err := b.plan.atMost(growthRounds).race(contestants)
	if err != nil {
		return err
	}
	t := &table{head: []string{"clients in the memory store", "`POST /token`, µs", "×"}}
	s := ratioSpread(all[1].ns, all[0].ns)
	t.add(all[0].name, inMicroseconds.median(all[0]), "1")
	t.add(all[1].name, inMicroseconds.median(all[1]), s.String())
	t.write(b.out)
	b.found("growth clients", s.median <= 2, "%v", s)
	return nil
}
