package issuertest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Switch makes one part of an [Issuer] fail, and counts the requests to it. The last call
// counts, also for requests that wait at that moment. The zero Switch works. It is safe
// for concurrent use.
type Switch struct {
	mu       sync.Mutex
	fault    fault
	changed  chan struct{} // closed by the next change; nil: no request waits
	requests int
	ended    bool
	tb       testing.TB // whose issuer it is of; nil in the zero Switch
	part     string     // for errors; "" is the feed
}

// fault is how a request fails.
type fault struct {
	hang   bool
	delay  time.Duration
	answer func(w http.ResponseWriter, r *http.Request, works http.Handler) // nil: it works
	says   string                                                           // of the feed, which has no answer of HTTP
}

// Slow delays each request by d. Then it works.
func (s *Switch) Slow(d time.Duration) { s.set(fault{delay: d}) }

// Hang lets each request wait until the caller leaves, the switch changes, or the test
// ends.
func (s *Switch) Hang() { s.set(fault{hang: true, says: "hangs"}) }

// Fail answers each request with this HTTP status, from 200 to 599, and a JSON body in the
// form of RFC 6749, section 5.2. For more, such as Retry-After, write [Switch.Serve].
func (s *Switch) Fail(status int) {
	if status < 200 || status > 599 {
		if tb := s.test(); tb != nil {
			tb.Helper()
			tb.Fatalf("issuertest: Fail(%d): write a status from 200 to 599", status)
		}
		status = http.StatusInternalServerError
	}
	code := "temporarily_unavailable"
	if status < 500 {
		code = "invalid_request"
	}
	s.set(fault{says: fmt.Sprintf("fails with %d", status), answer: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":%q}`, code) // the caller may have left
	}})
}

// Garbage answers each request with 200 and a page of HTML, as some proxies do.
func (s *Switch) Garbage() {
	s.set(fault{says: "answers garbage", answer: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><title>Sign in</title><p>Please sign in to continue.</p>") // the caller may have left
	}})
}

// CutOff closes the connection in the middle of each answer. The request itself works: a
// token was granted that the caller never sees.
func (s *Switch) CutOff() {
	s.set(fault{says: "is cut off", answer: func(w http.ResponseWriter, r *http.Request, works http.Handler) {
		whole := httptest.NewRecorder()
		works.ServeHTTP(whole, r)
		maps.Copy(w.Header(), whole.Header())
		// The server closes the connection, because the handler returns too early.
		w.Header().Set("Content-Length", strconv.Itoa(whole.Body.Len()+1))
		w.WriteHeader(whole.Code)
		_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2]) // the caller may have left
	}})
}

// Serve answers each request by a handler of the test, for every other fault: headers, a
// body of 10 MB, a redirect, success on the third try. The feed, which is not served over
// HTTP, fails then. With nil the switch works.
func (s *Switch) Serve(h http.Handler) {
	if h == nil {
		s.Restore()
		return
	}
	s.set(fault{says: "is replaced", answer: func(w http.ResponseWriter, r *http.Request, _ http.Handler) { h.ServeHTTP(w, r) }})
}

// Restore makes it work again.
func (s *Switch) Restore() { s.set(fault{}) }

// Requests returns how many requests have arrived so far, whatever became of them. Of the
// feed they are the polls.
func (s *Switch) Requests() int {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

func (s *Switch) set(f fault) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.fault = f
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// test returns the test that the switch belongs to; nil after its end.
func (s *Switch) test() testing.TB {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil
	}
	return s.tb
}

// end lets all requests that wait return, and no further one wait.
func (s *Switch) end() {
	s.Fail(http.StatusServiceUnavailable)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// now returns the fault in force, and a channel that is closed when it changes.
func (s *Switch) now() (fault, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.fault, s.changed
}

func (s *Switch) count() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
}

// await waits as the switch says, and returns what to do then.
func (s *Switch) await(ctx context.Context) (fault, error) {
	for {
		f, changed := s.now()
		if !f.hang && f.delay <= 0 {
			return f, nil
		}
		var over <-chan time.Time // of a hanging request, never
		if !f.hang {
			over = time.After(f.delay)
		}
		select {
		case <-over:
			return fault{}, nil
		case <-changed:
		case <-ctx.Done():
			return f, context.Cause(ctx)
		}
	}
}

// serve answers a request.
func (s *Switch) serve(w http.ResponseWriter, r *http.Request, works http.Handler) {
	s.count()
	if f, _ := s.now(); f.hang || f.delay > 0 {
		// The server notices that a caller has left only when it has read the body.
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	f, err := s.await(r.Context())
	switch {
	case err != nil:
		http.Error(w, "the caller has left", http.StatusServiceUnavailable)
	case f.answer != nil:
		f.answer(w, r, works)
	default:
		works.ServeHTTP(w, r)
	}
}

// pass is serve for what is asked in memory: nil if the call may go on.
func (s *Switch) pass(ctx context.Context) error {
	s.count()
	f, err := s.await(ctx)
	return errors.Join(err, s.err(f))
}

// broken returns an error while the feed fails or hangs.
func (s *Switch) broken() error {
	f, _ := s.now()
	return s.err(f)
}

// err is the fault as an error, for a part that is not asked over HTTP.
func (s *Switch) err(f fault) error {
	if f.says == "" {
		return nil
	}
	return fmt.Errorf("issuertest: the %s %s", cmp.Or(s.part, "feed"), f.says)
}
