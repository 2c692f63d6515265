package outbound

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The secret is rotated in a night without calls, and all tokens have expired. One of them
// tries the secret, and the others wait for the outcome.
func TestIdleNightTriesOnce(t *testing.T) {
	for _, answer := range []struct {
		status int
		body   string
	}{{401, `{"error":"invalid_client"}`}, {400, `{"error":"unauthorized_client"}`}, {403, "no"}, {503, ""}} {
		synctest.Test(t, func(t *testing.T) {
			auth := &server{}
			s := newSource(t, auth, nil)
			for _, err := range together(t, s, 100) {
				if err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(8 * time.Hour)
			before := auth.count()
			auth.set(func(s *server) {
				s.takes, s.answer = time.Second, alwaysAnswer(answer.status, answer.body, "Retry-After", "60")
			})
			for i, err := range together(t, s, 100) {
				if e, ok := errors.AsType[*Error](err); !ok || e.Status != answer.status {
					t.Fatalf("the error of token %d is %v", i, err)
				}
			}
			if got := auth.count() - before; got != 1 {
				t.Errorf("%d %s: 100 tokens made %d requests", answer.status, answer.body, got)
			}
		})
	}
}

// If the first fetch after the night succeeds, the others run at once, and soon after a
// success none waits for another.
func TestIdleNightDelaysNoFurther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{}
		s := newSource(t, auth, nil)
		together(t, s, 100)
		time.Sleep(8 * time.Hour)
		auth.set(func(s *server) { s.takes = time.Second })
		began := time.Now()
		for _, err := range together(t, s, 100) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("the calls took %v, want those of two fetches", took)
		}
		time.Sleep(unproven / 2)
		began = time.Now()
		together(t, s, 200)
		if took := time.Since(began); took != time.Second {
			t.Errorf("the calls took %v soon after a success", took)
		}
	})
}

// A clock that was set back does not make the latest success a recent one.
func TestClockSetBackIsIdleToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{}
		s := newSource(t, auth, nil)
		wantToken(t, s, "token-1")
		s.family.accepted = s.family.accepted.Add(time.Hour)
		auth.set(func(s *server) { s.takes, s.secret = time.Second, "another" })
		together(t, s, 100)
		if got := auth.count(); got != 2 {
			t.Errorf("100 tokens made %d requests", got-1)
		}
	})
}

// A refusal that arrives after Close begins no fetch.
func TestRefusalAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{}
		s := newSource(t, auth, nil)
		res, err := s.Transport(roundTrip(func(*http.Request) (*http.Response, error) {
			s.Close()
			return answerOf(401, "", "WWW-Authenticate", `Bearer error="invalid_token"`), nil
		})).RoundTrip(request())
		if err != nil || res.StatusCode != 401 {
			t.Errorf("%v, %v", res, err)
		}
		synctest.Wait()
		if got := s.Status().Fetches; got != 1 {
			t.Errorf("%d fetches after Close", got-1)
		}
	})
}

// A refresh that hangs in the background delays no call that needs another token.
func TestRefreshThatHangsDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{}
		s := newSource(t, auth, nil)
		longest(s)
		wantToken(t, s, "token-1")
		auth.set(func(s *server) { s.takes = time.Hour })
		time.Sleep(40*time.Minute + time.Second)
		if got := auth.count(); got != 2 {
			t.Fatalf("%d requests, want one more that hangs", got)
		}
		auth.set(func(s *server) { s.takes = 0 })
		began := time.Now()
		wantToken(t, s.For(testAPI, "other"), "token-2")
		if took := time.Since(began); took > 0 {
			t.Errorf("the call took %v", took)
		}
	})
}

// All tokens of the client are revoked at once. Each request is sent again with another
// token, also if the first fetch is waited for. If the secret was rotated too, it is tried
// once.
func TestAllTokensAreRefusedTogether(t *testing.T) {
	for name, tt := range map[string]struct {
		secret           string
		status, requests int
	}{
		"the secret is valid":    {"", 200, 100},
		"the secret was rotated": {"another", 401, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				auth, orders := &server{}, &api{}
				s := newSource(t, auth, nil)
				sources := make([]*Source, 100)
				for i := range sources {
					sources[i] = s.For(testAPI, fmt.Sprint("s", i))
					token, err := sources[i].Token(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					orders.refuse(token.Text())
				}
				time.Sleep(10 * time.Minute) // before any refresh
				before := auth.count()
				auth.set(func(s *server) { s.takes, s.secret = time.Second, tt.secret })
				var calls sync.WaitGroup
				for _, s := range sources {
					calls.Go(func() {
						res, err := (&http.Client{Transport: s.Transport(orders)}).Get(testAPI)
						if err != nil {
							t.Error(err)
							return
						}
						if res.StatusCode != tt.status {
							t.Errorf("status %d", res.StatusCode)
						}
					})
				}
				calls.Wait()
				if got := auth.count() - before; got != tt.requests {
					t.Errorf("%d token requests, want %d", got, tt.requests)
				}
			})
		})
	}
}
