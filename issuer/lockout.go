package issuer

import (
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
	"golang.org/x/time/rate"
)

// lockout slows guessing down. Each client, and each network that requests come
// from, may fail so often; then one attempt is let through each refillEvery.
//
// It limits chosen secrets only: generated ones cannot be guessed and cost
// nothing to check, so they are exempt. A client in a network from which it has
// lately authenticated may fail as often by that count alone, so that callers
// elsewhere cannot lock it out.
//
// Unknown clients are counted as known ones are, in a map of their own, so that
// a flood of made-up ids neither evicts a client's count nor can be told from
// one. Each replica counts for itself.
type lockout struct {
	attempts int
	clients  *bounded[*rate.Limiter] // clients there are
	unknown  *bounded[*rate.Limiter] // and are not
	networks *bounded[*rate.Limiter]
	trusted  *bounded[*rate.Limiter] // a client in a network from which it succeeded
}

const (
	refillEvery   = 30 * time.Second
	lockoutMemory = time.Hour
	trustFor      = 24 * time.Hour
	networkFactor = 10 // a network has many clients
	maxBuckets    = 1 << 16
)

var errLockedOut = errors.New("issuer: too many failed attempts of this client or network")

func newLockout(attempts int) *lockout {
	return &lockout{
		attempts: attempts,
		clients:  newBounded[*rate.Limiter](maxBuckets, lockoutMemory),
		unknown:  newBounded[*rate.Limiter](maxBuckets, lockoutMemory),
		networks: newBounded[*rate.Limiter](maxBuckets, lockoutMemory),
		trusted:  newBounded[*rate.Limiter](maxBuckets, trustFor),
	}
}

// attempt is who a request claims to be and where it comes from.
type attempt struct {
	clientID, address string
	unlimited         bool // the secret cannot be guessed
	exists            bool // there is such a client
}

func (a attempt) network() string { return networkOf(a.address) }

func (a attempt) pair() string { return a.network() + " " + a.clientID } // a network has no space

// attempt runs find and then check, unless the client or the network has failed
// too often: then it returns a 429, before find if it can be told by the network
// alone, so that such a request costs no query, and before check, so that it
// costs no hash. An error of check that is a 401 counts as a failure.
func (l *lockout) attempt(a attempt, find func() (exists bool, err *Error), check func() *Error) (err *Error) {
	if !a.unlimited {
		if err := l.refusedByNetwork(a); err != nil {
			return err
		}
	}
	if a.exists, err = find(); err != nil {
		return err
	}
	if !a.unlimited {
		if err := l.refused(a); err != nil {
			return err
		}
	}
	err = check()
	if l == nil || err != nil && err.Status != http.StatusUnauthorized || err == nil && a.unlimited {
		return err
	}
	// Check again: concurrent requests may have passed the first check. Past the
	// limit even the right secret gets 429, so the answer tells nothing.
	if refused := l.refused(a); refused != nil {
		return refused
	}
	if err != nil {
		l.failed(a)
		return err
	}
	l.succeeded(a)
	return nil
}

// counts returns where failures of the client are counted.
func (l *lockout) counts(a attempt) *bounded[*rate.Limiter] {
	if a.exists {
		return l.clients
	}
	return l.unknown
}

// refused returns the answer to a request that must wait, nil if it need not.
func (l *lockout) refused(a attempt) *Error {
	if l == nil || l.isTrusted(a) {
		return nil
	}
	return wait(min(left(l.networks, a.network()), left(l.counts(a), a.clientID)))
}

// refusedByNetwork is refused as far as it can be told before the store is asked
// whether there is such a client.
func (l *lockout) refusedByNetwork(a attempt) *Error {
	if l == nil || l.isTrusted(a) {
		return nil
	}
	return wait(left(l.networks, a.network()))
}

func (l *lockout) isTrusted(a attempt) bool {
	bucket, ok := l.trusted.get(a.pair())
	return ok && bucket.Tokens() >= 1
}

// left returns how many failures are allowed now, up to 1.
func left(buckets *bounded[*rate.Limiter], key string) float64 {
	if bucket, ok := buckets.get(key); ok {
		return min(1, bucket.Tokens())
	}
	return 1
}

// wait returns the answer when less than one attempt is left.
func wait(left float64) *Error {
	if left >= 1 {
		return nil
	}
	wait := time.Duration((1 - left) * float64(refillEvery))
	return &Error{
		Status: http.StatusTooManyRequests, Code: "temporarily_unavailable",
		Description: "too many failed attempts, try again later",
		RetryAfter:  int(wait/time.Second) + 1, reason: event.LockedOut, cause: errLockedOut,
	}
}

// failed counts a failure that was not refused. Requests answered 429 are not
// counted, so a flood from one network cannot evict the counts of others.
func (l *lockout) failed(a attempt) {
	if bucket, ok := l.trusted.get(a.pair()); ok {
		bucket.Allow()
	}
	count(l.counts(a), a.clientID, l.attempts)
	count(l.networks, a.network(), l.attempts*networkFactor)
}

// count takes one from the bucket, and keeps it for as long again. Two requests
// may make the first one at once: then one failure is not counted.
func count(buckets *bounded[*rate.Limiter], key string, limit int) {
	bucket, ok := buckets.get(key)
	if !ok {
		bucket = newBucket(limit)
	}
	bucket.Allow()
	buckets.set(key, bucket)
}

// succeeded trusts the client in the network, from now on for as long again.
func (l *lockout) succeeded(a attempt) {
	bucket, ok := l.trusted.get(a.pair())
	if !ok {
		bucket = newBucket(l.attempts)
	}
	l.trusted.set(a.pair(), bucket)
}

// newBucket returns a full bucket of the failures that are allowed.
func newBucket(limit int) *rate.Limiter { return rate.NewLimiter(rate.Every(refillEvery), limit) }

// networkOf returns the network that an address counts as: a /24 of IPv4, a /56
// of IPv6, which is what one customer is commonly given.
func networkOf(address string) string {
	var ip netip.Addr
	if ap, err := netip.ParseAddrPort(address); err == nil {
		ip = ap.Addr()
	} else if ip, err = netip.ParseAddr(address); err != nil {
		return "unknown"
	}
	ip = ip.Unmap().WithZone("")
	bits := 56
	if ip.Is4() {
		bits = 24
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return "unknown"
	}
	return prefix.String()
}
