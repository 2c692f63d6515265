package middleware

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// Ready and Status follow the keys and the revocations. A failure that cannot
// be checked again counts for some seconds: an API that gets no requests while it is not
// ready would stay so.
func TestReadyAndStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeyring(t, ecKey)
		var down, broken error
		a := newAPI(t, Config{
			Keys: sourceFunc(func(ctx context.Context, kid string) (*jose.Key, error) {
				if down != nil {
					return nil, down
				}
				return keys.Key(ctx, kid, "")
			}),
			Revoked: func(context.Context, string, string, time.Time) (bool, error) { return false, broken },
		})
		want := func(when string, ready, keysErr, revocations error) {
			t.Helper()
			s := a.auth.Status()
			if err := a.auth.Ready(t.Context()); !errors.Is(err, ready) || (err == nil) != (ready == nil) {
				t.Errorf("%s: Ready: %v", when, err)
			}
			if !errors.Is(s.Keys, keysErr) || !errors.Is(s.Revocations, revocations) || (s.Keys == nil) != (keysErr == nil) || (s.Revocations == nil) != (revocations == nil) {
				t.Errorf("%s: %+v", when, s)
			}
		}
		token := "Bearer " + goodToken(t, keys)
		want("before any request", nil, nil, nil)
		down = jwks.ErrUnavailable
		a.get("/", token)
		want("no keys", down, down, nil)
		down, broken = nil, errors.New("no store")
		a.get("/", token)
		want("no revocations", broken, nil, broken)
		time.Sleep(recently + time.Second)
		want("a while later", nil, nil, broken)
		a.get("/", token)
		want("again", broken, nil, broken)
		broken = nil
		a.get("/", token)
		want("all is well", nil, nil, nil)
		broken = context.Canceled
		a.get("/", token)
		want("a caller left", nil, nil, nil)
	})
	var none *Bearer
	for _, b := range []*Bearer{none, {}} {
		if err := b.Ready(t.Context()); !errors.Is(err, jwks.ErrUnavailable) || b.Status().Keys == nil {
			t.Errorf("a Bearer that New did not make: %v, %+v", err, b.Status())
		}
	}
}

// Status counts the answers of the cache and the signature checks. The check of scopes,
// a second guard and a token that has no signature to check are neither.
func TestStatusCountsHitsAndMisses(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys, CacheSize: 10, Observe: func(context.Context, Event) {}})
	token := goodToken(t, keys)
	want := func(when string, hits, misses uint64) {
		t.Helper()
		if s := a.auth.Status(); s.Hits != hits || s.Misses != misses {
			t.Errorf("%s: %d hits and %d misses, want %d and %d", when, s.Hits, s.Misses, hits, misses)
		}
	}
	want("before any request", 0, 0)
	for n := range 5 {
		a.wantServed(t, token)
		want("a valid token", uint64(max(0, n-1)), uint64(min(n+1, 2)))
	}
	a.get("/", "Bearer "+token[:len(token)-4]+"AAAA")
	want("a forged token", 3, 3)
	a.get("/", "Bearer a.b.c")
	a.get("/", "")
	want("no signature", 3, 3)
	guard := a.auth.Handler(a.auth.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), "none such"))
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 100 {
				send(guard, request(http.MethodGet, "/", "Bearer "+token))
			}
		})
	}
	callers.Wait()
	want("many callers, two guards", 803, 3)
}

// A source that can say whether it can serve is asked.
func TestReadyAsksTheSource(t *testing.T) {
	remote := jwks.NewRemote("http://127.0.0.1:1/", jwks.RemoteConfig{Quiet: true})
	defer remote.Close()
	for _, tt := range []struct {
		keys jwks.Source
		want error
	}{{remote, jwks.ErrUnavailable}, {jwks.NewFixed(&jose.Set{}), jwks.ErrUnavailable}, {newKeyring(t, ecKey), nil}} {
		b := benchGuard(t, Config{Keys: tt.keys})
		if err := b.Ready(t.Context()); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%T: %v", tt.keys, err)
		}
	}
}

