package main

import (
	"context"
	"fmt"

	"github.com/labstack/echo/v4"
)

// distinctTokens is how many tokens are used in turn: each is used again only after
// all the others have gone through the caches of CPU and middleware.
const distinctTokens = 2048

func validation(ctx context.Context, b *bench) error {
	results := map[string][]series{}
	for _, alg := range algorithms {
		all, err := validateWith(ctx, b.plan, alg)
		if err != nil {
			return fmt.Errorf("%s: %w", alg, err)
		}
		results[alg] = all
	}
	b.heading("Validation", "One access token through an Echo v4 route, serial, in process. All but the last two see the same %d tokens in turn; those see one.\n"+
		"The floor is `%s`: base64 of signature and payload, one signature check of the standard library, and nothing else.\n"+
		"m2m is as shipped, its cache on, with `Revoked` of a real issuer, a real keyring and `Require(\"orders:read\")`. No peer checks revocation or scope here.\n"+
		"At first sight means that no token comes twice: when all %d have come, the middleware is made anew.",
		distinctTokens, floor, distinctTokens)
	compare("validation", floor, inNanoseconds, algorithms, results).write(b.out)
	b.note("echo-jwt has no setting for iss and aud: it is given a `ParseTokenFunc` with golang-jwt's parser options. zitadel's `VerifyAccessToken` checks no aud: the check is added. " +
		"auth0 is mounted with `echo.WrapMiddleware`, its documented way. jwx is given its keys.")

	over := &table{head: []string{"repeated token", "ns over the bare route", "allocs", "× lean cache", "× faster than " + echoJWT, "× faster than first sight"}}
	for _, alg := range algorithms {
		all := results[alg]
		again := named(all, m2mAgain)
		over.add(alg, overRoute(all).text("%.0f"), fmt.Sprintf("%.0f", spreadOf(again.allocs).median),
			ratioSpread(again.ns, named(all, cached).ns).String(), ratioSpread(named(all, echoJWT).ns, again.ns).String(), ratioSpread(named(all, m2mFirst).ns, again.ns).String())
	}
	over.write(b.out)
	b.validated(results)
	return nil
}

// overRoute measures what the middleware adds to a route for a cached token.
func overRoute(all []series) spread {
	return spreadOf(paired(named(all, m2mAgain).ns, named(all, noAuth).ns, difference))
}

func validateWith(ctx context.Context, p plan, alg string) ([]series, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w, err := newWorld(alg)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	server := publish(w)
	defer server.Close()
	guards, err := allGuards(ctx, w, server.URL)
	if err != nil {
		return nil, err
	}
	credentials, err := w.credentials(distinctTokens)
	if err != nil {
		return nil, err
	}
	contestants := make([]contestant, 0, len(guards))
	for _, g := range guards {
		mine := credentials
		if g.name == m2mAgain || g.name == cached {
			mine = credentials[:1]
		}
		c, err := g.operation(mine, 200)
		if err != nil {
			return nil, err
		}
		contestants = append(contestants, c)
	}
	return p.race(contestants)
}

// allGuards are the rows of the table, from no guard at all to ours.
func allGuards(ctx context.Context, w *world, jwksURL string) ([]guard, error) {
	theirs, err := peerGuards(ctx, w, jwksURL)
	if err != nil {
		return nil, err
	}
	anew := func() (echo.MiddlewareFunc, error) { return m2mGuard(w.iss, w.keys, 0) }
	first, err := anew()
	if err != nil {
		return nil, err
	}
	again, err := m2mGuard(w.iss, w.keys, 0)
	if err != nil {
		return nil, err
	}
	guards := []guard{{name: noAuth}, {name: floor, middleware: floorGuard(w)}, {name: lean, middleware: leanGuard(w)}}
	guards = append(guards, theirs...)
	return append(guards, guard{name: m2mFirst, middleware: first, anew: anew},
		guard{name: cached, middleware: cachedGuard(w)}, guard{name: m2mAgain, middleware: again}), nil
}
