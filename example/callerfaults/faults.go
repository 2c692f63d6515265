package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// fault is something that a client of the client credentials grant can do wrong.
type fault struct {
	number string
	event  string
	try    func(ctx context.Context, s *stage) (finding, error)
}

// faults are those of the table, in its order.
var faults = []fault{
	{"1", "100 calls at once, and the token endpoint answers 503 with `Retry-After: 5`", outage},
	{"2", "The context of construction and of the first call is cancelled; 10 more calls", cancelled},
	{"3", "The API redirects to another host", apiRedirects},
	{"3", "The token endpoint redirects to another host", tokenEndpointRedirects},
	{"4", "100 calls with a revoked token", revokedToken},
	{"5", "The secret is wrong from the second token on; 50 calls", wrongSecret},
	{"6", "20 calls in a row, tokens of `expires_in: 10`", shortLife},
	{"7", "No `expires_in`", noLife},
	{"8", "A call with a deadline, while another waits for the token endpoint", deadline},
	{"9", "`token_type` is `DPoP`", otherType},
	{"10", "30 clients start together, tokens of 20 s", refreshTogether},
	{"10", "The token endpoint hangs when a token of 12 s is 7 s old", refreshHangs},
	{"10", "The secret is rotated, at the server and in its file", rotatedSecret},
}

func outage(ctx context.Context, s *stage) (finding, error) {
	s.auth.set(func(e *tokenEndpoint) {
		e.handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "5")
			w.WriteHeader(http.StatusServiceUnavailable)
		})
	})
	c, err := s.open(ctx)
	if err != nil {
		return finding{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second) // before the 5 s
	defer cancel()
	var calls sync.WaitGroup
	for range 100 {
		calls.Go(func() { _, _ = s.call(ctx, c, "/") }) // all of them fail
	}
	calls.Wait()
	n := len(s.auth.requests())
	return finding{plural(n, "token request"), n > 1}, nil
}

func cancelled(ctx context.Context, s *stage) (finding, error) {
	first, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := s.open(first)
	if err != nil {
		return finding{}, err
	}
	s.auth.hang()
	left := make(chan struct{})
	go func() {
		_, _ = s.call(first, c, "/") // it is cancelled
		close(left)
	}()
	if err := s.arrived(ctx, 1); err != nil {
		return finding{}, err
	}
	cancel()
	<-left
	s.auth.release()
	failed := 0
	for range 10 {
		if status, err := s.call(ctx, c, "/"); err != nil || status != http.StatusOK {
			failed++
		}
	}
	return finding{fmt.Sprintf("%d of 10 fail", failed), failed > 0}, nil
}

