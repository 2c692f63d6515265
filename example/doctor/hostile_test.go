package doctor_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/example/doctor"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// at is a proxy that answers one path itself.
func at(path string, answer http.HandlerFunc) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				answer(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// TestNotGood wants no good report of a world in which something is wrong.
func TestNotGood(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(w *world)
		want   found
		status int
	}{
		"a page of the proxy at the token endpoint": {
			func(w *world) {
				w.proxy = at("/token", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
			},
			found{doctor.Wrong, "issuer", "answers 200 to a GET"}, doctor.StatusWrong,
		},
		"a token endpoint that redirects": {
			func(w *world) { w.proxy = at("/token", http.RedirectHandler("/login", http.StatusFound).ServeHTTP) },
			found{doctor.Wrong, "issuer", "answers 302 to a GET"}, doctor.StatusWrong,
		},
		"a firewall at the token endpoint": {
			func(w *world) {
				w.proxy = at("/token", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
			},
			found{doctor.Unchecked, "issuer", "answers 403"}, doctor.StatusUnchecked,
		},
		"a negative max-age": {
			func(w *world) { w.proxy = header("jwks.json", "Cache-Control", "max-age=-5") },
			found{doctor.Wrong, "keys", "may not be cached"}, doctor.StatusWrong,
		},
		"no store, and no error": {
			func(w *world) {
				w.setup.Open = func(context.Context) (registry.Manager, jwks.KeyStore, error) { return nil, nil, nil }
			},
			found{doctor.Unchecked, "store", ""}, doctor.StatusUnchecked,
		},
		"no store of keys, and no error": {
			func(w *world) {
				w.setup.Open = func(context.Context) (registry.Manager, jwks.KeyStore, error) { return w.store, nil, nil }
			},
			found{doctor.Unchecked, "timetable", ""}, doctor.StatusUnchecked,
		},
		"a handler that panics": {
			func(w *world) {
				w.routes = func(e *echo.Echo, _ *bearer.Bearer) { e.GET("/boom", func(echo.Context) error { panic("boom") }) }
			},
			found{doctor.Wrong, "routes", "GET /boom panics"}, doctor.StatusWrong,
		},
		"an app without routes": {
			func(w *world) { w.routes = func(*echo.Echo, *bearer.Bearer) {} },
			found{doctor.Unchecked, "routes", ""}, doctor.StatusUnchecked,
		},
		"a Date made right by Age": {
			func(w *world) {
				w.proxy = func(next http.Handler) http.Handler {
					return header("oauth-authorization-server", "Date", time.Now().Add(-10*day).UTC().Format(http.TimeFormat))(
						header("oauth-authorization-server", "Age", "864000000000")(next))
				}
			},
			found{doctor.Unchecked, "clock", "Age"}, doctor.StatusUnchecked,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tt.change(w)
			w.serve(t)
			r := doctor.Check(t.Context(), w.setup)
			if !says(r, tt.want.severity, tt.want.check, tt.want.text) || r.Status() != tt.status {
				t.Errorf("status %d, want %d with %v %s %q:\n%s", r.Status(), tt.status, tt.want.severity, tt.want.check, tt.want.text, written(t, r))
			}
		})
	}
}

// TestAppWithoutAudience is an app whose routes cannot be called, which must not pass
// for good.
func TestAppWithoutAudience(t *testing.T) {
	w := newWorld(t)
	w.serve(t)
	w.setup.Audiences = nil
	if r := doctor.Check(t.Context(), w.setup); !says(r, doctor.Unchecked, "routes", "") || r.Status() != doctor.StatusUnchecked {
		t.Error(written(t, r))
	}
}

// TestHangingHandler ends in time also if a handler does not.
func TestHangingHandler(t *testing.T) {
	w := newWorld(t)
	stop := make(chan struct{})
	defer close(stop)
	w.routes = func(e *echo.Echo, _ *bearer.Bearer) {
		e.GET("/events", func(echo.Context) error { <-stop; return nil })
	}
	w.serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	ended := make(chan doctor.Report, 1)
	go func() { ended <- doctor.Check(ctx, w.setup) }()
	select {
	case r := <-ended:
		if !says(r, doctor.Wrong, "routes", "GET /events does not answer") {
			t.Error(written(t, r))
		}
	case <-time.After(20 * time.Second):
		t.Error("the doctor hangs")
	}
}

// TestSwitchingProtocols ends when an issuer answers 101 and keeps the connection, which
// ends with no context.
func TestSwitchingProtocols(t *testing.T) {
	w := newWorld(t)
	w.proxy = at("/.well-known/oauth-authorization-server", func(rw http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"))
	})
	w.serve(t)
	ended := make(chan doctor.Report, 1)
	go func() { ended <- doctor.Check(t.Context(), w.setup) }()
	select {
	case r := <-ended:
		if r.Status() == doctor.StatusGood {
			t.Error(written(t, r))
		}
	case <-time.After(time.Minute):
		t.Error("the doctor hangs")
	}
}

// TestReportIsPlainText writes what a hostile issuer sent without control characters and
// without lines of its own, and not much of it.
func TestReportIsPlainText(t *testing.T) {
	w := newWorld(t)
	forged := `https://x/\n\u001b[2J\nwrong: 0, not checked: 0` + strings.Repeat("x", 1<<20)
	w.proxy = at("/.well-known/oauth-authorization-server", func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = rw.Write([]byte(`{"issuer":"` + w.setup.Issuer + `","token_endpoint":"` + forged + `","jwks_uri":"` + forged + `"}`))
	})
	w.serve(t)
	r := doctor.Check(t.Context(), w.setup)
	text := written(t, r)
	if strings.Contains(text, "\x1b") || strings.Contains(text, "\nwrong: 0") || len(text) > 20_000 || r.Status() != doctor.StatusWrong {
		t.Errorf("status %d, %d bytes: %.2000q", r.Status(), len(text), text)
	}
}

// TestIssuerWithPassword repeats no password of an address in its report.
func TestIssuerWithPassword(t *testing.T) {
	w := newWorld(t)
	w.serve(t)
	for _, address := range []string{"https://m2m:hunter2@auth.example.com", "http://m2m:hunter2@127.0.0.1:1/x", "https://m2m:hunter2@auth.example.com?x"} {
		w.setup.Issuer = address
		r := doctor.Check(t.Context(), w.setup)
		if text := written(t, r); strings.Contains(text, "hunter2") || r.Status() != doctor.StatusWrong {
			t.Errorf("%s", text)
		}
	}
}
