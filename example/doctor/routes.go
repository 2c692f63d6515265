package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// routes calls each route of the app without a token, which must be 401, and with a
// token that has no scope, to learn which scopes it wants.
func (c *check) routes(ctx context.Context) scopes {
	if c.App == nil {
		return nil
	}
	if len(c.Audiences) == 0 {
		c.add(Unchecked, "routes", "Without an audience no token can be made for them.", "Set Audiences, to those of the guards.")
		return nil
	}
	app, token, end, err := c.throwaway(ctx)
	if err != nil {
		c.add(Wrong, "routes", fmt.Sprintf("The app cannot be made: %v.", err), "Do what the error says. The program would not start.")
		return nil
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, routesTimeout)
	defer cancel()
	wanted, open, guarded := scopes{}, 0, 0
	for _, route := range slices.SortedFunc(slices.Values(app.Routes()), byPath) {
		if strings.Contains(route.Method, "_") || c.isPublic(route.Path) { // Echo's catch-all of a group has a method of its own
			continue
		}
		if ctx.Err() != nil {
			c.add(Unchecked, "routes", fmt.Sprintf("%s %s, and those behind it, were not called: there was no time left.", route.Method, route.Path), "Look for a handler that does not end.")
			return wanted
		}
		w, err := call(ctx, app, route, "")
		if err != nil {
			open++
			c.add(Wrong, "routes", fmt.Sprintf("%s %s %v without a token.", route.Method, route.Path, err),
				"Put Require before it, or name it in Public if it is for everybody.")
			continue
		}
		if w.Code != http.StatusUnauthorized {
			open++
			c.add(Wrong, "routes", fmt.Sprintf("%s %s answers %d without a token.", route.Method, route.Path, w.Code),
				"Put Require before it, or name it in Public if it is for everybody.")
			continue
		}
		guarded++
		if w, err := call(ctx, app, route, token); err == nil && w.Code == http.StatusForbidden {
			for _, scope := range challenged(w.Header().Get("WWW-Authenticate")) {
				wanted[scope] = fmt.Sprintf("%s %s wants", route.Method, route.Path)
			}
		}
	}
	switch {
	case open+guarded == 0:
		c.add(Unchecked, "routes", "The app has none that wants a token.", "Does App add its routes? Name nothing in Public that wants a token.")
	case open == 0:
		c.goodf("routes", "%d %s %s a token.", guarded, plural(guarded, "route", "routes"), plural(guarded, "wants", "want"))
	}
	return wanted
}

func byPath(a, b *echo.Route) int {
	return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
}

// throwaway makes the app on a key and a store of its own, and a token without scope.
func (c *check) throwaway(ctx context.Context) (app *echo.Echo, token string, end func(), err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", nil, err
	}
	keys, err := jwks.NewKeyring(private)
	if err != nil {
		return nil, "", nil, err
	}
	secret, hashed := registry.GenerateSecret()
	const id = "doctor"
	store, err := registry.NewMemory(registry.Client{ID: id, Secrets: []registry.Secret{hashed}, Audiences: c.Audiences[:1]})
	if err != nil {
		return nil, "", nil, err
	}
	iss, err := issuer.New(issuer.Config{Issuer: c.Issuer, Keys: keys, Store: store, InsecureHTTP: c.InsecureHTTP, Quiet: true})
	if err != nil {
		return nil, "", nil, err
	}
	defer iss.Close()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	iss.TokenHandler().ServeHTTP(w, r)
	granted, err := jose.ParseObject(w.Body.String())
	if err == nil {
		token, _, err = granted.String("access_token")
	}
	if err != nil || token == "" {
		return nil, "", nil, fmt.Errorf("no token is granted here: %d %s", w.Code, w.Body)
	}
	app, stop, err := c.App(keys, store)
	if err == nil && app == nil {
		err = errors.New("Setup.App made none")
	}
	if err != nil {
		return nil, "", nil, err
	}
	return app, token, func() {
		if stop != nil {
			_ = stop() // it is thrown away
		}
	}, nil
}

// isPublic reports whether the path is one of Public, or an endpoint of the issuer:
// those authenticate clients themselves, or publish.
func (c *check) isPublic(path string) bool {
	if slices.Contains(c.Public, path) {
		return true
	}
	base := ""
	if at, err := url.Parse(c.Issuer); err == nil {
		base = strings.TrimSuffix(at.EscapedPath(), "/")
	}
	return strings.HasPrefix(path, "/.well-known/") || strings.HasPrefix(path, base+"/.well-known/") ||
		path == base+"/token" || path == base+"/revoke" || path == base+"/introspect"
}

var parameter = regexp.MustCompile(`:[^/]+|\*`)

const (
	routeTimeout  = 3 * time.Second // of a route
	routesTimeout = 15 * time.Second
)

// call calls a route as a client would. The error says, behind the route's name, why
// there is no answer.
func call(ctx context.Context, app *echo.Echo, route *echo.Route, token string) (*httptest.ResponseRecorder, error) {
	path := parameter.ReplaceAllString(route.Path, "x")
	if path == "" {
		path = "/"
	}
	ctx, cancel := context.WithTimeout(ctx, routeTimeout)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, route.Method, path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	ended := make(chan error, 1)
	go func() {
		err := errors.New("ends its goroutine")
		defer func() {
			if what := recover(); what != nil {
				err = fmt.Errorf("panics (%.200v)", what)
			}
			ended <- err
		}()
		app.ServeHTTP(w, r)
		err = nil
	}()
	select {
	case err := <-ended:
		return w, err
	case <-ctx.Done():
		return nil, errors.New("does not answer in time")
	}
}

var scopeParameter = regexp.MustCompile(`scope="([^"]*)"`)

// challenged returns the scopes that a challenge names (RFC 6750, section 3).
func challenged(challenge string) []string {
	found := scopeParameter.FindStringSubmatch(challenge)
	if found == nil {
		return nil
	}
	return strings.Fields(found[1])
}
