package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// The names of the rows, by which reach finds them.
const (
	noAuth   = "Echo route, no auth"
	floor    = "base64 + stdlib verify"
	lean     = "lean: floor + JSON claims + checks + `c.Set`"
	cached   = "lean cache: go-cache + exp check + `c.Set`"
	m2mFirst = "**m2m**, first sight of each token"
	m2mAgain = "**m2m**, repeated token"
	m2m      = "**m2m**"
)

// shippedVerdicts is the default, written out.
const shippedVerdicts = 10_000

// guard is a middleware that lets in good tokens only, or says why it cannot.
type guard struct {
	name       string
	middleware echo.MiddlewareFunc
	anew       func() (echo.MiddlewareFunc, error) // makes it again, with an empty cache
	why        string
}

// m2mGuard is the middleware as shipped, with everything that an app can ask for:
// real keys, real revocations, a scope.
func m2mGuard(iss *issuer.Issuer, keys jwks.Source, cacheSize int) (echo.MiddlewareFunc, error) {
	auth, err := bearer.New(bearer.Config{
		Issuer: issuerURL, Audience: audience, Keys: keys, Revoked: iss.Revoked, CacheSize: cacheSize,
	})
	if err != nil {
		return nil, err
	}
	return auth.Require("orders:read"), nil
}

// peerGuards are the other libraries, each with keys from the address, fetched as
// its documentation says. They live until ctx ends.
func peerGuards(ctx context.Context, w *world, jwksURL string) ([]guard, error) {
	guards := make([]guard, 0, len(peers))
	for _, p := range peers {
		middleware, err := p.guard(ctx, w, jwksURL)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			guards = append(guards, guard{name: p.name, why: err.Error()})
		case err != nil:
			return nil, fmt.Errorf("%s: %w", p.name, err)
		default:
			guards = append(guards, guard{name: p.name, middleware: middleware})
		}
	}
	return guards, nil
}

// route is an app with the guard on its route.
func (g guard) route() *echo.Echo {
	if g.middleware == nil {
		return newRoute()
	}
	return newRoute(g.middleware)
}

// operation sends the credentials through the guard.
func (g guard) operation(credentials []string, want int) (contestant, error) {
	if g.middleware == nil && g.why != "" {
		return contestant{name: g.name, why: g.why}, nil
	}
	c, err := newCaller(g.route())
	if err != nil {
		return contestant{}, err
	}
	op := c.rotating(credentials, want)
	if g.anew != nil {
		op = c.forgetful(g.anew, op, len(credentials))
	}
	return contestant{name: g.name, op: op}, nil
}

// forgetful makes a new guard before any credential is used again, so that each is
// new to its guard.
func (c *caller) forgetful(anew func() (echo.MiddlewareFunc, error), op func() error, credentials int) func() error {
	sent := 0
	return func() error {
		if sent == credentials {
			middleware, err := anew()
			if err != nil {
				return err
			}
			c.handler, sent = newRoute(middleware), 0
		}
		sent++
		return op()
	}
}

// publish serves the world's key set, as an issuer does.
func publish(w *world) *httptest.Server { return httptest.NewServer(w.keys) }
