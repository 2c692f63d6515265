package issuer

import "time"

// turns spreads the guesses at each client over time: a burst, then one per
// attemptEvery for all networks together. After the burst, a refused network gets a
// turn of its own, behind the networks that were refused earlier. The answer says when
// the turn is. So a network that sends one request gets as many turns as one that
// sends thousands.
type turns struct {
	clients *meters
	given   *bounded[time.Time] // client and network → when its turn begins
}

const (
	attemptEvery = 5 * time.Second
	turnKept     = 2 * time.Minute  // how long a turn can be taken
	longestWait  = 10 * time.Minute // until the latest turn that is given
	maxBuckets   = 1 << 16
)

func newTurns(attempts int) *turns {
	a := allowance{attempts, attemptEvery}
	return &turns{
		clients: newMeters(a),
		given:   newBounded[time.Time](maxBuckets, longestWait+turnKept),
	}
}

// reserve reserves an attempt of the network to try a secret: one of the burst, or the
// network's turn. secret is a fingerprint. Without either it returns nil and how long
// to wait.
func (t *turns) reserve(client, network, secret string) (r *reservation, wait time.Duration) {
	t.clients.at(client, func(at *meter, now time.Time) {
		if r = at.join(secret); r != nil {
			return
		}
		next, turn := at.wait(t.clients.allowance, now), turnOf(client, network)
		made := &reservation{meters: t.clients, key: client, what: secret}
		switch {
		case next <= 0:
			at.reserved++
		case t.take(turn, now):
			made.turn = func(now time.Time) { t.given.set(turn, now) }
		default:
			wait = t.wait(at, turn, next, now)
			return
		}
		r = at.begin(made)
	})
	return r, wait
}

// take uses up a turn if it has begun.
func (t *turns) take(turn string, now time.Time) bool {
	begins, ok := t.given.get(turn)
	if !ok || now.Before(begins) || now.After(begins.Add(turnKept)) {
		return false
	}
	t.given.remove(turn)
	return true
}

// wait returns the time until the network's turn, more than 0. A network without one is
// given the next turn, unless that is later than longestWait. next is the time until
// one more attempt is allowed.
func (t *turns) wait(at *meter, turn string, next time.Duration, now time.Time) time.Duration {
	if begins, ok := t.given.get(turn); ok && !now.After(begins.Add(turnKept)) {
		return max(1, begins.Sub(now))
	}
	if next > longestWait {
		return longestWait
	}
	at.use(t.clients.allowance, now)
	t.given.set(turn, now.Add(next))
	return next
}

func turnOf(client, network string) string { return network + " " + client } // a network has no space

func (t *turns) sweep() {
	t.clients.all.sweep()
	t.given.sweep()
}
