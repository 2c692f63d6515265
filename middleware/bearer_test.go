package middleware

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

func TestNewRefuses(t *testing.T) {
	keys := newKeyring(t, ecKey)
	good := Config{Issuer: testIssuer, Audience: testAudience, Keys: keys}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*Config)
		field  string
	}{
		"no issuer":         {func(c *Config) { c.Issuer = "" }, "Config.Issuer"},
		"issuer and space":  {func(c *Config) { c.Issuer += "\n" }, "Config.Issuer"},
		"no audience":       {func(c *Config) { c.Audience = "" }, "Config.Audience"},
		"audience in space": {func(c *Config) { c.Audience = " " + c.Audience }, "Config.Audience"},
		"negative leeway":   {func(c *Config) { c.Leeway = -1 }, "Config.Leeway"},
		"long leeway":       {func(c *Config) { c.Leeway = 5*time.Minute + 1 }, "Config.Leeway"},
		"negative size":     {func(c *Config) { c.MaxTokenBytes = -1 }, "Config.MaxTokenBytes"},
		"realm of two":      {func(c *Config) { c.Realm = "a\nb" }, "Config.Realm"},
		"nil keyring":       {func(c *Config) { c.Keys = (*jwks.Keyring)(nil) }, "Config.Keys"},
		"large cache":       {func(c *Config) { c.CacheSize = math.MaxInt }, "Config.CacheSize"},
		"two revocations": {func(c *Config) {
			c.Revoked, c.Introspection = notRevoked(), &Introspection{Endpoint: "https://auth.example.com/introspect", ClientID: "api", ClientSecret: "s"}
		}, "Config.Revoked"},
		"zero introspection": {func(c *Config) { c.Introspection = &Introspection{} }, "Config.Introspection.Endpoint"},
		"undiscoverable":     {func(c *Config) { c.Keys, c.Issuer = nil, "not a URL" }, "Config.Keys"},
		"issuer over http":   {func(c *Config) { c.Keys, c.Issuer = nil, "http://auth.example.com" }, "Config.Keys"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			tt.change(&c)
			b, err := New(c)
			if b != nil || err == nil || !strings.HasPrefix(err.Error(), "middleware: "+tt.field) {
				t.Errorf("New gives %v, %v", b, err)
			}
		})
	}
}

