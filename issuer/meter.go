package issuer

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// allowance is a number of attempts at once, and the time after which one more is
// allowed.
type allowance struct {
	attempts int
	every    time.Duration
}

// level is how much of an allowance is used up (GCRA, the generic cell rate
// algorithm). An attempt is reserved before anything is compared, so concurrent
// attempts find out no more than the same number one after the other.
type level struct {
	until    time.Time // when the whole allowance is available again
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

// settle ends a reserved attempt: it is used up, or given back.
func (l *level) settle(a allowance, used bool, now time.Time) {
	if l.reserved--; used {
		l.use(a, now)
	}
}

// meters holds one level per key, all of one allowance. A level is kept only while
// something of it is used up. A full map evicts a level that is soon available again.
type meters struct {
	allowance
	all *bounded[*meter]
}

type meter struct {
	mu sync.Mutex
	level
	underWay map[string]*reservation // by what they try
	dropped  bool                    // the map holds it no more
	weight   atomic.Int64            // until, or the maximum while attempts are under way
}

// newMeters returns meters that are kept until their whole allowance is available
// again, turns that were given included.
func newMeters(a allowance) *meters {
	refill := time.Duration(a.attempts) * a.every
	m := &meters{allowance: a, all: newBounded[*meter](maxBuckets, refill+longestWait+time.Hour)}
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

// reserve reserves an attempt to try something. It returns nil when none is left.
func (m *meters) reserve(key, what string) (r *reservation) {
	m.at(key, func(at *meter, now time.Time) {
		if r = at.join(what); r == nil && at.wait(m.allowance, now) <= 0 {
			at.reserved++
			r = at.begin(&reservation{meters: m, key: key, what: what})
		}
	})
	return r
}

// reservation is an attempt under way. Callers that try the same at the same time share
// one, as they find out the same. Each of them settles it once. A nil reservation
// settles nothing.
type reservation struct {
	meters  *meters
	at      *meter
	key     string
	what    string
	holders int
	outcome outcome         // the greatest of all holders
	turn    func(time.Time) // gives back the turn that was taken; nil: none was
}

// outcome is how an attempt has ended.
type outcome int

const (
	untried outcome = iota // nothing was compared, or looked up
	succeeded
	failed
)

// join returns the attempt under way that tries the same, nil if there is none.
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

// settle ends the attempt for one holder. With the last one, a failed attempt is used
// up, and a turn is unless it was untried. Otherwise it is given back.
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
