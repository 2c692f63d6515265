package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/echo-m2m/m2m/middleware/outbound"
)

const (
	requestTimeout = 10 * time.Second
	callTimeout    = time.Minute      // of a call with all its requests
	lastCall       = 10 * time.Second // how long the call may take in which FOR ends
	firstPause     = 200 * time.Millisecond
	longestPause   = 2 * time.Second // unless Retry-After asks for more
)

// counts are the last line that the program prints.
type counts struct {
	Calls         int    `json:"calls"`
	OK            int    `json:"ok"`
	Failed        int    `json:"failed"`
	TokenRequests uint64 `json:"token_requests"` // fetches of a token, failed ones too
	Replays       uint64 `json:"replays"`        // requests that were sent again, with another token
}

// caller calls an API. Its client adds the tokens: no line here is about them.
type caller struct {
	api    string
	client *http.Client
	diary  *diary
	counts counts
}

// run calls the API until end, or until the context ends if end is zero.
func (c *caller) run(ctx context.Context, every time.Duration, end time.Time) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var over <-chan time.Time
	if !end.IsZero() {
		over = time.After(time.Until(end))
	}
	for {
		started, timeout := time.Now(), callTimeout
		if !end.IsZero() {
			timeout = min(timeout, time.Until(end)+lastCall)
		}
		err := c.call(ctx, timeout)
		if errors.Is(err, errInterrupted) {
			return
		}
		c.counts.Calls++
		if err == nil {
			c.counts.OK++
			c.diary.ok(c.api, time.Since(started))
		} else {
			c.counts.Failed++
			c.diary.failed(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-over:
			return
		case <-ticker.C:
		}
		if !end.IsZero() && !time.Now().Before(end) {
			return
		}
	}
}

// errInterrupted is the error of a call in whose first request the program was stopped. It
// does not count.
var errInterrupted = errors.New("interrupted")

// call makes one call. The API may restart too, so a request that got no answer, or one
// that says to come later, is sent again: GET changes nothing.
func (c *caller) call(ctx context.Context, timeout time.Duration) error {
	started := time.Now()
	var earlier error
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := c.get(ctx)
		if err != nil && ctx.Err() != nil {
			if earlier == nil {
				return errInterrupted
			}
			return earlier
		}
		wait, ok := errors.AsType[later](err)
		if !ok {
			return err
		}
		delay := wait.after + rand.N(pause) //nolint:gosec // it spreads load, and protects nothing
		if time.Since(started)+delay > timeout {
			return err
		}
		c.diary.trouble(err)
		earlier = err
		select {
		case <-ctx.Done():
			return earlier
		case <-time.After(delay):
		}
	}
}

// later is an error that may pass.
type later struct {
	error

	after time.Duration // what Retry-After asks for
}

func (l later) Unwrap() error { return l.error }

// get sends one request. The error is a later if another one may succeed.
func (c *caller) get(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.api, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := c.client.Do(request)
	if err != nil {
		_, refused := errors.AsType[*outbound.Error](err)
		if refused && !errors.Is(err, outbound.ErrUnavailable) {
			return err // the issuer refuses this client
		}
		return later{error: err} // issuer or API do not answer
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20)); err != nil {
		return later{error: err}
	}
	switch answer.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent:
		return nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After")) // 0 without one
		return later{fmt.Errorf("the API answered %s", answer.Status), time.Duration(max(0, min(seconds, 60))) * time.Second}
	}
	return fmt.Errorf("the API answered %s %s", answer.Status, answer.Header.Get("WWW-Authenticate"))
}
