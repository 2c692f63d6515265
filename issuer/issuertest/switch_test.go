package issuertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// ask sends a request and returns the answer with its whole body.
func ask(t *testing.T, r *http.Request) (status int, body string, err error) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(content), err
}

// endpoints are the requests that each switch of HTTP is about.
func endpoints(t *testing.T, i *Issuer) map[*Switch]func() *http.Request {
	t.Helper()
	secret := i.Register(t, registry.Client{Introspects: []string{"*"}, Audiences: []string{"https://api.test"}})
	post := func(path string, form url.Values) func() *http.Request {
		form.Set("client_id", "test-client")
		form.Set("client_secret", secret)
		return func() *http.Request {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.URL()+path, strings.NewReader(form.Encode()))
			if err != nil {
				t.Error(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return r
		}
	}
	get := func(path string) func() *http.Request {
		return func() *http.Request {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, i.URL()+path, http.NoBody)
			if err != nil {
				t.Error(err)
			}
			return r
		}
	}
	return map[*Switch]func() *http.Request{
		&i.TokenEndpoint: post("/token", url.Values{"grant_type": {"client_credentials"}}),
		&i.Introspection: post("/introspect", url.Values{"token": {i.Token(t)}}),
		&i.Revocation:    post("/revoke", url.Values{"token": {i.Token(t)}}),
		&i.KeySet:        get("/.well-known/jwks.json"),
		&i.Metadata:      get("/.well-known/oauth-authorization-server"),
	}
}

func TestSwitches(t *testing.T) {
	t.Parallel()
	i := New(t)
	for s, request := range endpoints(t, i) {
		path := request().URL.Path
		works := func(when string) {
			t.Helper()
			if status, body, err := ask(t, request()); status != http.StatusOK || err != nil || !strings.HasPrefix(body, "{") {
				t.Errorf("%s: %s: status %d, %s, %v", path, when, status, body, err)
			}
		}
		works("at first")
		s.Fail(http.StatusServiceUnavailable)
		if status, body, err := ask(t, request()); status != http.StatusServiceUnavailable || body != `{"error":"temporarily_unavailable"}` {
			t.Errorf("%s: Fail: status %d, %s, %v", path, status, body, err)
		}
		s.Fail(http.StatusNotFound)
		if status, body, err := ask(t, request()); status != http.StatusNotFound || body != `{"error":"invalid_request"}` {
			t.Errorf("%s: Fail: status %d, %s, %v", path, status, body, err)
		}
		s.Garbage()
		if status, body, err := ask(t, request()); status != http.StatusOK || err != nil || !strings.HasPrefix(body, "<!doctype html>") {
			t.Errorf("%s: Garbage: status %d, %s, %v", path, status, body, err)
		}
		s.CutOff()
		if status, body, err := ask(t, request()); status != http.StatusOK || !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(body, "{") {
			t.Errorf("%s: CutOff: status %d, %s, %v", path, status, body, err)
		}
		s.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		}))
		if status, _, err := ask(t, request()); status != http.StatusTooManyRequests {
			t.Errorf("%s: Serve: status %d, %v", path, status, err)
		}
		s.Serve(nil)
		works("Serve(nil)")
		s.Slow(30 * time.Millisecond)
		began := time.Now()
		if works("Slow"); time.Since(began) < 30*time.Millisecond {
			t.Errorf("%s: Slow: the answer took %v", path, time.Since(began))
		}
		s.Hang()
		leaving, leave := context.WithCancel(t.Context())
		var caller sync.WaitGroup
		before := s.Requests()
		caller.Go(func() {
			if _, _, err := ask(t, request().WithContext(leaving)); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: Hang: %v", path, err)
			}
		})
		for deadline := time.Now().Add(time.Minute); s.Requests() == before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: no request is counted", path)
			}
		}
		leave() // the request has arrived, and hangs
		caller.Wait()
		s.Restore()
		works("Restore")
		if n := s.Requests(); n != 10 {
			t.Errorf("%s: %d requests, want 10", path, n)
		}
	}
}

