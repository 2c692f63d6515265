package doctor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/example/doctor"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

const day = 24 * time.Hour

// found is a finding that a case wants.
type found struct {
	severity doctor.Severity
	check    string
	text     string
}

var cases = map[string]struct {
	change func(t *testing.T, w *world)
	want   found
	status int
}{
	"nothing answers": {
		func(_ *testing.T, w *world) { w.setup.Client = &http.Client{Transport: refusing{}} },
		found{doctor.Wrong, "issuer", "Nothing answers"}, doctor.StatusWrong,
	},
	"another issuer in the metadata": {
		func(_ *testing.T, w *world) { w.path = "/"; w.proxy = replace("/.well-known", `/",`, `",`) },
		found{doctor.Wrong, "issuer", "names the issuer"}, doctor.StatusWrong,
	},
	"no metadata": {
		func(_ *testing.T, w *world) { w.proxy = only("/token") },
		found{doctor.Wrong, "metadata", "answers 404"}, doctor.StatusWrong,
	},
	"a web page for metadata": {
		func(_ *testing.T, w *world) { w.proxy = replace("/.well-known", `{`, `<`) },
		found{doctor.Wrong, "metadata", "something else"}, doctor.StatusWrong,
	},
	"a path, served at both addresses": {
		func(_ *testing.T, w *world) { w.path = "/auth" },
		found{doctor.Good, "metadata", "and at"}, doctor.StatusGood,
	},
	"a proxy that passes on the prefix alone": {
		func(_ *testing.T, w *world) { w.path = "/auth"; w.proxy = only("/auth/") },
		found{doctor.Wrong, "metadata", "/auth/.well-known/oauth-authorization-server alone"}, doctor.StatusWrong,
	},
	"a proxy that removes the prefix": {
		func(_ *testing.T, w *world) {
			w.path = "/auth"
			w.proxy = func(next http.Handler) http.Handler { return http.StripPrefix("/auth", next) }
		},
		found{doctor.Wrong, "metadata", "It is neither at"}, doctor.StatusWrong,
	},
	"a proxy that lacks the token endpoint": {
		func(_ *testing.T, w *world) { w.proxy = only("/.well-known/") },
		found{doctor.Wrong, "issuer", "The token endpoint"}, doctor.StatusWrong,
	},
	"a key set that is not passed on": {
		func(_ *testing.T, w *world) { w.proxy = only("/.well-known/oauth") },
		found{doctor.Wrong, "keys", "No keys can be read"}, doctor.StatusWrong,
	},
	"a key set in another place": {
		func(_ *testing.T, w *world) { w.setup.JWKSURL = "http://127.0.0.1:1/jwks.json" },
		found{doctor.Wrong, "keys", "cannot be fetched"}, doctor.StatusWrong,
	},
	"a key set that may not be cached": {
		func(_ *testing.T, w *world) { w.proxy = header("jwks.json", "Cache-Control", "no-store") },
		found{doctor.Wrong, "keys", "may not be cached"}, doctor.StatusWrong,
	},
	"a key set that is cached for longer than the policy says": {
		func(_ *testing.T, w *world) {
			w.proxy = header("jwks.json", "Cache-Control", "public, max-age=86400")
		},
		found{doctor.Wrong, "keys", "something in front lengthens it"}, doctor.StatusWrong,
	},
	"a key set without Cache-Control": {
		func(_ *testing.T, w *world) { w.proxy = header("jwks.json", "Cache-Control", "") },
		found{doctor.Notice, "keys", "does not say how long"}, doctor.StatusGood,
	},
	"a key set of another type": {
		func(_ *testing.T, w *world) { w.proxy = header("jwks.json", "Content-Type", "text/html") },
		found{doctor.Notice, "keys", `"text/html"`}, doctor.StatusGood,
	},
	"a redirect on the host": {
		func(_ *testing.T, w *world) { w.proxy = redirect("/.well-known/jwks.json", "/keys", "/keys") },
		found{doctor.Notice, "keys", "redirects to /keys"}, doctor.StatusGood,
	},
	"a redirect to another host": {
		func(_ *testing.T, w *world) {
			w.proxy = redirect("/.well-known/jwks.json", "http://localhost:1/keys", "/keys")
		},
		found{doctor.Wrong, "keys", "on another host"}, doctor.StatusWrong,
	},
	"a key that cannot be used": {
		func(_ *testing.T, w *world) {
			w.proxy = replace("/.well-known/jwks", `"keys":[`, `"keys":[{"kty":"odd","kid":"odd-one"},`)
		},
		found{doctor.Notice, "keys", `"odd-one"`}, doctor.StatusGood,
	},
	"a server with a wrong Date": {
		func(_ *testing.T, w *world) {
			w.proxy = header("server", "Date", time.Now().Add(-5*time.Minute).UTC().Format(http.TimeFormat))
		},
		found{doctor.Wrong, "clock", "ahead of the issuer's"}, doctor.StatusWrong,
	},
	"a server that is a little ahead": {
		func(_ *testing.T, w *world) {
			w.proxy = header("server", "Date", time.Now().Add(20*time.Second).UTC().Format(http.TimeFormat))
		},
		found{doctor.Notice, "clock", "behind"}, doctor.StatusGood,
	},
	"a server without a Date": {
		func(_ *testing.T, w *world) { w.proxy = header("server", "Date", "") },
		found{doctor.Unchecked, "clock", "no Date"}, doctor.StatusUnchecked,
	},
	"an open route": {
		func(_ *testing.T, w *world) {
			w.routes = func(e *echo.Echo, auth *bearer.Bearer) {
				e.GET("/orders", ok, auth.Require("orders:read"))
				e.DELETE("/orders/:id", ok)
			}
		},
		found{doctor.Wrong, "routes", "DELETE /orders/:id answers 204"}, doctor.StatusWrong,
	},
	"an app that cannot be made": {
		func(_ *testing.T, w *world) {
			w.setup.App = func(*jwks.Keyring, *registry.Memory) (*echo.Echo, func() error, error) {
				return nil, nil, errors.New("no port")
			}
		},
		found{doctor.Wrong, "routes", "no port"}, doctor.StatusWrong,
	},
	"a scope that a route wants and no client has": {
		func(_ *testing.T, w *world) {
			w.routes = func(e *echo.Echo, auth *bearer.Bearer) { e.GET("/bills", ok, auth.Require("bills:read")) }
		},
		found{doctor.Notice, "scopes", `"bills:read", which GET /bills wants`}, doctor.StatusGood,
	},
	"a scope of Resources that no client has": {
		func(_ *testing.T, w *world) {
			w.setup.Resources = map[string][]string{audience: {"orders:read", "orders:write"}}
		},
		found{doctor.Notice, "scopes", `"orders:write"`}, doctor.StatusGood,
	},
	"a scope that Resources lacks": {
		func(_ *testing.T, w *world) { w.setup.Resources = map[string][]string{audience: {}} },
		found{doctor.Notice, "scopes", `Client "reports" has the scope "orders:read"`}, doctor.StatusGood,
	},
	"an audience that Resources lacks": {
		func(_ *testing.T, w *world) {
			w.setup.Resources = map[string][]string{"https://other.example.com": {"orders:read"}}
		},
		found{doctor.Wrong, "audiences", "not in Config.Resources"}, doctor.StatusWrong,
	},
	"an audience of no API": {
		func(_ *testing.T, w *world) {
			w.clients[0].Audiences = []string{audience, audience + "/"}
			w.clients[0].DefaultAudience = audience
		},
		found{doctor.Notice, "audiences", "which no API known here has"}, doctor.StatusGood,
	},
	"an audience of no client": {
		func(_ *testing.T, w *world) { w.setup.Audiences = []string{"https://second.example.com"} },
		found{doctor.Notice, "audiences", `"https://second.example.com"`}, doctor.StatusGood,
	},
	"a client without an audience": {
		func(_ *testing.T, w *world) { w.clients[0].Audiences = nil },
		found{doctor.Wrong, "audiences", `Client "reports" has no audience`}, doctor.StatusWrong,
	},
	"many clients without an audience": {
		func(_ *testing.T, w *world) { w.clients = many(1200) },
		found{doctor.Wrong, "audiences", `Each of 1200 clients ("c0000", "c0001", "c0002", "c0003", "c0004", …)`}, doctor.StatusWrong,
	},
	"no clients": {
		func(_ *testing.T, w *world) { w.clients = nil },
		found{doctor.Notice, "clients", "no clients"}, doctor.StatusGood,
	},
	"a client without a secret": {
		func(_ *testing.T, w *world) { w.clients[0].Secrets = nil },
		found{doctor.Notice, "secrets", "no secret"}, doctor.StatusGood,
	},
	"a client with keys and no secret": {
		func(_ *testing.T, w *world) {
			w.clients[0].Secrets, w.clients[0].JWKSURI = nil, "https://reports.example.com/jwks"
		},
		found{doctor.Good, "clients", "secrets fit"}, doctor.StatusGood,
	},
	"an imported secret": {
		func(t *testing.T, w *world) {
			secret, err := registry.HashSecret("chosen by a person")
			if err != nil {
				t.Fatal(err)
			}
			w.clients[0].Secrets = []registry.Secret{secret}
		},
		found{doctor.Wrong, "secrets", "such secrets are refused"}, doctor.StatusWrong,
	},
	"a secret that was not used for long": {
		func(_ *testing.T, w *world) {
			s := &w.clients[0].Secrets[0]
			s.CreatedAt, s.LastUsedAt = time.Now().Add(-400*day), time.Now().Add(-100*day)
		},
		found{doctor.Notice, "secrets", "not used for 90 days"}, doctor.StatusGood,
	},
	"the last secret expires": {
		func(_ *testing.T, w *world) { w.clients[0].Secrets[0].ExpiresAt = time.Now().Add(3 * day) },
		found{doctor.Wrong, "secrets", "expires within 7 days"}, doctor.StatusWrong,
	},
	"an old secret is still in use": {
		func(_ *testing.T, w *world) {
			s := &w.clients[0].Secrets[0]
			s.ExpiresAt, s.LastUsedAt = time.Now().Add(3*day), time.Now()
			w.clients[0].Secrets = append(w.clients[0].Secrets, client().Secrets[0])
		},
		found{doctor.Notice, "secrets", "still uses a secret"}, doctor.StatusGood,
	},
	"a disabled client is nobody's trouble": {
		func(_ *testing.T, w *world) {
			w.clients = append(w.clients, registry.Client{ID: "off", Disabled: true})
		},
		found{doctor.Good, "clients", "2 clients"}, doctor.StatusGood,
	},
	"a store that is away": {
		func(_ *testing.T, w *world) {
			w.setup.Open = func(context.Context) (registry.Manager, jwks.KeyStore, error) { return nil, nil, errAway }
		},
		found{doctor.Wrong, "store", "cannot be opened: the database is away"}, doctor.StatusWrong,
	},
	"a store of older tables": {
		func(_ *testing.T, w *world) {
			w.setup.Open = func(context.Context) (registry.Manager, jwks.KeyStore, error) {
				return nil, jwks.File(w.keyFile), fmt.Errorf("sqlstore: %w", sqlstore.ErrOldTables)
			}
		},
		found{doctor.Wrong, "store", "older than this release needs"}, doctor.StatusWrong,
	},
	"a store that is not ready": {
		func(_ *testing.T, w *world) { w.store = failing{Manager: &registry.Memory{}, ready: true} },
		found{doctor.Wrong, "store", "not ready"}, doctor.StatusWrong,
	},
	"clients that cannot be listed": {
		func(_ *testing.T, w *world) { w.store = failing{Manager: &registry.Memory{}, list: true} },
		found{doctor.Unchecked, "clients", "cannot be listed"}, doctor.StatusUnchecked,
	},
	"a store with another clock": {
		func(_ *testing.T, w *world) { w.store = clock{&registry.Memory{}, -2 * time.Minute} },
		found{doctor.Wrong, "clock", "the store's differ by"}, doctor.StatusWrong,
	},
	"no keys, and clients": {
		func(_ *testing.T, w *world) { w.noKeys = true },
		found{doctor.Wrong, "timetable", "were the keys lost"}, doctor.StatusWrong,
	},
	"no keys and no clients": {
		func(_ *testing.T, w *world) { w.noKeys, w.clients = true, nil },
		found{doctor.Notice, "timetable", "no signing keys yet"}, doctor.StatusGood,
	},
	"a key file that others can read": {
		func(_ *testing.T, w *world) {
			open := w.keyFile
			w.setup.Open = func(context.Context) (registry.Manager, jwks.KeyStore, error) {
				return w.store, jwks.File(open), os.Chmod(open, 0o644)
			}
		},
		found{doctor.Wrong, "timetable", "chmod 600"}, doctor.StatusWrong,
	},
	"a policy that cannot be kept": {
		func(_ *testing.T, w *world) { w.setup.Policy = jwks.Policy{Announce: time.Second} },
		found{doctor.Wrong, "timetable", "Announce"}, doctor.StatusWrong,
	},
	"a rotation in the next week": {
		func(_ *testing.T, w *world) { w.setup.Ahead = 40 * day },
		found{doctor.Good, "timetable", ": a next key is announced"}, doctor.StatusGood,
	},
}