// Keys nil: found through the issuer's metadata, and the middleware is the same.
// Observe gets the fetch.
func TestNewDiscoversKeys(t *testing.T) {
	keys := newKeyring(t, ecKey)
	mux := http.NewServeMux()
	issuer := httptest.NewServer(mux)
	defer issuer.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	mux.HandleFunc("/.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":"%s","jwks_uri":"%s/keys"}`, issuer.URL, issuer.URL)
	})
	mux.Handle("/keys", keys)

	var fetches atomic.Int64
	a := newAPI(t, Config{Issuer: issuer.URL, Observe: func(_ context.Context, e Event) {
		if e.Op == event.OpFetch && e.URL == issuer.URL+"/keys" && e.Err == nil {
			fetches.Add(1)
		}
	}})
	token := sign(t, keys, payload(map[string]string{"iss": `"` + issuer.URL + `"`}))
	a.wantServed(t, token)
	if got := fetches.Load(); got != 1 {
		t.Errorf("Observe got %d fetches, want 1", got)
	}
	for range 2 {
		if err := a.auth.Close(); err != nil {
			t.Error(err)
		}
	}
	if w := a.get("/", "Bearer "+token); w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d after Close", w.Code)
	}
}

func TestCloseLeavesTheCallersKeys(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	if err := a.auth.Close(); err != nil {
		t.Error(err)
	}
	a.wantServed(t, goodToken(t, keys))
	for _, none := range []*Bearer{nil, {}} {
		if err := none.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TRAPS: wrong config logs a warning and serves the route unprotected (krakend).
func TestMisconfiguredRefusesAll(t *testing.T) {
	keys := newKeyring(t, ecKey)
	good := newAPI(t, Config{Keys: keys}).auth
	ignored, _ := New(Config{})
	for name, m := range map[string]echo.MiddlewareFunc{
		"Require of a nil Bearer":     ignored.Require(),
		"RequireAny of a nil Bearer":  ignored.RequireAny("orders:read"),
		"RequireFunc of a nil Bearer": ignored.RequireFunc(func(echo.Context, *Token) error { return nil }),
		"Require of a zero Bearer":    new(Bearer).Require(),
		"RequireFunc of nil":          good.RequireFunc(nil),
	} {
		t.Run(name, func(t *testing.T) {
			a := &api{Echo: echo.New()}
			a.GET("/", a.serve, m)
			w := a.get("/", "Bearer "+goodToken(t, keys))
			if w.Code != http.StatusInternalServerError || len(a.tokens) > 0 {
				t.Errorf("status %d, handler called %d times", w.Code, len(a.tokens))
			}
		})
	}
}

// TRAPS: an outage answered 401, upon which callers throw good tokens away.
func TestKeysUnavailable(t *testing.T) {
	keys := newKeyring(t, ecKey)
	token := goodToken(t, keys)
	for name, tt := range map[string]struct {
		key    *jose.Key
		err    error
		status int
	}{
		"unavailable":     {nil, fmt.Errorf("dial: %w", jwks.ErrUnavailable), 503},
		"cancelled":       {nil, context.Canceled, 503},
		"timeout":         {nil, context.DeadlineExceeded, 503},
		"anything else":   {nil, errors.New("disk on fire"), 503},
		"neither":         {nil, nil, 503},
		"unknown":         {nil, jwks.ErrUnknownKey, 401},
		"unknown, in one": {nil, fmt.Errorf("kid: %w", jwks.ErrUnknownKey), 401},
		"zero key":        {&jose.Key{}, nil, 401},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, Config{Keys: sourceFunc(func(context.Context, string) (*jose.Key, error) { return tt.key, tt.err })})
			w := a.get("/", "Bearer "+token)
			if w.Code != tt.status || len(a.tokens) > 0 {
				t.Errorf("status %d, want %d; handler called %d times", w.Code, tt.status, len(a.tokens))
			}
			if tt.status == 503 {
				if w.Header().Get("Retry-After") != "5" || w.Header().Get("WWW-Authenticate") != "" {
					t.Errorf("headers %v", w.Header())
				}
				if tt.err != nil && !errors.Is(a.events[0].Err, tt.err) {
					t.Errorf("the cause in the event is %v", a.events[0].Err)
				}
			}
		})
	}
}

// The request's context is what a key source waits on.
func TestKeysSeeTheRequestsContext(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: sourceFunc(func(ctx context.Context, _ string) (*jose.Key, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+goodToken(t, keys))
	if w := a.send(r); w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
}

func TestRevoked(t *testing.T) {
	keys := newKeyring(t, ecKey)
	type question struct {
		jti, clientID string
		issuedAt      time.Time
	}
	var asked []question
	var revoked bool
	var failure error
	a := newAPI(t, Config{Keys: keys, Revoked: func(_ context.Context, jti, clientID string, issuedAt time.Time) (bool, error) {
		asked = append(asked, question{jti, clientID, issuedAt})
		return revoked, failure
	}}, "orders:read")
	token := sign(t, keys, payload(map[string]string{"iat": "1700000000", "client_id": `"c"`, "jti": `"j"`}))

	a.wantServed(t, token)
	if len(asked) != 1 || asked[0].jti != "j" || asked[0].clientID != "c" || asked[0].issuedAt.Unix() != 1700000000 {
		t.Errorf("asked %v", asked)
	}
	revoked = true
	a.wantInvalid(t, token, "revoked")

	for _, revoked = range []bool{false, true} { // whatever comes with an error is no answer
		failure = errors.New("cannot follow the store")
		w := a.get("/", "Bearer "+token)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !errors.Is(a.events[len(a.events)-1].Err, failure) {
			t.Errorf("status %d, headers %v, cause %s", w.Code, w.Header(), a.cause())
		}
	}
	asked = nil
	a.get("/", "Bearer "+token[:len(token)-8]+"AAAAAAAA")
	a.get("/", "Bearer "+sign(t, keys, payload(map[string]string{"exp": "1"})))
	a.get("/", "Bearer "+sign(t, keys, payload(map[string]string{"aud": `"x"`})))
	if len(asked) > 0 {
		t.Errorf("asked about tokens that are not valid: %v", asked)
	}
	failure, revoked = nil, true
	if w := a.get("/", "Bearer "+sign(t, keys, payload(map[string]string{"scope": `""`}))); w.Code != http.StatusUnauthorized {
		t.Errorf("status %d for a revoked token without the scope: revocation comes before scopes", w.Code)
	}
}
