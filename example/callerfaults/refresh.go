package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// life is what expires_in says here, in seconds. x/oauth2 uses such tokens for 2 s, and
// outbound refreshes them after 4 to 6 s.
const life = 12

// refreshTogether measures how far apart many clients refresh. Calls are sent all the
// time.
func refreshTogether(ctx context.Context, s *stage) (finding, error) {
	s.auth.set(func(e *tokenEndpoint) { e.answer["expires_in"] = life })
	const clients = 30
	var all []*caller
	for range clients {
		c, err := s.start(ctx)
		if err != nil {
			return finding{}, err
		}
		all = append(all, c)
	}
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	var calls sync.WaitGroup
	defer calls.Wait()
	for _, c := range all {
		calls.Go(func() {
			for ctx.Err() == nil {
				_, _ = s.call(ctx, c, "/") // the requests of the token endpoint tell
				_ = sleep(ctx, 200*time.Millisecond)
			}
		})
	}
	if err := s.arrived(ctx, 2*clients); err != nil {
		return finding{}, err
	}
	cancel()
	arrivals := s.auth.requests()
	if apart := arrivals[2*clients-1].Sub(arrivals[clients]); apart > time.Second {
		return finding{"refreshes are spread over more than 1 s", false}, nil
	}
	return finding{fmt.Sprintf("%d refreshes within 1 s", clients), true}, nil
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
	case <-time.After(time.Second):
		return finding{"a call waits", true}, nil
	}
}

// rotatedSecret replaces the secret during the life of a token.
func rotatedSecret(ctx context.Context, s *stage) (finding, error) {
	s.auth.set(func(e *tokenEndpoint) { e.answer["expires_in"] = 1 })
	c, err := s.start(ctx)
	if err != nil {
		return finding{}, err
	}
	// A refresh between these two would be refused, and rightly. It begins after a third
	// of the token's second.
	if err := s.writeSecret("second-secret"); err != nil {
		return finding{}, err
	}
	s.auth.set(func(e *tokenEndpoint) { e.secret = "second-secret" })
	if err := sleep(ctx, 1200*time.Millisecond); err != nil {
		return finding{}, err
	}
	if status, err := s.call(ctx, c, "/"); err != nil || status != http.StatusOK {
		return finding{"calls fail until the program is restarted", true}, nil
	}
	return finding{"the next fetch reads it", false}, nil
}
