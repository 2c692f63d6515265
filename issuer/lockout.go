package issuer

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// lockout slows guessing down. Guessing needs a chosen secret: generated ones cannot
// be guessed and cost nothing to check.
//
// Wrong chosen secrets are counted for each client and each network that requests
// come from. A client has some free attempts; then the networks take turns, see
// turns. A network has ten times as many, for all clients together; then one is let
// through each networkRefill. A client whose network is trusted is let through
// whatever these say, see trust; a wrong secret is then answered as they say.
//
// Wrong generated secrets are counted for each network alone, and decide nothing but
// that the network has no more ids looked up in the store.
//
// Unknown clients are counted as known ones are, in maps of their own, so that a
// flood of made-up ids neither evicts a client's count nor can be told from one.
// Each replica counts for itself.
type lockout struct {
	attempts int
	clients  *turns // clients there are
	unknown  *turns // and are not
	networks *bounded[*rate.Limiter]
	misses   *bounded[*rate.Limiter] // of generated secrets, per network
	trust    *trust
}

const (
	networkFactor = 10 // a network has many clients
	networkRefill = 30 * time.Second
	missRefill    = time.Second
	lockoutMemory = 3 * time.Hour // a network's bucket of 300 is full by then
	maxAttempts   = 1_000_000
)

var errLockedOut = errors.New("issuer: too many failed attempts of this client or network")

func newLockout(store registry.Store, queue *fairQueue, attempts int) *lockout {
	attempts = min(attempts, maxAttempts)
	return &lockout{
		attempts: attempts,
		clients:  newTurns(attempts),
		unknown:  newTurns(attempts),
		networks: newBounded[*rate.Limiter](maxBuckets, lockoutMemory),
		misses:   newBounded[*rate.Limiter](maxBuckets, lockoutMemory),
		trust:    newTrust(store, queue, attempts),
	}
}

// attempt is who a request claims to be and where it comes from.
type attempt struct {
	clientID string
	address  string // empty: not known
	network  string // of the address; generated sets it where it is needed
}

// steps are what an attempt consists of. A 401 of check is a failure.
type steps struct {
	atOnce func() bool // find needs no query, or one that goes ahead
	find   func() (exists bool, err *Error)
	check  func(h checkHow) *Error
}

// checkHow says how a chosen secret is checked.
type checkHow struct {
	ahead bool // of those whose network is not trusted
	quick bool // with no hash where a right secret is cached: other rules refuse the attempt
}

// generated runs an attempt with a generated secret. A right one is never refused
// for what has failed, unless its network has failed too often and the client was not
// seen lately, nor has ever succeeded from there.
func (l *lockout) generated(a attempt, s steps) *Error {
	if l == nil {
		return run(s)
	}
	if s.atOnce() {
		err := run(s)
		if err == nil {
			return nil
		}
		a.network = networkOf(a.address)
		return l.wrongGenerated(a, l.refusedMisses(a), err)
	}
	a.network = networkOf(a.address)
	refusal := l.refusedMisses(a)
	if refusal != nil && !l.trust.mayAsk(a) {
		return refusal
	}
	if err := run(s); err != nil {
		return l.wrongGenerated(a, refusal, err)
	}
	l.trust.saw(a)
	return nil
}

// run finds and checks, with no limit.
func run(s steps) *Error {
	if _, err := s.find(); err != nil {
		return err
	}
	return s.check(checkHow{})
}

// refusedMisses returns the answer to a wrong generated secret of a network that has
// failed too often, with chosen or generated secrets, nil if it has not.
func (l *lockout) refusedMisses(a attempt) *Error {
	if refusal := l.refusedByNetwork(a); refusal != nil || a.network == "" {
		return refusal
	}
	return refuse(left(l.misses, a.network, missRefill))
}

// wrongGenerated is the answer to a wrong generated secret, which is counted unless
// it is refused.
func (l *lockout) wrongGenerated(a attempt, refusal, err *Error) *Error {
	if refusal != nil {
		return refusal
	}
	if err.Status == http.StatusUnauthorized && a.network != "" {
		count(l.misses, a.network, l.attempts*networkFactor, missRefill)
	}
	return err
}

