package issuertest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
)

// What tokens, clients and guards have if the test names nothing else.
const (
	defaultAudience = "https://api.test"
	defaultClient   = "test-client"
	defaultLifetime = 15 * 60 // seconds
)

// Issuer is a real issuer that belongs to a test. [New] makes it. It is safe for
// concurrent use. The methods of a zero Issuer fail the test, or do nothing.
//
// Its fields are switches: each makes one part of the issuer fail, and counts the
// requests to it.
type Issuer struct {
	TokenEndpoint Switch // POST /token
	KeySet        Switch // GET /.well-known/jwks.json
	Metadata      Switch // GET /.well-known/oauth-authorization-server, and .../openid-configuration
	Introspection Switch // POST /introspect
	Revocation    Switch // POST /revoke

	// Feed is the feed of revocations and changes of clients, as the issuer reads it from
	// its store. While it fails, guards of Bearer answer 503 at once, as they do elsewhere
	// after Config.MaxRevocationLag. The issuer's own endpoints do after that time.
	Feed Switch

	config  issuer.Config
	url     *url.URL
	server  *httptest.Server // nil: the program calls ServeHTTP itself
	memory  *registry.Memory
	manager registry.Manager

	rotating sync.Mutex // one rotation at a time
	mu       sync.RWMutex
	serving  *generation
	audience string // the first one that a guard was made for
	closing  sync.WaitGroup
}

// New starts an issuer on the loopback, with keys and clients in memory, and ends it with
// the test. It has no clients: see [Issuer.Register]. Each call makes another issuer, so
// tests may run in parallel.
//
// configure may set fields of the config, such as TokenTTL, Resources or Claims. Keys and
// Store are those of the test, and lifetimes of tokens are exact (Config.ExactTTL). If
// configure sets Config.Issuer, the issuer does not listen: send requests to
// [Issuer.ServeHTTP]. In a bubble of testing/synctest it must, because a network is of no
// use there.
func New(tb testing.TB, configure ...func(*issuer.Config)) *Issuer {
	tb.Helper()
	c := issuer.Config{Quiet: true, ExactTTL: true}
	for _, set := range configure {
		if set != nil {
			set(&c)
		}
	}
	if c.Keys != nil || c.Store != nil {
		tb.Fatal("issuertest: the test issuer has keys and a store of its own: leave Config.Keys and Config.Store nil")
	}
	// The clock of a bubble starts in 2000, and does not move while anything waits for a
	// network.
	if c.Issuer == "" && time.Now().Year() < 2010 {
		tb.Fatal("issuertest: in a bubble of testing/synctest the issuer must not listen: set Config.Issuer")
	}
	i := &Issuer{memory: &registry.Memory{}}
	i.manager = manager{i.memory, i}
	for _, s := range i.switches() {
		s.tb = tb
	}
	if c.Issuer == "" {
		i.server = httptest.NewUnstartedServer(i)
		c.Issuer = "http://" + i.server.Listener.Addr().String()
	}
	i.config = c
	tb.Cleanup(i.close)
	var err error
	if i.url, err = url.Parse(c.Issuer); err != nil {
		tb.Fatalf("issuertest: Config.Issuer: %v", err)
	}
	keys, err := newKeys()
	if err != nil {
		tb.Fatalf("issuertest: %v", err)
	}
	if err := i.replace(context.Background(), keys); err != nil {
		tb.Fatalf("issuertest: %v", err)
	}
	if i.server != nil {
		i.server.Start()
	}
	return i
}

// close ends the issuer: requests that hang, connections and goroutines.
func (i *Issuer) close() {
	for _, s := range i.switches() {
		s.end()
	}
	if i.server != nil {
		i.server.CloseClientConnections()
		i.server.Close()
	}
	i.mu.Lock()
	last := i.serving
	i.serving = nil
	i.mu.Unlock()
	i.retire(last)
	i.closing.Wait()
}

func (i *Issuer) switches() []*Switch {
	return []*Switch{&i.TokenEndpoint, &i.KeySet, &i.Metadata, &i.Introspection, &i.Revocation, &i.Feed}
}

// made reports whether New made the issuer. If not, it fails the test.
func (i *Issuer) made(tb testing.TB) bool {
	if i != nil && i.memory != nil {
		return true
	}
	if tb != nil {
		tb.Helper()
		tb.Fatal("issuertest: this Issuer was not made by issuertest.New(t)")
	}
	return false
}

// URL is the issuer identifier: the iss of tokens, and where programs find its metadata.
// It has no slash at the end.
func (i *Issuer) URL() string {
	if !i.made(nil) {
		return ""
	}
	return i.config.Issuer
}

// ServeHTTP serves all endpoints of the issuer, as its own server does: with the switches,
// and counted.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !i.made(nil) {
		http.Error(w, "issuertest: this Issuer was not made by issuertest.New(t)", http.StatusInternalServerError)
		return
	}
	works := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g, release := i.use()
		if g == nil {
			http.Error(w, "the test has ended", http.StatusServiceUnavailable)
			return
		}
		defer release()
		g.handler.ServeHTTP(w, r)
		_ = i.wrote(r.Context(), g) // fails only after the end
	})
	if s := i.switchOf(r.URL.Path); s != nil {
		s.serve(w, r, works)
		return
	}
	works(w, r)
}

// switchOf returns the switch of the endpoint at a path; nil for other paths.
func (i *Issuer) switchOf(path string) *Switch {
	base := strings.TrimSuffix(i.url.Path, "/")
	switch {
	case path == base+i.tokenPath():
		return &i.TokenEndpoint
	case path == base+"/introspect":
		return &i.Introspection
	case path == base+"/revoke":
		return &i.Revocation
	case path == base+"/.well-known/jwks.json":
		return &i.KeySet
	case strings.Contains(path, "/.well-known/oauth-authorization-server"), strings.Contains(path, "/.well-known/openid-configuration"):
		return &i.Metadata
	}
	return nil
}

func (i *Issuer) tokenPath() string {
	if i.config.TokenPath == "" {
		return "/token"
	}
	return i.config.TokenPath
}
