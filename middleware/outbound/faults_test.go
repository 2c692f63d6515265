package outbound

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The ten faults of golang.org/x/oauth2/clientcredentials that this package is for.

func TestOutageCostsOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{answer: alwaysAnswer(503, `down`, "Retry-After", "5")}
		s := newSource(t, auth, nil)
		var calls sync.WaitGroup
		began := time.Now()
		for range 100 {
			calls.Go(func() {
				_, err := s.Token(t.Context())
				wantUnavailable(t, err)
				if e, ok := errors.AsType[*Error](err); !ok || e.Status != 503 {
					t.Errorf("the error is %v, want the 503", err)
				}
			})
		}
		calls.Wait()
		if got := auth.count(); got != 1 {
			t.Errorf("100 calls made %d requests", got)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the calls took %v", took)
		}
		// Retry-After is kept, and then the server is asked again.
		for time.Since(began) < 5*time.Second {
			if _, err := s.Token(t.Context()); err == nil {
				t.Fatal("there is a token")
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := auth.count(); got > 2 {
			t.Errorf("there were %d requests within Retry-After", got)
		}
		auth.set(func(s *server) { s.answer = nil })
		time.Sleep(3 * time.Second)
		wantToken(t, s, "token-1")
	})
}

func TestCancelledCallerBreaksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{takes: time.Second}
		s := newSource(t, auth, nil)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if _, err := s.Token(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v, want the caller's own", err)
		}
		wantToken(t, s, "token-1")
		if got := auth.count(); got != 1 {
			t.Errorf("there were %d requests", got)
		}
		if _, err := s.For(testAPI, "other").Token(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a call with an ended context: %v", err)
		}
		synctest.Wait()
		if got := auth.count(); got != 1 {
			t.Error("a call with an ended context began a fetch")
		}
	})
}

func TestRedirectsCarryNoToken(t *testing.T) {
	var elsewhere []http.Header
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { elsewhere = append(elsewhere, r.Header) }))
	defer other.Close()
	var hops []string
	apiServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hops = append(hops, r.URL.Path+" "+r.Header.Get("Authorization"))
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/near":
			http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
		}
	}))
	defer apiServer.Close()
	auth := &server{}
	s := newSource(t, auth, func(c *Config) { c.Origins = []string{apiServer.URL} })
	client := s.Client()
	client.Transport = s.Transport(http.DefaultTransport)
	for path, want := range map[string]int{"/away": 307, "/near": 200} {
		res, err := client.Post(apiServer.URL+path, "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, res.StatusCode, want)
		}
	}
	// A client with other rules for redirects gets an error.
	client.CheckRedirect = nil
	if res, err := client.Get(apiServer.URL + "/away"); err == nil || !strings.Contains(err.Error(), "Config.Origins") {
		t.Errorf("a redirect to another origin: %v, %v", res, err)
	}
	if len(elsewhere) > 0 {
		t.Errorf("another origin got %v", elsewhere)
	}
	if len(hops) != 4 {
		t.Errorf("the API saw %q", hops)
	}
	for _, hop := range hops {
		if !strings.HasSuffix(hop, "Bearer token-1") {
			t.Errorf("a request without the token: %q", hop)
		}
	}
}

// Redirects in a circle end, as those of net/http do.
func TestRedirectsInACircle(t *testing.T) {
	requests := 0
	s := newSource(t, &server{}, nil)
	client := s.Client()
	client.Transport = s.Transport(roundTrip(func(*http.Request) (*http.Response, error) {
		if requests++; requests > 20 {
			return nil, errors.New("no end")
		}
		return answerOf(302, "", "Location", testAPI), nil
	}))
	if _, err := client.Get(testAPI); err == nil || requests != maxRedirects {
		t.Errorf("%v after %d requests", err, requests)
	}
}

func TestRedirectsCarryNoSecret(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		auth := httptest.NewServer(http.RedirectHandler(other.URL, status))
		s := newSource(t, nil, func(c *Config) {
			c.HTTP, c.TokenURL, c.Method = nil, auth.URL, methodPost
		})
		_, err := firstError(t.Context(), s)
		wantUnavailable(t, err)
		if !strings.Contains(err.Error(), "redirects") {
			t.Errorf("the error %v does not say what is wrong", err)
		}
		auth.Close()
	}
	if asked {
		t.Error("a token request was sent to another origin")
	}
}

func TestRevokedTokenIsReplacedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{takes: 50 * time.Millisecond}
		orders := &api{}
		s := newSource(t, auth, nil)
		client := &http.Client{Transport: s.Transport(orders)}
		wantToken(t, s, "token-1")
		orders.refuse("token-1")
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() {
				res, err := client.Post(testAPI+"/orders", "text/plain", strings.NewReader("body"))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 {
					t.Errorf("status %d, %v", res.StatusCode, err)
				}
				res.Body.Close()
			})
		}
		calls.Wait()
		if got := auth.count(); got != 2 {
			t.Errorf("%d token requests, want 2", got)
		}
		if got := s.Status().Replays; got != 100 || orders.closed != 100 {
			t.Errorf("%d replays, and %d refusals were closed, want 100", got, orders.closed)
		}
		for _, body := range orders.bodies {
			if body != "body" {
				t.Errorf("the API got the body %q", body)
			}
		}
	})
}

func TestWrongSecretIsTriedSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{secret: "another"}
		path := filepath.Join(t.TempDir(), "secret")
		write(t, path, testSecret)
		s := newSource(t, auth, func(c *Config) { c.Secret = SecretFile(path) })
		for range 50 {
			_, err := s.Token(t.Context())
			if e, ok := errors.AsType[*Error](err); !ok || e.Code != "invalid_client" || e.Status != 401 || errors.Is(err, ErrUnavailable) {
				t.Errorf("the error is %v, want invalid_client", err)
			}
		}
		if got := auth.count(); got != 1 {
			t.Errorf("50 calls tried the secret %d times", got)
		}
		waiting := newSource(t, &server{secret: "another"}, func(c *Config) { c.Timeout = time.Hour })
		began := time.Now()
		_, _ = waiting.Token(t.Context())
		if took := time.Since(began); took != 0 {
			t.Errorf("a call waited %v for another try", took)
		}
		for range 300 {
			time.Sleep(time.Second)
			_, _ = s.Token(t.Context())
		}
		if got := auth.count(); got < 2 || got > 6 {
			t.Errorf("the secret was tried %d times in 5 min", got)
		}
		write(t, path, "another\n")
		time.Sleep(slowestDelay)
		wantToken(t, s, "token-1")
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestShortLifetimeIsNoRequestPerCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{life: 10}
		s := newSource(t, auth, nil)
		for range 600 {
			if _, err := s.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := auth.count(); got > 60/3+1 {
			t.Errorf("600 calls in a minute made %d requests", got)
		}
	})
}

func TestNoLifetimeIsNotForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{answer: alwaysAnswer(200, `{"access_token":"t","token_type":"bearer"}`)}
		s := newSource(t, auth, nil)
		wantToken(t, s, "t")
		token, _ := s.Token(t.Context())
		if life := time.Until(token.Expires()); life != assumedLife {
			t.Errorf("the token lives for %v", life)
		}
		auth.set(func(s *server) { s.answer = alwaysAnswer(503, "") })
		time.Sleep(assumedLife)
		if _, err := s.Token(t.Context()); err == nil {
			t.Error("the token is used for ever")
		}
	})
}

func TestWaiterLeavesAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{takes: 4 * time.Second}
		s := newSource(t, auth, nil)
		var calls sync.WaitGroup
		calls.Go(func() { wantToken(t, s, "token-1") })
		time.Sleep(time.Second)
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			began := time.Now()
			if _, err := s.Token(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnavailable) {
				t.Errorf("the error is %v, want the caller's own", err)
			}
			if took := time.Since(began); took != 200*time.Millisecond {
				t.Errorf("the call took %v", took)
			}
		})
		calls.Wait()

		// Its error says why there was no token.
		down := newSource(t, &server{answer: alwaysAnswer(503, "")}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		longest(down)
		if _, err := down.Token(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "503") {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestOtherTokenTypesAreRefused(t *testing.T) {
	for typ, ok := range map[string]bool{`"Bearer"`: true, `"bEARER"`: true, `"DPoP"`: false, `"mac"`: false, `""`: false, `null`: false, `["Bearer"]`: false} {
		auth := &server{answer: alwaysAnswer(200, `{"access_token":"t","expires_in":60,"token_type":`+typ+`}`)}
		s := newSource(t, auth, nil)
		_, err := s.Token(t.Context())
		if ok != (err == nil) {
			t.Errorf("token_type %s: %v", typ, err)
		}
		if res, err := (&http.Client{Transport: s.Transport(&api{})}).Get(testAPI); ok != (err == nil) {
			t.Errorf("token_type %s: a request was answered %v, %v", typ, res, err)
		}
	}
}

func TestFleetRefreshesApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{}
		var all []*Source
		for range 200 {
			s := newSource(t, auth, nil)
			wantAny(t, s)
			all = append(all, s)
		}
		most, before := 0, auth.count()
		for minute := range 45 {
			time.Sleep(time.Minute)
			for _, s := range all {
				wantAny(t, s)
			}
			now := auth.count()
			if minute < 20 && now > 200 {
				t.Fatalf("%d refreshes in minute %d, before a third of the lifetime", now-200, minute)
			}
			most, before = max(most, now-before), now
		}
		if before < 400 {
			t.Errorf("%d token requests in 45 min, want at least 400", before)
		}
		if most > 30 { // 10 a minute on average
			t.Errorf("%d of 200 refreshed in one minute", most)
		}
	})
}

func wantAny(t *testing.T, s *Source) {
	t.Helper()
	if _, err := s.Token(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRotatedSecretIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "secret")
		write(t, path, testSecret+"\n")
		auth := &server{}
		s := newSource(t, auth, func(c *Config) { c.Secret = SecretFile(path) })
		wantToken(t, s, "token-1")
		write(t, path, "rotated\n")
		auth.set(func(s *server) { s.secret = "rotated" })
		time.Sleep(41 * time.Minute)
		synctest.Wait()
		wantToken(t, s, "token-2")
		if got := auth.count(); got != 2 {
			t.Errorf("there were %d requests", got)
		}
	})
}
