package outbound

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// captureLog returns what is logged until the test ends.
func captureLog(t *testing.T) *syncBuffer {
	t.Helper()
	var log syncBuffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &log
}

// An observer that blocks holds up no call that can have a valid token, and no refresh.
func TestObserverThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		auth, orders := &server{}, &api{}
		blocked := make(chan event.Op, 100)
		s := newSource(t, auth, func(c *Config) {
			c.Observe = func(_ context.Context, e Event) {
				blocked <- e.Op
				<-release
			}
		})
		began := time.Now()
		wantToken(t, s, "token-1")
		wantToken(t, s.For(testAPI, "other"), "token-2")
		if took := time.Since(began); took != 0 {
			t.Errorf("the calls took %v", took)
		}
		for range 3 * 60 { // through several refreshes
			time.Sleep(time.Minute)
			wantAny(t, s)
		}
		if got := auth.count(); got < 6 {
			t.Errorf("%d token requests in 3 h", got)
		}
		token, _ := s.Token(t.Context())
		orders.refuse(token.Text())
		client := &http.Client{Transport: s.Transport(orders)}
		var replay sync.WaitGroup
		replay.Go(func() {
			if res, err := client.Get(testAPI); err != nil || res.StatusCode != 200 {
				t.Error(res, err)
			}
		})
		synctest.Wait()
		for len(blocked) > 1 {
			<-blocked
		}
		if op := <-blocked; op != event.OpReplay {
			t.Errorf("the latest event is %s", op)
		}
		began = time.Now()
		if res, err := client.Get(testAPI); err != nil || res.StatusCode != 200 || time.Since(began) != 0 {
			t.Errorf("another request: %v, %v after %v", res, err, time.Since(began))
		}
		close(release)
		replay.Wait()
	})
}

// An observer that panics changes nothing, and its panic is logged without its value.
func TestObserverThatPanics(t *testing.T) {
	log := captureLog(t)
	synctest.Test(t, func(t *testing.T) {
		auth, orders := &server{}, &api{}
		orders.refuse("token-1")
		s := newSource(t, auth, func(c *Config) {
			c.Observe = func(_ context.Context, e Event) { panic("the value of " + string(e.Op)) }
		})
		for range 3 {
			if res, err := (&http.Client{Transport: s.Transport(orders)}).Get(testAPI); err != nil || res.StatusCode != 200 {
				t.Error(res, err)
			}
			time.Sleep(50 * time.Minute)
		}
		s.Close()
	})
	if text := log.String(); strings.Count(text, "Config.Observe panicked") < 4 || strings.Contains(text, "the value of") || !strings.Contains(text, "observer_test.go") {
		t.Errorf("the log is %s", text)
	}
}

// A panic of the app's code in a fetch is an error of that fetch.
func TestPanicInAFetch(t *testing.T) {
	for name, fail := range map[string]func(){
		"a text":               func() { panic(testSecret) },
		"an error":             func() { panic(errors.New(testSecret)) },
		"a fault":              func() { _ = []int{}[runtime.NumGoroutine()] },
		"the end of goroutine": runtime.Goexit,
	} {
		for _, in := range []string{"secret", "transport"} {
			log := captureLog(t)
			synctest.Test(t, func(t *testing.T) {
				auth, broken := &server{}, true
				s := newSource(t, roundTrip(func(r *http.Request) (*http.Response, error) {
					if broken && in == "transport" {
						fail()
					}
					return auth.RoundTrip(r)
				}), func(c *Config) {
					c.Secret = func(context.Context) (string, error) {
						if broken && in == "secret" {
							fail()
						}
						return testSecret, nil
					}
				})
				longest(s)
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				if _, err := s.Token(ctx); err == nil || strings.Contains(err.Error(), testSecret) {
					t.Errorf("%s in %s: the error is %v", name, in, err)
				}
				synctest.Wait()
				if st := s.Status(); st.Failed != 1 || !errors.Is(st.LastError, ErrUnavailable) {
					t.Errorf("%s in %s: %+v", name, in, st)
				}
				broken = false
				time.Sleep(longestDelay)
				wantToken(t, s, "token-1")
			})
			if strings.Contains(log.String(), testSecret) {
				t.Errorf("%s in %s: the log is %s", name, in, log)
			}
		}
	}
}

// What an observer does to an event changes nothing.
func TestObserverThatChangesEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth, orders := &server{}, &api{}
		s := newSource(t, auth, func(c *Config) {
			c.Scopes = []string{"orders:read", "orders:write"}
			c.Observe = func(_ context.Context, e Event) {
				for _, list := range [][]string{e.Audience, e.Scopes} {
					for i := range list {
						list[i] = "changed"
					}
					_ = append(list[:0], "changed")
				}
			}
		})
		other := s.For("https://stock.example.com", "stock:read")
		for range 3 {
			for _, s := range []*Source{s, other} {
				token, err := s.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, scope := range token.Scopes() {
					if scope == "changed" {
						t.Fatalf("the token's scopes are %q", token.Scopes())
					}
				}
			}
			time.Sleep(2 * time.Hour)
		}
		token, _ := s.Token(t.Context())
		orders.refuse(token.Text())
		if res, err := (&http.Client{Transport: s.Transport(orders)}).Get(testAPI); err != nil || res.StatusCode != 200 {
			t.Error(res, err)
		}
		wantAny(t, s.For("", "orders:read", "orders:write"))
		for _, form := range auth.requests {
			if text := form.Encode(); strings.Contains(text, "changed") {
				t.Errorf("a token request is %s", text)
			}
		}
		if got := auth.count(); got != 14 { // a refresh each, and the one that was refused
			t.Errorf("%d token requests", got)
		}
	})
}
