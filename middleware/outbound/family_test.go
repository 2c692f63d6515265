package outbound

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// together asks for n different tokens at once, and returns the errors.
func together(t *testing.T, s *Source, n int) []error {
	errs := make([]error, n)
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() { _, errs[i] = s.For(testAPI, fmt.Sprint("s", i)).Token(t.Context()) })
	}
	calls.Wait()
	return errs
}

// At a cold start, a refused client is tried once, however many tokens are asked for.
func TestColdStartTriesOnce(t *testing.T) {
	for _, answer := range []struct {
		status int
		body   string
	}{{401, `{"error":"invalid_client"}`}, {401, "no"}, {400, `{"error":"unauthorized_client"}`}, {503, ""}} {
		synctest.Test(t, func(t *testing.T) {
			auth := &server{takes: time.Second, answer: alwaysAnswer(answer.status, answer.body, "Retry-After", "60")}
			s := newSource(t, auth, nil)
			began := time.Now()
			for i, err := range together(t, s, 100) {
				if e, ok := errors.AsType[*Error](err); !ok || e.Status != answer.status {
					t.Fatalf("the error of token %d is %v", i, err)
				}
			}
			if got := auth.count(); got != 1 {
				t.Errorf("%d %s: 100 tokens made %d requests", answer.status, answer.body, got)
			}
			if took := time.Since(began); took != time.Second {
				t.Errorf("the calls took %v", took)
			}
		})
	}
}

// The others wait for the outcome of the first fetch, until their own deadlines, and then
// run at once.
func TestColdStartWaitsForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{takes: time.Second}
		s := newSource(t, auth, nil)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			time.Sleep(100 * time.Millisecond)
			if _, err := s.For(testAPI, "hasty").Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the error is %v", err)
			}
			if got := auth.count(); got != 1 {
				t.Errorf("%d requests before the first success", got)
			}
		}()
		began := time.Now()
		for _, err := range together(t, s, 100) {
			if err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("the calls took %v, want those of two fetches", took)
		}
	})
}

// A scope that is refused first blocks no other token, but is no proof that the secret is
// right: some servers read the scope before the secret.
func TestColdStartWithARefusedScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{takes: time.Second, secret: "another"}
		auth.answer = func(_ *http.Request, form url.Values) *http.Response {
			switch form.Get("scope") {
			case "bad":
				return answerOf(400, `{"error":"invalid_scope"}`)
			case "worse":
				return answerOf(400, `{"error":"invalid_target"}`)
			}
			return nil
		}
		s := newSource(t, auth, nil)
		for _, scope := range []string{"bad", "worse"} {
			if _, err := s.For(testAPI, scope).Token(t.Context()); err == nil {
				t.Error("a token")
			}
		}
		together(t, s, 50)
		if got := auth.count(); got != 3 {
			t.Errorf("%d requests, want 2 and one with the wrong secret", got)
		}
		auth.set(func(s *server) { s.secret = "" })
		time.Sleep(slowDelay)
		began := time.Now()
		_, _ = s.For(testAPI, "bad").Token(t.Context())
		wantAny(t, s)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the refused scope delayed another token by %v", took)
		}
	})
}

// After a refusal of the client, one try is under way at a time again.
func TestRefusedClientIsTriedByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{takes: time.Second}
		s := newSource(t, auth, nil)
		wantAny(t, s)
		auth.set(func(s *server) { s.secret = "another" })
		_, _ = s.For(testAPI, "x").Token(t.Context())
		for range 3 {
			before := auth.count()
			time.Sleep(slowestDelay)
			together(t, s, 50)
			if got := auth.count() - before; got > 2 { // a refresh may be the other one
				t.Errorf("50 tokens made %d requests after a refusal", got)
			}
		}
	})
}

// scripted answers a request by its scope.
type scripted struct {
	takes  time.Duration
	status int
	body   string
}