// Introspection that fails, and answers again: Ready, Status and the log say so once.
func TestIntrospectionTroubleIsTold(t *testing.T) {
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	for _, quiet := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			keys := newKeyring(t, ecKey)
			status := http.StatusOK
			j := &judge{says: func(string) (int, http.Header, string) { return status, nil, `{"active":true}` }}
			b := benchGuard(t, Config{Keys: keys, Quiet: quiet, Introspection: &Introspection{
				Endpoint: "https://auth.example.com/introspect", ClientID: "api", ClientSecret: "s", Client: &http.Client{Transport: j}, CacheFor: time.Nanosecond,
			}})
			guard := b.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			ask := func(want int) {
				t.Helper()
				for range 3 {
					if w := ask(guard, http.MethodGet, "/", "Bearer "+goodToken(t, keys)); w.Code != want {
						t.Errorf("status %d, want %d", w.Code, want)
					}
					time.Sleep(2 * time.Second)
				}
			}
			logged := func(lines int, parts ...string) {
				t.Helper()
				got := out.String()
				out.Reset()
				if quiet {
					lines, parts = 0, nil
				}
				if strings.Count(got, "\n") != lines || slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(got, p) }) {
					t.Errorf("logged %q, want %d lines with %q", got, lines, parts)
				}
			}
			ask(http.StatusOK)
			logged(0)
			if s := b.Status(); s.Revocations != nil || s.Asking != 0 || b.Ready(t.Context()) != nil {
				t.Errorf("%+v", s)
			}
			status = http.StatusBadGateway
			ask(http.StatusServiceUnavailable)
			logged(1, "level=WARN", "msg=introspect", "reason=revocations_unavailable", "url=https://auth.example.com/introspect", "502")
			if s := b.Status(); s.Revocations == nil || b.Ready(t.Context()) != nil {
				t.Errorf("%+v, %v", s, b.Ready(t.Context()))
			}
			status = http.StatusOK
			ask(http.StatusOK)
			logged(1, "level=INFO", "msg=introspect")
			if s := b.Status(); s.Revocations != nil || s.Answers == 0 {
				t.Errorf("%+v", s)
			}
			_ = b.Close()
			if b.Ready(t.Context()) == nil || b.Status().Revocations == nil {
				t.Error("ready after Close")
			}
		})
	}
}

// While an API's identifier changes, a token for either name is let in.
func TestAudiences(t *testing.T) {
	const old, other = "https://api.example.com/", "https://other.example.com"
	keys := newKeyring(t, ecKey)
	for _, size := range []int{-1, 100} {
		a := newAPI(t, Config{Keys: keys, Audience: "-", CacheSize: size})
		auth, err := New(Config{Issuer: testIssuer, Audiences: []string{testAudience, old}, Keys: keys, CacheSize: size})
		if err != nil {
			t.Fatal(err)
		}
		a.GET("/two", a.serve, auth.Require())
		for aud, want := range map[string][]string{
			`"` + testAudience + `"`: {testAudience}, `"` + old + `"`: {old}, `["` + old + `"]`: {old}, `["` + other + `","` + old + `"]`: {other, old},
			`["` + testAudience + `","` + old + `"]`: {testAudience, old},
			`"` + other + `"`:                        nil, `["` + other + `"]`: nil, `[]`: nil, `""`: nil, `"` + strings.ToUpper(old) + `"`: nil, `null`: nil,
		} {
			token := "Bearer " + sign(t, keys, payload(map[string]string{"aud": aud}))
			for range 3 {
				a.tokens = nil
				w := a.get("/two", token)
				switch {
				case want == nil && (w.Code != http.StatusUnauthorized || len(a.tokens) > 0):
					t.Errorf("aud %s: status %d", aud, w.Code)
				case want != nil && (w.Code != http.StatusOK || !slices.Equal(a.tokens[0].Audience, want)):
					t.Errorf("aud %s: status %d, %+v", aud, w.Code, a.tokens)
				}
			}
		}
	}
	for says, c := range map[string]Config{
		"Config.Audience and Config.Audiences are both set": {Audience: testAudience, Audiences: []string{old}},
		"Config.Audiences holds an empty name":              {Audiences: []string{testAudience, ""}},
		"Config.Audience is empty":                          {Audiences: []string{}},
		"has white space around it":                         {Audiences: []string{testAudience, " " + old}},
	} {
		c.Issuer, c.Keys = testIssuer, keys
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want an error that says %q", err, says)
		}
	}
	list := []string{testAudience}
	b, err := New(Config{Issuer: testIssuer, Audiences: list, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	list[0] = other
	if w := ask(b.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), http.MethodGet, "/", "Bearer "+goodToken(t, keys)); w.Code != http.StatusOK {
		t.Errorf("New did not copy: status %d", w.Code)
	}
}

