package main

import (
	"context"
	"strings"
)

// junk has texts that are no tokens, long enough to be expensive for a guard that
// splits or decodes them before it checks their length.
var junk = map[string]string{
	"8 kB of letters": bearerIs + strings.Repeat("a", 8<<10),
	"8 kB of dots":    bearerIs + strings.Repeat(".", 8<<10),
}

var junkKinds = []string{"8 kB of letters", "8 kB of dots"}

func refusals(ctx context.Context, b *bench) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w, err := newWorld("ES256")
	if err != nil {
		return err
	}
	defer w.Close()
	server := publish(w)
	defer server.Close()
	guards, err := peerGuards(ctx, w, server.URL)
	if err != nil {
		return err
	}
	ours, err := m2mGuard(w.iss, w.keys, 0)
	if err != nil {
		return err
	}
	results := map[string][]series{}
	for _, kind := range junkKinds {
		route, err := guard{name: noAuth}.operation([]string{junk[kind]}, 200)
		if err != nil {
			return err
		}
		contestants := []contestant{route}
		for _, g := range append([]guard{{name: m2m, middleware: ours}}, guards...) {
			c, err := g.operation([]string{junk[kind]}, 401)
			if err != nil {
				return err
			}
			contestants = append(contestants, c)
		}
		if results[kind], err = b.plan.race(contestants); err != nil {
			return err
		}
	}
	b.heading("Refusal of junk", "A bearer token that has no valid shape, through the same route: the whole refusal, the challenge header included. The ratio is to m2m.")
	compare("refusal", m2m, inNanoseconds, junkKinds, results).write(b.out)
	b.refused(results)
	return nil
}
