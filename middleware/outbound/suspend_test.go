package outbound

import (
	"testing"
	"testing/synctest"
	"time"
)

// suspend does to the token in hand what a suspended machine does: the wall clock has moved
// on by d, and the monotonic clock has not.
func suspend(s *Source, d time.Duration) {
	c := s.cell.Load()
	c.family.mu.Lock()
	defer c.family.mu.Unlock()
	h := c.held.Load()
	moved := &held{text: h.text, header: h.header, times: h.times, scopes: h.scopes, offset: h.offset}
	moved.wall = h.wall.Add(-d)
	moved.use.Store(h.use.Load())
	c.held.Store(moved)
}

// The end of a token that passed while the machine was suspended is noticed within a
// minute, although the monotonic clock says that the token lives on.
func TestSuspendedMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{life: 6 * 3600}
		s := newSource(t, auth, nil)
		wantToken(t, s, "token-1")
		time.Sleep(10 * time.Minute)
		suspend(s, 5*time.Hour)
		time.Sleep(longestNap)
		synctest.Wait()
		wantToken(t, s, "token-1") // there is time left
		suspend(s, time.Hour)
		if s.Status().Valid {
			t.Error("a token that expired in the meantime is shown as valid")
		}
		time.Sleep(longestNap)
		synctest.Wait()
		wantToken(t, s, "token-2")
		if got := auth.count(); got != 2 {
			t.Errorf("%d token requests", got)
		}
	})
}

func TestUsableByBothClocks(t *testing.T) {
	now := time.Now()
	plan := schedule(now, time.Hour, dice)
	if plan.wall != plan.until.Round(0) {
		t.Errorf("the two ends differ: %v, %v", plan.until, plan.wall)
	}
	for name, test := range map[string]struct {
		until, wall time.Duration // from now on
		want        bool
	}{
		"both run":                        {time.Minute, time.Minute, true},
		"suspended past the end":          {time.Minute, -time.Minute, false},
		"the wall clock was set back":     {-time.Minute, time.Minute, false},
		"both have ended":                 {-time.Minute, -time.Minute, false},
		"the end itself, monotonic clock": {0, time.Minute, false},
		"the end itself, wall clock":      {time.Minute, 0, false},
	} {
		// A sum keeps the monotonic reading, and Round takes it away.
		got := (&times{until: now.Add(test.until), wall: now.Round(0).Add(test.wall)}).usable(now)
		if got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
