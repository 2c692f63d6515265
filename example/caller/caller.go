package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/echo-m2m/m2m/jwks/fetch"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

const (
	requestTimeout = 10 * time.Second
	callTimeout    = time.Minute // of a call with all its requests
	firstPause     = 200 * time.Millisecond
	longestPause   = 2 * time.Second // unless Retry-After asks for more
)

// counts are the last line that the program prints.
type counts struct {
	Calls         int    `json:"calls"` // without one that was cut by the end, if another succeeded
	OK            int    `json:"ok"`
	Failed        int    `json:"failed"`
	TokenRequests uint64 `json:"token_requests"` // requests that were sent to the token endpoint
	Replays       uint64 `json:"replays"`        // requests that were sent again, with another token
}

// caller calls an API. Its client adds the tokens: no line here is about them.
type caller struct {
	api    string
	client *http.Client
	diary  *diary
	counts counts
}

// run calls the API until the context ends.
func (c *caller) run(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for ctx.Err() == nil {
		started := time.Now()
		status, err := c.call(ctx)
		switch {
		case errors.Is(err, errCut) && c.counts.OK > 0:
			c.diary.sayf("the end cut a call short: it does not count")
			return
		case err == nil:
			c.counts.OK++
			c.diary.ok(c.api, status, time.Since(started))
		default:
			c.counts.Failed++
			c.diary.failed(err)
		}
		c.counts.Calls++
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// errCut is in the error of a call that the end of the program cut short. It may have
// succeeded later, so it does not count. If no call has succeeded it counts as failed: the
// end of a short run must not hide that nothing works.
var errCut = errors.New("no call succeeded before the end")

// call makes one call, and returns the status of its answer. The API may restart too, so a
// request that got no answer, or one that says to come later, is sent again: GET changes
// nothing.
func (c *caller) call(ctx context.Context) (status int, err error) {
	started := time.Now()
	var last error // of the request before
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		status, err := c.get(ctx)
		wait, ok := errors.AsType[later](err)
		switch {
		case !ok:
			return status, err
		case ctx.Err() != nil:
			return 0, fmt.Errorf("%w: %w", errCut, cmp.Or(last, err))
		}
		last = err
		delay := wait.after + rand.N(pause) //nolint:gosec // it spreads load, and protects nothing
		if time.Since(started)+delay > callTimeout {
			return 0, err
		}
		c.diary.trouble(err)
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %w", errCut, last)
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

// get sends one request, and returns the status of an answer that is a success. The error is
// a later if another request may succeed.
func (c *caller) get(ctx context.Context) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.api, http.NoBody)
	if err != nil {
		return 0, err
	}
	answer, err := c.client.Do(request)
	if err != nil {
		_, refused := errors.AsType[*outbound.Error](err)
		if refused && !errors.Is(err, outbound.ErrUnavailable) {
			return 0, err // the issuer refuses this client
		}
		return 0, later{error: err} // issuer or API do not answer
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20)); err != nil {
		return 0, later{error: err}
	}
	switch answer.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent:
		return answer.StatusCode, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		after := min(max(0, fetch.RetryAfter(answer.Header)), callTimeout) // a call does not wait longer
		return 0, later{fmt.Errorf("the API answered %d", answer.StatusCode), after}
	}
	return 0, fmt.Errorf("the API answered %d %.200q", answer.StatusCode, answer.Header.Get("WWW-Authenticate"))
}
