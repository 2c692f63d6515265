package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// life is what expires_in says for refreshHangs, in seconds. x/oauth2 uses such tokens for
// 2 s, and outbound refreshes them after 4 to 6 s.
const life = 12

// refreshTogether measures how far apart many clients refresh, each from its start on.
// Calls are sent all the time.
func refreshTogether(ctx context.Context, s *stage) (finding, error) {
	s.auth.set(func(e *tokenEndpoint) { e.answer["expires_in"] = 20 }) // used for 10 s, or refreshed after 6.7 to 10 s
	const (
		clients = 30
		near    = 2 * time.Second
	)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var calls sync.WaitGroup
	defer calls.Wait()
	for n := range clients {
		c, err := s.openAt(ctx, fmt.Sprintf("/%d", n))
		if err != nil {
			return finding{}, err
		}
		calls.Go(func() {
			for ctx.Err() == nil {
				_, _ = s.call(ctx, c, "/") // the requests of the token endpoint tell
				_ = sleep(ctx, 200*time.Millisecond)
			}
		})
	}
	for {
		after := refreshes(s.auth.requests())
		if len(after) < clients {
			if err := sleep(ctx, 10*time.Millisecond); err != nil {
				return finding{}, err
			}
			continue
		}
		cancel()
		if slices.Max(after)-slices.Min(after) > near {
			return finding{"refreshes are spread over more than 2 s", false}, nil
		}
		return finding{fmt.Sprintf("%d refreshes within 2 s", clients), true}, nil
	}
}

// refreshes returns the time from the first to the second request of each path.
func refreshes(all []arrival) (after []time.Duration) {
	requests := map[string][]time.Time{}
	for _, a := range all {
		requests[a.path] = append(requests[a.path], a.at)
		if at := requests[a.path]; len(at) == 2 {
			after = append(after, at[1].Sub(at[0]))
		}
	}
	return after
}

// refreshHangs sends a call when both libraries want another token and get none.
func refreshHangs(ctx context.Context, s *stage) (finding, error) {
	s.auth.set(func(e *tokenEndpoint) { e.answer["expires_in"] = life })
	c, err := s.start(ctx)
	if err != nil {
		return finding{}, err
	}
	s.auth.hang()
	if err := sleep(ctx, 7*time.Second); err != nil {
		return finding{}, err
	}
	var calls sync.WaitGroup
	defer calls.Wait()
	defer s.auth.release()
	answered := make(chan int, 1)
	calls.Go(func() {
		status, _ := s.call(ctx, c, "/") // 0 if it fails
		answered <- status
	})
	select {
	case status := <-answered:
		switch {
		case status != http.StatusOK:
			return finding{"a call fails", true}, nil
		case len(s.auth.requests()) < 2:
			return finding{"no refresh has begun", true}, nil
		}
		return finding{"a call is sent with the token in hand", false}, nil
	case <-time.After(3 * time.Second):
		return finding{"a call waits", true}, nil
	}
}

// rotatedSecret replaces the secret during the life of a token.
func rotatedSecret(ctx context.Context, s *stage) (finding, error) {
	s.auth.set(func(e *tokenEndpoint) { e.answer["expires_in"] = 3 })
	c, err := s.start(ctx)
	if err != nil {
		return finding{}, err
	}
	// The server takes both secrets until each fetch with the first has ended.
	const second = "second-secret"
	s.auth.set(func(e *tokenEndpoint) { e.secrets = []string{secret, second} })
	if err := s.writeSecret(second); err != nil {
		return finding{}, err
	}
	if err := sleep(ctx, 1500*time.Millisecond); err != nil {
		return finding{}, err
	}
	s.auth.set(func(e *tokenEndpoint) { e.secrets = []string{second} })
	if err := sleep(ctx, 3200*time.Millisecond); err != nil {
		return finding{}, err
	}
	if status, _ := s.call(ctx, c, "/"); status != http.StatusOK { // 0 if it fails
		return finding{"calls fail until the program is restarted", true}, nil
	}
	return finding{"the next fetch reads it", false}, nil
}
