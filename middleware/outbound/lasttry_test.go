package outbound

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// While refreshes fail, one try is in the last second of the token in hand, wherever the
// jitter puts the others. A refusal and a Retry-After are not cut short by it.
func TestTryBeforeTheEnd(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		header []string
		tries  bool // and so the next token is there in time
	}{
		"an outage":                   {503, "", nil, true},
		"a short Retry-After":         {503, "", []string{"Retry-After", "7"}, true},
		"a Retry-After past the end":  {503, "", []string{"Retry-After", "3600"}, false},
		"a refused client":            {401, `{"error":"invalid_client"}`, nil, false},
		"a refused scope":             {400, `{"error":"invalid_scope"}`, nil, false},
		"an outage that does not end": {503, "", nil, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			auth := &server{life: 1000}
			s := newSource(t, auth, nil)
			longest(s)
			wantToken(t, s, "token-1")
			until := s.Status().UsableUntil
			auth.set(func(s *server) { s.answer = alwaysAnswer(test.status, test.body, test.header...) })
			time.Sleep(time.Until(until) - 1500*time.Millisecond)
			if test.tries {
				if next := s.Status().NextTry; !next.Equal(until.Add(-lastTry)) {
					t.Errorf("%s: the next try is %v before the end", name, until.Sub(next))
				}
			}
			before := auth.count()
			if name != "an outage that does not end" {
				auth.set(func(s *server) { s.answer = nil })
			}
			time.Sleep(1501 * time.Millisecond)
			synctest.Wait()
			if got := auth.count() - before; (got == 1) != test.tries || got > 1 {
				t.Errorf("%s: %d tries before the end", name, got)
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := s.Token(ended); (err == nil) != (test.tries && name != "an outage that does not end") {
				t.Errorf("%s: a call after the end: %v", name, err)
			}
		})
	}
}

// The tokens of one Source that end together make one try, not one each.
func TestOneTryBeforeTheEndOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{life: 1000}
		s := newSource(t, auth, nil)
		longest(s)
		wantAny(t, s)
		for _, err := range together(t, s, 200) {
			if err != nil {
				t.Fatal(err)
			}
		}
		until := s.Status().UsableUntil
		auth.set(func(s *server) { s.answer = alwaysAnswer(503, "") })
		time.Sleep(time.Until(until) - 1500*time.Millisecond)
		before := auth.count()
		time.Sleep(2 * time.Second)
		if got := auth.count() - before; got > 2 {
			t.Errorf("200 tokens made %d tries at their end", got)
		}
	})
}

// The try before the end is within the budget, and waits for one that is under way.
func TestNoTryBeforeTheEnd(t *testing.T) {
	for name, prevent := range map[string]func(f *family){
		"no budget": func(f *family) { f.budget.AllowN(time.Now(), int(f.budget.TokensAt(time.Now()))) },
		"another":   func(f *family) { f.backoff.claim(&flight{began: time.Now()}, f.config.Timeout) },
	} {
		synctest.Test(t, func(t *testing.T) {
			auth := &server{life: 1000}
			s := newSource(t, auth, nil)
			longest(s)
			wantToken(t, s, "token-1")
			until := s.Status().UsableUntil
			auth.set(func(s *server) { s.answer = alwaysAnswer(503, "") })
			time.Sleep(time.Until(until) - 1100*time.Millisecond)
			before := auth.count()
			s.family.mu.Lock()
			prevent(s.family)
			s.family.mu.Unlock()
			time.Sleep(1101 * time.Millisecond)
			if got := auth.count() - before; got != 0 {
				t.Errorf("%s: %d tries before the end", name, got)
			}
		})
	}
}