// A failure or a success that ends after a refusal, and began before it, does not shorten
// the refusal's delay.
func TestLateOutcomesKeepTheRefusal(t *testing.T) {
	for name, late := range map[string]scripted{
		"503":         {2 * time.Second, 503, ""},
		"unreachable": {2 * time.Second, 0, ""},
		"a token":     {2 * time.Second, 200, `{"access_token":"t","token_type":"Bearer","expires_in":60}`},
		"bad scope":   {2 * time.Second, 400, `{"error":"invalid_scope"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script := map[string]scripted{
					"refused": {time.Second, 401, `{"error":"invalid_client"}`},
					"late":    late,
				}
				var mu sync.Mutex
				requests := 0
				s := newSource(t, roundTrip(func(r *http.Request) (*http.Response, error) {
					form, err := readForm(r)
					if err != nil {
						return nil, err
					}
					mu.Lock()
					requests++
					mu.Unlock()
					do, ok := script[form.Get("scope")]
					if !ok {
						return answerOf(200, `{"access_token":"t","token_type":"Bearer","expires_in":3600}`), nil
					}
					time.Sleep(do.takes)
					if do.status == 0 {
						return nil, errors.New("no route to host")
					}
					return answerOf(do.status, do.body), nil
				}), nil)
				wantAny(t, s)
				began := time.Now()
				var calls sync.WaitGroup
				for scope := range script {
					calls.Go(func() { _, _ = s.For(testAPI, scope).Token(t.Context()) })
				}
				calls.Wait()
				st := s.Status()
				if e, ok := errors.AsType[*Error](st.LastError); !ok || e.Status != 401 || st.NextTry.Sub(began) < slowDelay/2 {
					t.Errorf("after %s: %v, the next try is after %v", name, st.LastError, st.NextTry.Sub(began))
				}
				for time.Since(began) < slowDelay/2 {
					_, _ = s.For(testAPI, "new").Token(t.Context())
					time.Sleep(time.Second)
				}
				if mu.Lock(); requests != 3 {
					t.Errorf("%d requests, want 3", requests)
				}
				mu.Unlock()
			})
		})
	}
}

// While one try is under way, no other may begin: not after the timeout, if the try takes
// longer, and not because of a refused scope.
func TestOneProbe(t *testing.T) {
	now := time.Now()
	var b backoff
	probe := &flight{began: now}
	b.claim(probe, 5*time.Second)
	late := now.Add(time.Minute)
	if b.ready(late) || !b.earliest(late).After(late) {
		t.Error("another try may begin while the first one takes long")
	}
	if !b.passed(now.Add(-time.Second)) || b.ready(now) {
		t.Error("a refused scope lets another try begin")
	}
	b.ended(probe, late)
	if !b.ready(late) || b.earliest(late).After(late) {
		t.Error("no other try may begin after the first one")
	}
	// A delay that came in the meantime is kept.
	b.claim(probe, 5*time.Second)
	b.fail(now.Add(-time.Second), now, failure{err: errors.New("down"), retryAfter: time.Hour}, rate.NewLimiter(rate.Inf, 1), dice)
	b.ended(probe, late)
	if b.ready(late) {
		t.Error("the end of a try ends a Retry-After")
	}
}

// A refusal of the client ends what its acceptance allowed, also when a refused scope comes
// in between.
func TestRefusalEndsAcceptance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{}
		s := newSource(t, auth, nil)
		wantAny(t, s)
		auth.set(func(s *server) {
			s.secret, s.takes = "another", time.Second
			s.answer = func(_ *http.Request, form url.Values) *http.Response {
				if form.Get("scope") == "bad" {
					return answerOf(400, `{"error":"invalid_scope"}`)
				}
				return nil
			}
		})
		_, _ = s.For(testAPI, "x").Token(t.Context())
		time.Sleep(slowestDelay)
		_, _ = s.For(testAPI, "bad").Token(t.Context())
		before := auth.count()
		together(t, s, 50)
		if got := auth.count() - before; got != 1 {
			t.Errorf("50 tokens made %d requests", got)
		}
	})
}

// A refresh that is due waits for the one try, also if that takes longer than its timeout.
func TestRefreshWaitsForTheProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := map[string]int{}
		var mu sync.Mutex
		s := newSource(t, roundTrip(func(r *http.Request) (*http.Response, error) {
			form, err := readForm(r)
			if err != nil {
				return nil, err
			}
			mu.Lock()
			requests[form.Get("scope")]++
			mu.Unlock()
			switch form.Get("scope") {
			case "refused":
				return answerOf(401, `{"error":"invalid_client"}`), nil
			case "hangs":
				time.Sleep(time.Hour) // in spite of its context
			}
			return answerOf(200, `{"access_token":"t","token_type":"Bearer","expires_in":3600}`), nil
		}), nil)
		wantAny(t, s)
		_, _ = s.For(testAPI, "refused").Token(t.Context())
		time.Sleep(10 * time.Minute)
		go func() { _, _ = s.For(testAPI, "hangs").Token(t.Context()) }()
		time.Sleep(40 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if requests[""] != 1 || requests["hangs"] != 1 {
			t.Errorf("requests by scope: %v", requests)
		}
	})
}

func TestBackoffHolds(t *testing.T) {
	none := rate.NewLimiter(rate.Inf, 1)
	now := time.Now()
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	refused, down := failure{err: errors.New("refused"), slow: true}, failure{err: errors.New("down")}

	// A refusal lands while a probe is under way, and the probe then fails fast.
	var b backoff
	b.fail(at(0), at(1), down, none, dice)
	probe := &flight{began: at(10)}
	b.claim(probe, 5*time.Second)
	b.fail(at(0), at(11), refused, none, dice)
	b.ended(probe, at(12))
	b.fail(at(10), at(12), down, none, dice)
	if b.next.Before(at(11+30)) || !b.slow || b.err != refused.err {
		t.Errorf("the next try is after %v, and the error %v", b.next.Sub(now), b.err)
	}

	// A Retry-After lands while a probe is under way.
	b = backoff{}
	b.fail(at(0), at(1), down, none, dice)
	b.claim(probe, 5*time.Second)
	b.fail(at(0), at(11), failure{err: down.err, retryAfter: 10 * time.Minute}, none, dice)
	b.ended(probe, at(12))
	b.fail(at(10), at(12), down, none, dice)
	if b.next.Before(at(11 + 600)) {
		t.Errorf("the next try is after %v, within Retry-After", b.next.Sub(now))
	}

	// Failures of the other kind in between do not make refusals frequent.
	b = backoff{}
	when := 0
	for range 5 {
		b.fail(at(when), at(when), refused, none, func(n time.Duration) time.Duration { return n })
		when += 400
		b.fail(at(when), at(when), down, none, dice)
		when += 400
	}
	b.fail(at(when), at(when), refused, none, func(n time.Duration) time.Duration { return n })
	if got := b.next.Sub(at(when)); got != slowestDelay {
		t.Errorf("the delay after six refusals is %v", got)
	}
}