// A request that waits is answered when the switch changes, with its body.
func TestSwitchReleasesWaiting(t *testing.T) {
	t.Parallel()
	i := New(t)
	for s, request := range endpoints(t, i) {
		for name, wait := range map[string]func(){"Hang": s.Hang, "Slow": func() { s.Slow(time.Hour) }} {
			before := s.Requests()
			wait()
			var waiting sync.WaitGroup
			waiting.Go(func() {
				if status, body, err := ask(t, request()); status != http.StatusOK || err != nil {
					t.Errorf("%s: status %d, %s, %v", name, status, body, err)
				}
			})
			for deadline := time.Now().Add(time.Minute); s.Requests() == before; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s: no request is counted", name)
				}
			}
			s.Restore()
			waiting.Wait()
		}
	}
}

// The test may end while requests hang.
func TestEndReleasesWaiting(t *testing.T) {
	var waiting sync.WaitGroup
	t.Run("issuer", func(t *testing.T) {
		i := New(t)
		i.KeySet.Hang()
		i.Metadata.Serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		for _, path := range []string{"/.well-known/jwks.json", "/.well-known/oauth-authorization-server"} {
			address := i.URL() + path
			waiting.Go(func() {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
				if err != nil {
					t.Error(err)
					return
				}
				transport := &http.Transport{}
				defer transport.CloseIdleConnections()
				if answer, err := transport.RoundTrip(r); err == nil {
					_ = answer.Body.Close()
				}
			})
		}
		for i.KeySet.Requests()+i.Metadata.Requests() < 2 {
			time.Sleep(time.Millisecond)
		}
	})
	waiting.Wait()
}

// A guard in the same process answers 503 at once while the feed fails, and works when it
// does again.
func TestFeed(t *testing.T) {
	t.Parallel()
	i := New(t)
	g := newGuard(t, i.Bearer(""))
	token := i.Token(t)
	for name, fail := range map[string]func(){
		"Fail": func() { i.Feed.Fail(500) }, "Hang": i.Feed.Hang, "Garbage": i.Feed.Garbage, "CutOff": i.Feed.CutOff,
		"Serve": func() { i.Feed.Serve(http.NotFoundHandler()) },
	} {
		fail()
		if status, reason := g.ask(token); status != http.StatusServiceUnavailable || reason != event.RevocationsUnavailable {
			t.Errorf("%s: status %d, %s", name, status, reason)
		}
		i.Feed.Restore()
		if status, reason := g.ask(token); status != http.StatusNoContent {
			t.Errorf("%s: status %d, %s after the feed was restored", name, status, reason)
		}
	}
	before := i.Feed.Requests()
	if err := i.serving.issuer.Sync(t.Context()); err != nil || i.Feed.Requests() == before {
		t.Errorf("%v; %d polls, and %d before", err, i.Feed.Requests(), before)
	}
	i.Feed.Fail(500)
	if err := i.serving.issuer.Sync(t.Context()); err == nil {
		t.Error("the issuer could read the feed while it failed")
	}
	// Neither a rotation nor a change of a client needs the feed.
	i.Rotate(t)
	i.Register(t, registry.Client{})
}

func TestSwitchesConcurrently(t *testing.T) {
	t.Parallel()
	i := New(t)
	requests := endpoints(t, i)
	var all sync.WaitGroup
	for s, request := range requests {
		all.Go(func() {
			for n := range 20 {
				[]func(){s.Hang, s.Garbage, s.CutOff, s.Restore, func() { s.Slow(time.Hour) }, func() { s.Fail(500) }}[n%6]()
			}
			s.Restore()
		})
		all.Go(func() {
			for range 20 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				_, _, err := ask(t, request().WithContext(ctx))
				if cancel(); errors.Is(err, context.DeadlineExceeded) {
					t.Error("a request was not released")
				}
			}
		})
	}
	all.Go(func() {
		for range 5 {
			i.Rotate(t)
			i.EmergencyRotate(t)
			i.Revoke(t, i.Token(t))
		}
	})
	all.Wait()
	for _, request := range requests {
		if status, body, err := ask(t, request()); status != http.StatusOK || err != nil {
			t.Errorf("%s: status %d, %s, %v", request().URL.Path, status, body, err)
		}
	}
}

func TestZeroSwitch(t *testing.T) {
	t.Parallel()
	var s Switch
	w := httptest.NewRecorder()
	s.serve(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "works") }))
	if w.Body.String() != "works" || s.Requests() != 1 {
		t.Errorf("%q, %d requests", w.Body, s.Requests())
	}
}
