package issuer

import (
	"sync"
	"time"
)

// turns spreads the guesses at each client over time: a burst, then one in
// attemptEvery for all networks together (GCRA, the generic cell rate algorithm).
// After the burst a network that is refused gets a turn of its own, after those of
// the networks before it, and the answer says when that is. So a network that sends
// one request gets as many turns as one that sends thousands.
type turns struct {
	burst   time.Duration       // what the free attempts amount to
	clients *bounded[*schedule] // client → its schedule
	given   *bounded[time.Time] // client and network → when its turn begins
}

// schedule is what the attempts at one client amount to. They are free while that
// is less than the burst.
type schedule struct {
	mu    sync.Mutex
	until time.Time // when all attempts up to now are paid off
}

const (
	attemptEvery = 5 * time.Second
	turnKept     = 2 * time.Minute  // how long a turn can be taken
	longestWait  = 10 * time.Minute // no turn is given later than that
	maxBuckets   = 1 << 16
)

func newTurns(attempts int) *turns {
	burst := time.Duration(attempts) * attemptEvery
	return &turns{
		burst:   burst,
		clients: newBounded[*schedule](maxBuckets, burst+longestWait+time.Hour),
		given:   newBounded[time.Time](maxBuckets, longestWait+turnKept),
	}
}

// free reports whether an attempt needs no turn.
func (t *turns) free(client string) bool {
	s, ok := t.clients.get(client)
	if !ok {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next(time.Now(), t.burst) <= 0
}

// next returns how long it is until one more attempt is within the burst.
func (s *schedule) next(now time.Time, burst time.Duration) time.Duration {
	return max(0, s.until.Sub(now)) + attemptEvery - burst
}

// add adds an attempt.
func (s *schedule) add(now time.Time) {
	if s.until.Before(now) {
		s.until = now
	}
	s.until = s.until.Add(attemptEvery)
}

// spend uses up a free attempt; false when there is none.
func (t *turns) spend(client string) bool {
	s := t.schedule(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.next(now, t.burst) > 0 {
		return false
	}
	s.add(now)
	return true
}

func (t *turns) schedule(client string) *schedule {
	return t.clients.getOrSet(client, func() *schedule { return &schedule{} })
}

// take uses up the turn of a network if it has begun.
func (t *turns) take(client, network string) bool {
	s := t.schedule(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	key := turnOf(client, network)
	begins, ok := t.given.get(key)
	if now := time.Now(); !ok || now.Before(begins) || now.After(begins.Add(turnKept)) {
		return false
	}
	t.given.remove(key)
	return true
}

// giveBack returns a turn that was taken in vain.
func (t *turns) giveBack(client, network string) { t.given.set(turnOf(client, network), time.Now()) }

// wait returns how long it is until the network's turn, more than 0. It gives it one if it has
// none, unless that would be too late.
func (t *turns) wait(client, network string) time.Duration {
	s := t.schedule(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	now, key := time.Now(), turnOf(client, network)
	if begins, ok := t.given.get(key); ok && !now.After(begins.Add(turnKept)) {
		return max(1, begins.Sub(now))
	}
	wait := max(1, s.next(now, t.burst))
	if wait > longestWait {
		return longestWait
	}
	s.add(now)
	t.given.set(key, now.Add(wait))
	return wait
}

func turnOf(client, network string) string { return network + " " + client } // a network has no space

func (t *turns) sweep() {
	t.clients.sweep()
	t.given.sweep()
}
