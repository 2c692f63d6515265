//go:build ignore

// Command outbound_client calls an API with tokens of an issuer that is not ours. The API
// is here, at RESOURCE.
//
// Tokens live LIFE seconds. If JWT is set, they are JWTs of RFC 9068 for the resource,
// our guard checks them, and the issuer refuses other resources. If not, the issuer
// ignores the resource. If RAW is set, its HTTP Basic does not decode id and secret.
package main

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	bearer "github.com/echo-m2m/m2m/middleware"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

var (
	issuer, resource = os.Getenv("ISSUER"), os.Getenv("RESOURCE")
	clientID, secret = os.Getenv("CLIENT_ID"), os.Getenv("CLIENT_SECRET")
	withJWT, raw     = os.Getenv("JWT") != "", os.Getenv("RAW") != ""
)

func main() {
	seconds, err := strconv.Atoi(os.Getenv("LIFE"))
	must(err)
	life := time.Duration(seconds) * time.Second
	(&api{life: life, since: map[string]time.Time{}}).listen()

	methods()
	refusals()
	if withJWT {
		resources()
	}
	lifetimes(life)
}

// source makes a Source.
func source(change func(c *outbound.Config)) *outbound.Source {
	c := outbound.Config{
		Issuer:    issuer,
		ClientID:  clientID,
		Secret:    outbound.Secret(secret),
		Resources: []string{resource},
		Scopes:    []string{"orders:read"},
		RawBasic:  raw,
		Quiet:     true,
	}
	if change != nil {
		change(&c)
	}
	s, err := outbound.New(c)
	must(err)
	return s
}

func post(c *outbound.Config) {
	c.ClientID, c.Method, c.RawBasic = clientID+"-post", "client_secret_post", false
}

// methods gets tokens in each way, and calls the API with them.
func methods() {
	endpoint := ""
	for name, change := range map[string]func(c *outbound.Config){"client_secret_basic": nil, "client_secret_post": post} {
		s := source(change)
		check(name+": a call with a token", get(s, ""), http.StatusOK)
		token, err := s.Token(context.Background())
		must(err)
		check(name+": scopes", token.Scopes(), []string{"orders:read"})
		check(name+": token requests", s.Status().Fetches, uint64(1))
		endpoint = s.Status().Endpoint
		must(s.Close())
	}
	check("the metadata names an endpoint of the issuer", strings.HasPrefix(endpoint, issuer+"/"), true)
	s := source(func(c *outbound.Config) { c.Issuer, c.TokenURL = "", endpoint })
	check("endpoint without metadata: a call with a token", get(s, ""), http.StatusOK)
	must(s.Close())
}

// refusals are not tried again at once.
func refusals() {
	for name, change := range map[string]func(c *outbound.Config){
		"client_secret_basic": func(c *outbound.Config) { c.Secret = outbound.Secret("wrong") },
		"client_secret_post":  func(c *outbound.Config) { post(c); c.Secret = outbound.Secret("wrong") },
		"unknown client":      func(c *outbound.Config) { c.ClientID = "unknown" },
	} {
		checkRefused(name+", refused", source(change), "invalid_client")
	}
	if !withJWT { // oidc-provider leaves unknown scopes out
		checkRefused("scope", source(func(c *outbound.Config) { c.Scopes = []string{"unknown:scope"} }), "invalid_scope")
	}
}

// checkRefused wants an error code of each of 20 calls, and one token request.
func checkRefused(what string, s *outbound.Source, code string) {
	codes, before := map[string]int{}, s.Status().Fetches
	for range 20 {
		_, err := s.Token(context.Background())
		refused, ok := errors.AsType[*outbound.Error](err)
		if !ok {
			must(errors.Join(errors.New(what+": not refused"), err))
		}
		codes[refused.Code]++
	}
	check(what+": error", codes, map[string]int{code: 20})
	check(what+": token requests", s.Status().Fetches-before, uint64(1))
}

// resources gets tokens for several resources (RFC 8707) from one Source.
func resources() {
	s := source(nil)
	other := s.For(resource+"/other", "orders:write")
	check("another resource: its API", get(other, "/other"), http.StatusOK)
	check("another resource: the API of the first", get(other, ""), http.StatusUnauthorized)
	check("the first resource: its API", get(s, ""), http.StatusOK)
	checkRefused("unknown resource", s.For(resource+"/unknown"), "invalid_target")
	check("the first resource, after that", get(s, ""), http.StatusOK)
	must(s.Close())
}

// lifetimes calls the API during several lives of a token.
func lifetimes(life time.Duration) {
	s := source(nil)
	began, calls := time.Now(), map[int]int{}
	for time.Since(began) < 3*life {
		calls[get(s, "")]++
		time.Sleep(life / 40)
	}
	fetches, failures := s.Status().Fetches, s.Status().Failures
	check("lifetimes: statuses", slices.Sorted(maps.Keys(calls)), []int{http.StatusOK})
	check("lifetimes: failures", failures, uint64(0))
	// A token is refreshed between a third and a half of its life. Whole seconds make that
	// less exact.
	check("lifetimes: "+strconv.FormatUint(fetches, 10)+" token requests", fetches >= 5 && fetches <= 14, true)
	must(s.Close())
}

// get calls the API below a path of the resource.
func get(s *outbound.Source, path string) int {
	answer, err := s.Client().Get(resource + path)
	must(err)
	must(answer.Body.Close())
	return answer.StatusCode
}

// api is the protected API: for JWTs with our guard, and for others with a check of
// their age.
type api struct {
	life  time.Duration
	mu    sync.Mutex
	since map[string]time.Time // when each token was seen first
}

func (a *api) listen() {
	at, err := url.Parse(resource)
	must(err)
	listener, err := net.Listen("tcp", at.Host)
	must(err)
	mux := http.NewServeMux()
	for _, audience := range []string{resource, resource + "/other"} {
		at, err := url.Parse(audience)
		must(err)
		if !withJWT {
			mux.Handle(at.Path, a)
			continue
		}
		guard, err := bearer.New(bearer.Config{Issuer: issuer, Audience: audience})
		must(err)
		mux.Handle(at.Path, guard.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	}
	go func() { must(http.Serve(listener, mux)) }()
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if _, seen := a.since[token]; !seen {
		a.since[token] = time.Now()
	}
	if !ok || len(token) < 32 || time.Since(a.since[token]) > a.life {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
}
