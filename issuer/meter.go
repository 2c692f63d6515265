package issuer

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// allowance is how many attempts there are at once, and how fast they come back: one
// in every.
type allowance struct {
	attempts int
	every    time.Duration
}

// level is how much of an allowance is used up (GCRA, the generic cell rate
// algorithm). An attempt is reserved before anything is compared, so that concurrent
// ones find out no more than so many one after the other.
type level struct {
	until    time.Time // when all attempts that were used up are paid off
	reserved int       // attempts under way
}

// wait returns how long it is until one more attempt is allowed; 0 or less is now.
func (l *level) wait(a allowance, now time.Time) time.Duration {
	return max(0, l.until.Sub(now)) + time.Duration(l.reserved+1-a.attempts)*a.every
}

// use uses an attempt up.
func (l *level) use(a allowance, now time.Time) {
	if l.until.Before(now) {
		l.until = now
	}
	l.until = l.until.Add(a.every)
}

// settle ends an attempt that was reserved: it is used up, or given back.
func (l *level) settle(a allowance, used bool, now time.Time) {
	if l.reserved--; used {
		l.use(a, now)
	}
}

// meters hold one level for each key, all of one allowance. A level of which nothing
// is used up is not kept. A full map evicts a level that is soon paid off.
type meters struct {
	allowance
	all *bounded[*meter]
}

type meter struct {
	mu sync.Mutex
	level
	underWay map[string]*reservation // by what they try
	dropped  bool                    // another one takes its place
	weight   atomic.Int64            // until, or the maximum while attempts are under way
}

// newMeters returns meters that are kept for a time after their last use.
func newMeters(a allowance, kept time.Duration) *meters {
	m := &meters{allowance: a, all: newBounded[*meter](maxBuckets, kept)}
	m.all.weigh(func(m *meter) int64 { return m.weight.Load() })
	return m
}

// at calls f with the meter of the key, locked.
func (m *meters) at(key string, f func(at *meter, now time.Time)) {
	for done := false; !done; {
		done = m.try(m.all.getOrSet(key, func() *meter { return &meter{} }), key, f)
	}
}

// try calls f with one meter, locked. It reports false when the meter was dropped.
func (m *meters) try(at *meter, key string, f func(*meter, time.Time)) bool {
	at.mu.Lock()
	defer at.mu.Unlock()
	if at.dropped {
		return false
	}
	now := time.Now()
	f(at, now)
	switch {
	case len(at.underWay) > 0:
		at.weight.Store(math.MaxInt64)
	case at.until.After(now):
		at.weight.Store(at.until.UnixNano())
	default:
		at.dropped = true
		m.all.removeIf(key, func(other *meter) bool { return other == at })
	}
	return true
}

// wait returns how long it is until one more attempt is allowed; 0 or less is now.
func (m *meters) wait(key string) time.Duration {
	at, ok := m.all.get(key)
	if !ok {
		return 0
	}
	at.mu.Lock()
	defer at.mu.Unlock()
	return at.wait(m.allowance, time.Now())
}

// use uses an attempt up, if there is one.
func (m *meters) use(key string) {
	m.at(key, func(at *meter, now time.Time) {
		if at.wait(m.allowance, now) <= 0 {
			at.use(m.allowance, now)
		}
	})
}

// reserve reserves an attempt to try something; nil when there is none.
func (m *meters) reserve(key, what string) (r *reservation) {
	m.at(key, func(at *meter, now time.Time) {
		if r = at.join(what); r == nil && at.wait(m.allowance, now) <= 0 {
			at.reserved++
			r = at.begin(&reservation{meters: m, key: key, what: what})
		}
	})
	return r
}

// reservation is an attempt under way. Those that try the same at the same time are
// one, as they find out the same. Each settles it once. Nil is none.
type reservation struct {
	meters  *meters
	at      *meter
	key     string
	what    string
	holders int
	outcome outcome         // the greatest of all holders
	turn    func(time.Time) // gives back the turn that it has taken; nil: it was reserved
}

// outcome is how an attempt has ended.
type outcome int

const (
	untried outcome = iota // nothing was compared, or looked up
	succeeded
	failed
)

// join returns the attempt under way that tries the same; nil if there is none.
func (m *meter) join(what string) *reservation {
	r := m.underWay[what]
	if r != nil {
		r.holders++
	}
	return r
}

func (m *meter) begin(r *reservation) *reservation {
	if m.underWay == nil {
		m.underWay = map[string]*reservation{}
	}
	r.at, r.holders = m, 1
	m.underWay[r.what] = r
	return r
}

// settle ends the attempt of one holder. It is used up if it has failed, a turn if it
// was not untried; otherwise it is given back.
func (r *reservation) settle(o outcome) {
	if r == nil {
		return
	}
	r.meters.try(r.at, r.key, func(at *meter, now time.Time) {
		r.outcome = max(r.outcome, o)
		if r.holders--; r.holders > 0 {
			return
		}
		if delete(at.underWay, r.what); len(at.underWay) == 0 {
			at.underWay = nil
		}
		switch {
		case r.turn == nil:
			at.settle(r.meters.allowance, r.outcome == failed, now)
		case r.outcome == untried:
			r.turn(now)
		}
	})
}