// chosen runs an attempt with a chosen secret. One that is refused costs no query
// if the network alone is refused, and never a hash.
func (l *lockout) chosen(ctx context.Context, a attempt, s steps) *Error {
	if l == nil {
		return run(s)
	}
	refusal := l.refusedByNetwork(a)
	if refusal != nil && !l.trust.has(a) {
		return refusal
	}
	exists, err := s.find()
	if err != nil {
		return cmp.Or(refusal, err)
	}
	t := l.unknown
	if exists {
		t = l.clients
	}
	var turn bool
	if refusal == nil && !t.free(a.clientID) {
		if turn = t.take(a.clientID, a.network); !turn {
			refusal = refuse(t.wait(a.clientID, a.network))
		}
	}
	if refusal != nil {
		if exists && !l.trust.has(a) {
			l.trust.load(ctx, a)
		}
		if !exists || !l.trust.allows(a) {
			return refusal
		}
	}
	err = s.check(checkHow{ahead: exists && l.trust.has(a), quick: refusal != nil})
	switch {
	case err == nil:
		return l.right(a, t, turn, refusal)
	case err.Status != http.StatusUnauthorized:
		if turn {
			t.giveBack(a.clientID, a.network)
		}
		return cmp.Or(refusal, err)
	}
	return l.wrong(a, t, turn, refusal, err)
}

// right is the answer to a right secret. Concurrent requests may have used up the
// attempts that were there: past the limit even the right secret is refused, so the
// answer tells nothing.
func (l *lockout) right(a attempt, t *turns, turn bool, refusal *Error) *Error {
	if refusal != nil && !l.trust.allows(a) {
		return refusal
	}
	if refusal == nil && !turn && !t.free(a.clientID) && !l.trust.allows(a) {
		return refuse(t.wait(a.clientID, a.network))
	}
	l.trust.succeeded(a)
	return nil
}

// wrong is the answer to a wrong secret, which is counted. Requests that are refused
// are not, so a flood from one network cannot evict the counts of others.
func (l *lockout) wrong(a attempt, t *turns, turn bool, refusal, err *Error) *Error {
	switch {
	case refusal != nil:
		l.trust.failed(a)
		return refusal
	case !turn && !t.spend(a.clientID):
		return refuse(t.wait(a.clientID, a.network))
	}
	if a.network != "" {
		count(l.networks, a.network, l.attempts*networkFactor, networkRefill)
	}
	return err
}

// refusedByNetwork returns the answer to a request whose network has failed too
// often, nil if it has not.
func (l *lockout) refusedByNetwork(a attempt) *Error {
	if a.network == "" {
		return nil
	}
	return refuse(left(l.networks, a.network, networkRefill))
}

// left returns how long it is until one more failure is allowed.
func left(buckets *bounded[*rate.Limiter], key string, refill time.Duration) time.Duration {
	bucket, ok := buckets.get(key)
	if !ok {
		return 0
	}
	return time.Duration(max(0, 1-bucket.Tokens()) * float64(refill))
}

// count takes one from the bucket, and keeps it for as long again.
func count(buckets *bounded[*rate.Limiter], key string, limit int, refill time.Duration) {
	buckets.getOrSet(key, func() *rate.Limiter { return rate.NewLimiter(rate.Every(refill), limit) }).Allow()
}

// refuse returns the answer to a request that must wait, nil if it need not.
func refuse(wait time.Duration) *Error {
	if wait <= 0 {
		return nil
	}
	return &Error{
		Status: http.StatusTooManyRequests, Code: "temporarily_unavailable",
		Description: "too many failed attempts, try again later",
		RetryAfter:  int((wait + time.Second - 1) / time.Second), reason: event.LockedOut, cause: errLockedOut,
	}
}

// run keeps what trust learns, until the context ends.
func (l *lockout) run(ctx context.Context) {
	if l != nil {
		l.trust.run(ctx)
	}
}

// flush keeps what has been learned up to now.
func (l *lockout) flush(ctx context.Context) {
	if l != nil {
		l.trust.flush(ctx)
	}
}

func (l *lockout) sweep() {
	if l == nil {
		return
	}
	l.clients.sweep()
	l.unknown.sweep()
	l.networks.sweep()
	l.misses.sweep()
	l.trust.sweep()
}
