package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// answers is an API that answers what a func says.
type answers func(r *http.Request) (*http.Response, error)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

func answer(status int, retryAfter string) *http.Response {
	res := &http.Response{StatusCode: status, Status: strconv.Itoa(status), Header: http.Header{}, Body: http.NoBody}
	if retryAfter != "" {
		res.Header.Set("Retry-After", retryAfter)
	}
	return res
}

func newCaller(api answers) *caller {
	return &caller{api: "http://127.0.0.1:1", client: &http.Client{Transport: api}, diary: &diary{out: io.Discard}}
}

// An API says when to call again, in seconds or as a date.
func TestRetryAfter(t *testing.T) {
	date := func(in time.Duration) func() string {
		return func() string { return time.Now().Add(in).UTC().Format(http.TimeFormat) }
	}
	text := func(value string) func() string { return func() string { return value } }
	for name, tt := range map[string]struct {
		status     int
		retryAfter func() string
		after      time.Duration // until the next request, at least
		fails      bool          // at once: the call would take too long
	}{
		"seconds":           {503, text("7"), 7 * time.Second, false},
		"seconds, 429":      {429, text("7"), 7 * time.Second, false},
		"date":              {503, date(9 * time.Second), 9 * time.Second, false},
		"date, 429":         {429, date(9 * time.Second), 9 * time.Second, false},
		"date that is over": {503, date(-time.Hour), 0, false},
		"none":              {503, text(""), 0, false},
		"negative":          {503, text("-5"), 0, false},
		"any text":          {503, text("soon"), 0, false},
		"hours":             {503, text("7200"), 0, true},
		"a date in hours":   {503, date(2 * time.Hour), 0, true},
		"far too many":      {503, text("99999999999999999999"), 0, true},
		"a date far away":   {503, text("Fri, 31 Dec 9999 23:59:59 GMT"), 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var requests []time.Time
				c := newCaller(func(*http.Request) (*http.Response, error) {
					if requests = append(requests, time.Now()); len(requests) == 1 {
						return answer(tt.status, tt.retryAfter()), nil
					}
					return answer(200, ""), nil
				})
				_, err := c.call(t.Context())
				if tt.fails {
					if err == nil || len(requests) != 1 || !strings.Contains(err.Error(), "503") {
						t.Errorf("%d requests, error %v", len(requests), err)
					}
					return
				}
				if err != nil || len(requests) != 2 {
					t.Fatalf("%d requests, error %v", len(requests), err)
				}
				if took := requests[1].Sub(requests[0]); took < tt.after || took > tt.after+firstPause {
					t.Errorf("the next request was sent after %v, want %v", took, tt.after)
				}
			})
		})
	}
}

// A call that the end cuts short counts neither as failed nor as a call, wherever it is.
func TestEndCutsCall(t *testing.T) {
	for name, trouble := range map[string]answers{
		"waits for an answer": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
		"waits for a body": func(r *http.Request) (*http.Response, error) {
			res := answer(200, "")
			res.Body = io.NopCloser(body(func() error {
				<-r.Context().Done()
				return r.Context().Err()
			}))
			return res, nil
		},
		"waits for another try": func(*http.Request) (*http.Response, error) { return nil, errors.New("refused") },
		"waits for Retry-After": func(*http.Request) (*http.Response, error) { return answer(503, "50"), nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				c := newCaller(func(r *http.Request) (*http.Response, error) {
					if requests++; requests <= 3 {
						return answer(200, ""), nil
					}
					return trouble(r)
				})
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				began := time.Now()
				c.run(ctx, time.Second)
				if took := time.Since(began); took != 5*time.Second {
					t.Errorf("it ended after %v", took)
				}
				if want := (counts{Calls: 3, OK: 3}); c.counts != want {
					t.Errorf("%+v, want %+v", c.counts, want)
				}
			})
		})
	}
}

// If no call has succeeded, the one that the end cuts short has failed: a short run does
// not hide that nothing works.
func TestEndOfARunInWhichNothingWorked(t *testing.T) {
	for name, trouble := range map[string]answers{
		"no answer": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
		"refused":                      func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") },
		"503":                          func(*http.Request) (*http.Response, error) { return answer(503, ""), nil },
		"503, with a long Retry-After": func(*http.Request) (*http.Response, error) { return answer(503, "50"), nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var said strings.Builder
				c := newCaller(trouble)
				c.diary.out = &said
				ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
				defer cancel()
				c.run(ctx, time.Second)
				if want := (counts{Calls: 1, Failed: 1}); c.counts != want {
					t.Errorf("%+v, want %+v", c.counts, want)
				}
				if cause := strings.TrimSuffix(name, ", with a long Retry-After"); !strings.Contains(said.String(), "FAILED") || name != "no answer" && !strings.Contains(said.String(), cause) {
					t.Errorf("it says %s", said.String())
				}
			})
		})
	}
}

// body is one that cannot be read.
type body func() error

func (b body) Read([]byte) (int, error) { return 0, b() }

// A call fails if nothing answers for a minute, and if the answer is a refusal.
func TestCallFails(t *testing.T) {
	for name, tt := range map[string]struct {
		api   answers
		after time.Duration // at least
	}{
		"no answer": {func(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }, callTimeout - longestPause},
		"403":       {func(*http.Request) (*http.Response, error) { return answer(403, "5"), nil }, 0},
		"304":       {func(*http.Request) (*http.Response, error) { return answer(304, ""), nil }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, err := newCaller(tt.api).call(t.Context())
				if took := time.Since(began); err == nil || took < tt.after || took > callTimeout {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}