func TestFindings(t *testing.T) {
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tt.change(t, w)
			w.serve(t)
			r := doctor.Check(t.Context(), w.setup)
			if !says(r, tt.want.severity, tt.want.check, tt.want.text) || r.Status() != tt.status {
				t.Errorf("status %d, want %d with %v %s %q:\n%s", r.Status(), tt.status, tt.want.severity, tt.want.check, tt.want.text, written(t, r))
			}
		})
	}
}

// TestGood wants nothing but good findings of a world in which all is well, and no
// trace of the doctor in it.
func TestGood(t *testing.T) {
	w := newWorld(t)
	w.serve(t)
	before, err := os.ReadFile(w.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	r := doctor.Check(t.Context(), w.setup)
	for _, f := range r.Findings {
		if f.Severity != doctor.Good || f.Do != "" {
			t.Errorf("%+v", f)
		}
	}
	for _, check := range []string{"issuer", "metadata", "clock", "keys", "routes", "store", "clients", "timetable"} {
		if !says(r, doctor.Good, check, "") {
			t.Errorf("%s is not reported", check)
		}
	}
	if !strings.Contains(written(t, r), "wrong: 0, not checked: 0, notes: 0, ok: ") || r.Status() != doctor.StatusGood {
		t.Errorf("status %d:\n%s", r.Status(), written(t, r))
	}
	if after, err := os.ReadFile(w.keyFile); err != nil || string(after) != string(before) {
		t.Errorf("the keys were written: %v", err)
	}
	if clients, err := w.store.List(t.Context(), registry.Query{}); err != nil || len(clients) != 1 {
		t.Errorf("%d clients, %v", len(clients), err)
	}
}

// TestTimetable checks the keys of an issuer that runs, or has not run for a while.
func TestTimetable(t *testing.T) {
	hourly := jwks.Policy{RotateEvery: 2 * time.Hour, Announce: time.Hour, Quiet: true}
	for name, tt := range map[string]struct {
		policy      jwks.Policy
		runs, stops time.Duration
		want        found
	}{
		"runs for long":        {jwks.Policy{Quiet: true}, 2 * day, 0, found{doctor.Good, "timetable", "Nothing changes in the next 7 days"}},
		"stopped for hours":    {hourly, 3 * time.Hour, 5 * time.Hour, found{doctor.Notice, "timetable", "should have been planned by now"}},
		"stopped for 100 days": {jwks.Policy{Quiet: true}, time.Hour, 100 * day, found{doctor.Notice, "timetable", "later than the last write"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := jwks.File(filepath.Join(t.TempDir(), "keys.json"))
				keys, err := jwks.Open(t.Context(), store, tt.policy)
				if err != nil {
					t.Fatal(err)
				}
				for begun := time.Now(); time.Since(begun) < tt.runs; time.Sleep(10 * time.Minute) {
					if err := keys.Ready(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				keys.Close()
				time.Sleep(tt.stops)
				before, err := store.Load(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				r := doctor.Check(t.Context(), doctor.Setup{
					Issuer: "https://auth.example.com",
					Client: &http.Client{Transport: refusing{}},
					Policy: tt.policy,
					Open:   func(context.Context) (registry.Manager, jwks.KeyStore, error) { return &registry.Memory{}, store, nil },
				})
				if !says(r, tt.want.severity, tt.want.check, tt.want.text) || says(r, doctor.Wrong, "timetable", "") {
					t.Error(written(t, r))
				}
				if after, err := store.Load(t.Context()); err != nil || !bytes.Equal(before, after) {
					t.Errorf("the keys were written: %v", err)
				}
			})
		})
	}
}

// TestIssuerNames refuses issuer identifiers that no verifier takes.
func TestIssuerNames(t *testing.T) {
	for _, name := range []string{"", "auth.example.com", "http://auth.example.com", "https://auth.example.com?x=1", "https://auth.example.com#x"} {
		r := doctor.Check(t.Context(), doctor.Setup{Issuer: name})
		if !says(r, doctor.Wrong, "issuer", "") || r.Status() != doctor.StatusWrong {
			t.Errorf("%q: %s", name, written(t, r))
		}
	}
}

// TestZero wants no panic, and no report that passes for good.
func TestZero(t *testing.T) {
	var r doctor.Report
	if r.Status() != doctor.StatusUnchecked {
		t.Errorf("an empty report: %d", r.Status())
	}
	if s := (doctor.Finding{}).Severity; s != doctor.Unchecked || s.String() != "not checked" {
		t.Errorf("the zero severity: %v", s)
	}
	written(t, r)
}

// refusing is a transport that reaches nothing.
type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errAway }

// clock is a store with a clock of its own.
type clock struct {
	registry.Manager
	off time.Duration
}

func (c clock) Changes(ctx context.Context, since int64) (registry.Page, error) {
	page, err := c.Manager.Changes(ctx, since)
	page.Now = time.Now().Add(c.off)
	return page, err
}

// replace is a proxy that changes what is served below a path.
func replace(prefix, before, after string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.URL.Path, prefix) {
				next.ServeHTTP(w, r)
				return
			}
			recorded := httptest.NewRecorder()
			next.ServeHTTP(recorded, r)
			w.WriteHeader(recorded.Code)
			_, _ = w.Write([]byte(strings.Replace(recorded.Body.String(), before, after, 1)))
		})
	}
}

// redirect is a proxy that has moved a path to another place, where it serves it.
func redirect(from, to, served string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case from:
				http.Redirect(w, r, to, http.StatusFound)
			case served:
				r.URL.Path = from
				next.ServeHTTP(w, r)
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}