// RFC 9110, section 15.5.2: a 401 has a challenge, also one of the app.
func TestEvery401HasAChallenge(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	mine := &Error{Status: http.StatusUnauthorized, Code: "invalid_token", Description: "log in again"}
	a.GET("/echo", a.serve, a.auth.RequireFunc(func(echo.Context, *Token) error { return echo.ErrUnauthorized }))
	a.GET("/own", a.serve, a.auth.RequireFunc(func(c echo.Context, _ *Token) error {
		c.Response().Header().Set("WWW-Authenticate", `DPoP algs="ES256"`)
		return echo.ErrUnauthorized
	}))
	a.GET("/error", a.serve, a.auth.RequireFunc(func(echo.Context, *Token) error { return mine }))
	good := "Bearer " + goodToken(t, keys)
	for _, tt := range []struct{ path, authorization, want string }{
		{"/", "", `Bearer realm="api"`},
		{"/", "Basic x", `Bearer realm="api"`},
		{"/", "Bearer x", `Bearer error="invalid_token", error_description="the access token is not valid"`},
		{"/echo", good, `Bearer realm="api"`},
		{"/own", good, `DPoP algs="ES256"`},
		{"/error", good, `Bearer error="invalid_token", error_description="log in again"`},
	} {
		if w := a.get(tt.path, tt.authorization); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != tt.want {
			t.Errorf("%s: status %d, challenge %q, want %q", tt.path, w.Code, w.Header().Get("WWW-Authenticate"), tt.want)
		}
	}
}

// RFC 7519, section 2: a date is a JSON number, in any spelling.
func TestDatesInEverySpelling(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	for _, changes := range []map[string]string{
		{"exp": "1.9E9"}, {"exp": "1.9e+09"}, {"exp": "19000000000e-1"}, {"exp": "0.0000000019E18"}, {"exp": "4102444800.5", "iat": "1.7e9", "nbf": "0.17e10"}, {"nbf": "-0"},
	} {
		a.wantServed(t, sign(t, keys, payload(changes)))
	}
	for _, changes := range []map[string]string{{"exp": "1.6e9"}, {"exp": "1e30"}, {"exp": "-1.9e9"}, {"nbf": "4.1e9"}, {"iat": "4.1e9"}} {
		a.wantInvalid(t, sign(t, keys, payload(changes)), "")
	}
}

// encoding/json would let the last of two claims win that differ in case alone.
func TestClaimsThatDifferInCase(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	token := a.wantServed(t, sign(t, keys, payload(map[string]string{"role": `"reader"`, "Role": `"admin"`})))
	var mine struct {
		Role string `json:"role"`
	}
	if err := token.Claims(&mine); err == nil || mine.Role != "" {
		t.Errorf("%+v, %v", mine, err)
	}
}

// A Bearer that finds its keys itself says in its Status all that its fetcher knows, and is
// ready as that is.
func TestStatusOfFoundKeys(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	mux.HandleFunc("/.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, server.URL, server.URL+"/jwks")
	})
	mux.Handle("/jwks", keys)
	auth, err := New(Config{Issuer: server.URL, Audience: testAudience})
	if err != nil {
		t.Fatal(err)
	}
	defer auth.Close()
	if s := auth.Status(); s.Issuer != server.URL || s.Fetched == nil || s.Fetched.Fetches != 0 {
		t.Errorf("before the first request: %+v", s)
	}
	if err := auth.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	s := auth.Status()
	if s.Fetched == nil || s.Fetched.Keys != 1 || s.Fetched.URL != server.URL+"/jwks" || s.Fetched.LastError != nil {
		t.Errorf("after Ready: %+v", s.Fetched)
	}
	document, err := json.Marshal(s)
	if err != nil || !strings.Contains(string(document), `"URL":"`+server.URL) || !strings.Contains(string(document), `"Fetched":{`) {
		t.Errorf("%s, %v", document, err)
	}
	if given := newAPI(t, Config{Keys: keys}).auth.Status(); given.Fetched != nil {
		t.Error("Keys of the app are shown as found")
	}
}
