package outbound

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Status and Ready tell the truth in each state.
func TestStates(t *testing.T) {
	refused := func(s *server) { s.answer = alwaysAnswer(401, `{"error":"invalid_client"}`) }
	down := func(s *server) { s.answer = alwaysAnswer(503, "") }
	up := func(s *server) { s.answer = nil }
	isRefusal := func(err error) bool {
		e, ok := errors.AsType[*Error](err)
		return ok && e.Code == "invalid_client" && !errors.Is(err, ErrUnavailable)
	}
	isOutage := func(err error) bool { return errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrClosed) }
	isClosed := func(err error) bool { return errors.Is(err, ErrClosed) }
	isNil := func(err error) bool { return err == nil }
	try := func(s *Source) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_, _ = s.Token(ctx)
		synctest.Wait()
	}
	for name, test := range map[string]struct {
		reach    func(s *Source, auth *server)
		valid    bool
		failed   bool // Failed and NextTry are set
		last     func(error) bool
		ready    func(error) bool
		fetches  uint64 // before Ready; 0 means any
		failures uint64
	}{
		"never fetched": {func(*Source, *server) {}, false, false, isNil, isNil, 0, 0},
		"never fetched, issuer down": {func(_ *Source, a *server) { a.set(down) }, false, false, isNil,
			func(err error) bool { return isOutage(err) || errors.Is(err, context.DeadlineExceeded) }, 0, 0},
		"fetched":                  {func(s *Source, _ *server) { try(s) }, true, false, isNil, isNil, 1, 0},
		"fetched, and expired":     {func(s *Source, _ *server) { try(s); time.Sleep(24 * time.Hour) }, false, false, isNil, isNil, 2, 0},
		"refused":                  {func(s *Source, a *server) { a.set(refused); try(s) }, false, true, isRefusal, isRefusal, 1, 1},
		"refused, and right again": {func(s *Source, a *server) { a.set(refused); try(s); a.set(up); time.Sleep(slowDelay); try(s) }, true, false, isNil, isNil, 2, 1},
		"refused with a token in hand": {func(s *Source, a *server) { try(s); a.set(refused); time.Sleep(41 * time.Minute) }, true, true,
			isRefusal, isNil, 0, 0},
		"outage with a token in hand": {func(s *Source, a *server) { try(s); a.set(down); time.Sleep(41 * time.Minute) }, true, true, isOutage, isNil, 0, 0},
		"outage, the token has ended": {func(s *Source, a *server) { try(s); a.set(down); time.Sleep(61 * time.Minute) }, false, true, isOutage,
			func(err error) bool { return isOutage(err) || errors.Is(err, context.DeadlineExceeded) }, 0, 0},
		"outage without a token": {func(s *Source, a *server) { a.set(down); try(s) }, false, true, isOutage,
			func(err error) bool { return isOutage(err) || errors.Is(err, context.DeadlineExceeded) }, 1, 1},
		"a scope refused, and granted later": {func(s *Source, a *server) {
			a.set(func(s *server) { s.answer = alwaysAnswer(400, `{"error":"invalid_scope"}`) })
			try(s)
			a.set(up)
			time.Sleep(slowDelay)
			try(s)
		}, true, false, isNil, isNil, 2, 1},
		"outage that is over":           {func(s *Source, a *server) { a.set(down); try(s); a.set(up); time.Sleep(longestDelay); try(s) }, true, false, isNil, isNil, 2, 1},
		"closed, never fetched":         {func(s *Source, _ *server) { s.Close() }, false, false, isClosed, isClosed, 0, 0},
		"closed with a token":           {func(s *Source, _ *server) { try(s); s.Close() }, false, false, isClosed, isClosed, 1, 0},
		"closed in an outage":           {func(s *Source, a *server) { a.set(down); try(s); s.Close() }, false, false, isClosed, isClosed, 1, 1},
		"a closed one of For":           {func(s *Source, _ *server) { try(s); s.For("", "x").Close() }, false, false, isClosed, isClosed, 1, 0},
		"another token of For is there": {func(s *Source, _ *server) { try(s.For("", "x")) }, false, false, isNil, isNil, 1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			auth := &server{}
			s := newSource(t, auth, nil)
			longest(s) // no retry within a millisecond
			test.reach(s, auth)
			synctest.Wait()
			now, st := time.Now(), s.Status()
			if st.Valid != test.valid || (st.Failed > 0) != test.failed || st.NextTry.IsZero() == test.failed || !test.last(st.LastError) {
				t.Errorf("%s: %+v", name, st)
			}
			if test.failed && st.NextTry.Before(now) && test.valid {
				t.Errorf("%s: the next try was %v ago", name, now.Sub(st.NextTry))
			}
			if held := !st.ObtainedAt.IsZero(); held != test.valid || held == st.ExpiresAt.IsZero() || held == st.UsableUntil.IsZero() || held == st.RefreshAt.IsZero() ||
				held && (!st.UsableUntil.After(now) || st.ObtainedAt.After(now)) {
				t.Errorf("%s: the times are %+v", name, st)
			}
			if test.fetches > 0 && (st.Fetches != test.fetches || st.Failures != test.failures) || st.Fetches != uint64(auth.count()) {
				t.Errorf("%s: %d fetches, %d failed; the server saw %d", name, st.Fetches, st.Failures, auth.count())
			}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := s.Ready(ctx); !test.ready(err) {
				t.Errorf("%s: Ready is %v", name, err)
			}
			if test.ready(nil) && !s.Status().Valid {
				t.Errorf("%s: ready, and no token is held", name)
			}
		})
	}
}

// The error is of the latest fetch, whichever of the two backoffs has it, and the next try
// waits for both.
func TestStatusOfTwoFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{answer: alwaysAnswer(400, `{"error":"invalid_scope"}`)}
		s := newSource(t, auth, nil)
		_, _ = s.Token(t.Context())
		held := s.Status().NextTry
		time.Sleep(time.Second)
		auth.set(func(s *server) { s.answer = alwaysAnswer(503, "") })
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, _ = s.For("", "other").Token(ctx)
		synctest.Wait()
		st := s.Status()
		if e, ok := errors.AsType[*Error](st.LastError); !ok || e.Status != 503 {
			t.Errorf("the latest error is %v", st.LastError)
		}
		if st.NextTry.Before(held) {
			t.Errorf("the next try is %v before the refusal lets it begin", held.Sub(st.NextTry))
		}
	})
}
