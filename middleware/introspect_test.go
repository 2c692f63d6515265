package middleware

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// introspectable is an issuer's introspection endpoint.
type introspectable struct {
	*httptest.Server
	asked  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
}

func newIntrospectable(t *testing.T) *introspectable {
	s := &introspectable{}
	s.says(`{"active":true}`)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		id, secret, _ := r.BasicAuth()
		if r.Method != http.MethodPost || id != url.QueryEscape("a:pi") || secret != url.QueryEscape("s e+cret") || r.PostFormValue("token") != "the.token.itself" {
			t.Errorf("%s by %q %q with %v", r.Method, id, secret, r.PostForm)
		}
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *introspectable) says(body string) {
	s.does(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
}

func (s *introspectable) does(h http.HandlerFunc) { s.answer.Store(&h) }

func (s *introspectable) config() Introspection {
	return Introspection{Endpoint: s.URL, ClientID: "a:pi", ClientSecret: "s e+cret", Client: s.Client()}
}

func withToken(t *testing.T) context.Context {
	return &revokedContext{t.Context(), "the.token.itself"}
}

func TestIntrospect(t *testing.T) {
	s := newIntrospectable(t)
	c := s.config()
	c.CacheFor = 200 * time.Millisecond
	revoked := Introspect(c)
	for range 5 {
		if got, err := revoked(withToken(t), "one", "", time.Time{}); got || err != nil {
			t.Fatalf("active: %v %v", got, err)
		}
	}
	if s.asked.Load() != 1 {
		t.Errorf("asked %d times, want 1", s.asked.Load())
	}
	s.says(`{"active":false}`)
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got, err := revoked(withToken(t), "one", "", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if got {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the revocation is never noticed")
		}
	}
}

func TestIntrospectFails(t *testing.T) {
	s := newIntrospectable(t)
	for name, h := range map[string]http.HandlerFunc{
		"500":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); fmt.Fprint(w, `{"active":true}`) },
		"401":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) },
		"redirect":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"HTML":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"no member": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) },
		"a string":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"active":"true"}`) },
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"active":true,"x":"`+strings.Repeat("x", maxIntrospection)+`"}`)
		},
		"hangs":      func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"hung up on": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			s.does(h)
			c := s.config()
			c.Client, c.Timeout = nil, 100*time.Millisecond
			revoked := Introspect(c)
			before := s.asked.Load()
			for range 2 {
				if got, err := revoked(withToken(t), "one", "", time.Time{}); got || err == nil {
					t.Errorf("%v %v, want an error: nothing is known", got, err)
				} else if strings.Contains(err.Error(), "the.token.itself") || strings.Contains(err.Error(), "e+cret") {
					t.Errorf("the error tells a secret: %v", err)
				}
			}
			if got := s.asked.Load() - before; got != 1 {
				t.Errorf("asked %d times, want 1: an issuer in trouble is left alone for a moment", got)
			}
			s.says(`{"active":true}`)
			time.Sleep(askAgain)
			if got, err := revoked(withToken(t), "one", "", time.Time{}); got || err != nil {
				t.Errorf("after that: %v %v", got, err)
			}
		})
	}
}

func TestIntrospectOnce(t *testing.T) {
	s := newIntrospectable(t)
	release := make(chan struct{})
	s.does(func(w http.ResponseWriter, _ *http.Request) { <-release; fmt.Fprint(w, `{"active":true}`) })
	revoked := Introspect(s.config())

	leaving, leave := context.WithCancel(withToken(t))
	var first, crowd sync.WaitGroup
	first.Go(func() {
		if _, err := revoked(leaving, "one", "", time.Time{}); err == nil {
			t.Error("a caller that left got an answer")
		}
	})
	for s.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 100 {
		crowd.Go(func() {
			if got, err := revoked(withToken(t), "one", "", time.Time{}); got || err != nil {
				t.Errorf("%v %v: one caller's leaving is not the others' concern", got, err)
			}
		})
	}
	leave()
	first.Wait()
	close(release)
	crowd.Wait()
	if s.asked.Load() != 1 {
		t.Errorf("asked %d times, want 1", s.asked.Load())
	}
}

func TestIntrospectMisconfigured(t *testing.T) {
	good := Introspection{Endpoint: "https://auth.example.com/introspect", ClientID: "api", ClientSecret: "s"}
	for name, change := range map[string]func(*Introspection){
		"Endpoint":     func(c *Introspection) { c.Endpoint = "" },
		"https":        func(c *Introspection) { c.Endpoint = "http://auth.example.com/introspect" },
		"ClientID":     func(c *Introspection) { c.ClientID = "" },
		"ClientSecret": func(c *Introspection) { c.ClientSecret = "" },
		"CacheFor":     func(c *Introspection) { c.CacheFor = -1 },
		"Timeout":      func(c *Introspection) { c.Timeout = -1 },
	} {
		c := good
		change(&c)
		got, err := Introspect(c)(withToken(t), "one", "", time.Time{})
		if got || err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	if got, err := Introspect(good)(t.Context(), "one", "", time.Time{}); got || err == nil {
		t.Errorf("without a token in the context: %v %v", got, err)
	}
}