// arrived waits until the token endpoint has got a number of requests.
func (s *stage) arrived(ctx context.Context, n int) error {
	for len(s.auth.requests()) < n {
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func apiRedirects(ctx context.Context, s *stage) (finding, error) {
	s.api.set(func(a *api) { a.redirect = s.other.url() })
	c, err := s.start(ctx)
	if err != nil {
		return finding{}, err
	}
	_, _ = s.call(ctx, c, "/away") // whether that is an error is for the library to say
	if s.other.leaked() {
		return finding{"the other host gets the token", true}, nil
	}
	return finding{"the other host gets nothing", false}, nil
}

func tokenEndpointRedirects(ctx context.Context, s *stage) (finding, error) {
	s.auth.set(func(e *tokenEndpoint) { e.handler = http.RedirectHandler(s.other.url(), http.StatusTemporaryRedirect) })
	c, err := s.open(ctx)
	if err != nil {
		return finding{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	_, _ = s.call(ctx, c, "/") // there is no token
	switch {
	case s.other.leaked():
		return finding{"the other host gets the secret", true}, nil
	case len(s.auth.requests()) == 0:
		return finding{}, errors.New("the token endpoint was not asked")
	}
	return finding{"the other host gets nothing", false}, nil
}

func revokedToken(ctx context.Context, s *stage) (finding, error) {
	c, err := s.start(ctx)
	if err != nil {
		return finding{}, err
	}
	s.api.set(func(a *api) { a.revoked = true })
	var refused atomic.Int64
	var calls sync.WaitGroup
	for range 100 {
		calls.Go(func() {
			if status, err := s.call(ctx, c, "/"); err != nil || status != http.StatusOK {
				refused.Add(1)
			}
		})
	}
	calls.Wait()
	tokens := len(s.auth.requests()) - 1
	return finding{fmt.Sprintf("%d × 401, %s", refused.Load(), plural(tokens, "new token")), refused.Load() > 0 || tokens > 1}, nil
}

func wrongSecret(ctx context.Context, s *stage) (finding, error) {
	s.auth.set(func(e *tokenEndpoint) { e.answer["expires_in"] = 3 })
	c, err := s.start(ctx)
	if err != nil {
		return finding{}, err
	}
	s.auth.set(func(e *tokenEndpoint) { e.secrets = []string{"another"} })
	before := len(s.auth.requests())
	if err := sleep(ctx, 3200*time.Millisecond); err != nil { // the token expires
		return finding{}, err
	}
	for range 50 {
		if status, err := s.call(ctx, c, "/"); err == nil {
			return finding{}, fmt.Errorf("a call is answered %d", status)
		}
	}
	if n := len(s.auth.requests()) - before; n > 1 {
		return finding{fmt.Sprintf("tried %d times", n), true}, nil
	}
	return finding{"tried once", false}, nil
}

func shortLife(ctx context.Context, s *stage) (finding, error) {
	s.auth.set(func(e *tokenEndpoint) { e.answer["expires_in"] = 10 })
	c, err := s.start(ctx)
	if err != nil {
		return finding{}, err
	}
	calls := 1
	for began := time.Now(); calls < 20 && time.Since(began) < 3*time.Second; calls++ { // before any refresh is due
		if _, err := s.call(ctx, c, "/"); err != nil {
			return finding{}, err
		}
	}
	n := len(s.auth.requests())
	if n == calls {
		return finding{"a token request per call", true}, nil
	}
	return finding{plural(n, "token request"), n > 1}, nil
}

func noLife(ctx context.Context, s *stage) (finding, error) {
	s.auth.set(func(e *tokenEndpoint) { delete(e.answer, "expires_in") })
	c, err := s.start(ctx)
	if err != nil {
		return finding{}, err
	}
	end, err := c.expires()
	switch {
	case err != nil:
		return finding{}, err
	case end.IsZero():
		return finding{"the token is used for ever", true}, nil
	}
	life := time.Until(end)
	return finding{fmt.Sprintf("the token is used for %.0f min", life.Minutes()), life > time.Hour}, nil
}

func deadline(ctx context.Context, s *stage) (finding, error) {
	s.auth.hang()
	c, err := s.open(ctx)
	if err != nil {
		return finding{}, err
	}
	var calls sync.WaitGroup
	defer calls.Wait()
	defer s.auth.release()
	calls.Go(func() { _, _ = s.call(ctx, c, "/") }) // the other call
	if err := s.arrived(ctx, 1); err != nil {
		return finding{}, err
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	left := make(chan error, 1)
	calls.Go(func() {
		_, err := s.call(short, c, "/")
		left <- err
	})
	select {
	case err := <-left:
		if !errors.Is(err, context.DeadlineExceeded) {
			return finding{fmt.Sprintf("its error is %v", err), true}, nil
		}
		return finding{"it returns at its deadline", false}, nil
	case <-time.After(3100 * time.Millisecond):
		return finding{"3 s after its deadline it still waits", true}, nil
	}
}

func otherType(ctx context.Context, s *stage) (finding, error) {
	s.auth.set(func(e *tokenEndpoint) { e.answer["token_type"] = "DPoP" })
	c, err := s.open(ctx)
	if err != nil {
		return finding{}, err
	}
	_, _ = s.call(ctx, c, "/") // there is no token that it could carry
	if sent := s.api.credentials(); len(sent) > 0 {
		scheme, _, _ := strings.Cut(sent[0], " ")
		return finding{fmt.Sprintf("the token is sent as `%s`", scheme), true}, nil
	}
	return finding{"no request is sent", false}, nil
}

// plural is a number with its noun.
func plural(n int, noun string) string {
	switch n {
	case 0:
		return "no " + noun
	case 1:
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
