package issuer

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// lockout slows guessing down. Each client, and each network that requests come
// from, may fail so often; then one attempt is let through each refillEvery.
//
// It stands before the check of a chosen secret only: a generated one cannot be
// guessed, is checked for nothing, and so works whatever happens. And a client in
// a network from which it has lately proved who it is may fail as often by that
// count alone, so that nobody elsewhere can lock it out.
//
// Unknown clients are counted as known ones are, in a map of their own, so that
// a flood of made-up ids neither forgets a client's count nor can be told from
// one. What is known here is known to this replica alone.
type lockout struct {
	attempts int
	clients  *bounded[*bucket] // clients there are
	unknown  *bounded[*bucket] // and are not
	networks *bounded[*bucket]
	trusted  *bounded[*bucket] // a client in a network from which it succeeded
}

const (
	refillEvery   = 30 * time.Second
	lockoutMemory = time.Hour
	trustFor      = 24 * time.Hour
	networkFactor = 10 // a network has many clients
	maxBuckets    = 1 << 16
)

// bucket holds the failures that are still allowed.
type bucket struct {
	mu   sync.Mutex
	left float64
	at   time.Time
}

func newLockout(attempts int) *lockout {
	return &lockout{
		attempts: attempts,
		clients:  newBounded[*bucket](maxBuckets, lockoutMemory),
		unknown:  newBounded[*bucket](maxBuckets, lockoutMemory),
		networks: newBounded[*bucket](maxBuckets, lockoutMemory),
		trusted:  newBounded[*bucket](maxBuckets, trustFor),
	}
}

// attempt is whom a request claims to be and where it comes from.
type attempt struct {
	clientID, address string
	exists            bool // there is such a client
}

func (a attempt) pair() string { return a.network() + " " + a.clientID } // a network has no space

func (a attempt) network() string { return networkOf(a.address) }

// buckets is where failures of the client are counted.
func (l *lockout) buckets(a attempt) *bounded[*bucket] {
	if a.exists {
		return l.clients
	}
	return l.unknown
}

// refused is the answer to a request that must wait, nil if it need not.
func (l *lockout) refused(a attempt) *Error {
	if l == nil {
		return nil
	}
	if b, ok := l.trusted.get(a.pair()); ok && b.remaining(l.attempts) >= 1 {
		return nil
	}
	left := l.networkLeft(a)
	if b, ok := l.buckets(a).get(a.clientID); ok {
		left = min(left, b.remaining(l.attempts))
	}
	return wait(left)
}

// refusedUnread is refused as far as it can be told before the store is asked
// whether there is such a client: a network that must wait costs no query.
func (l *lockout) refusedUnread(a attempt) *Error {
	if l == nil {
		return nil
	}
	if b, ok := l.trusted.get(a.pair()); ok && b.remaining(l.attempts) >= 1 {
		return nil
	}
	return wait(l.networkLeft(a))
}

func (l *lockout) networkLeft(a attempt) float64 {
	if b, ok := l.networks.get(a.network()); ok {
		return min(1, b.remaining(l.attempts*networkFactor))
	}
	return 1
}

// wait is the answer when less than one attempt is left.
func wait(left float64) *Error {
	if left >= 1 {
		return nil
	}
	wait := time.Duration((1 - left) * float64(refillEvery))
	return &Error{
		Status: http.StatusTooManyRequests, Code: "temporarily_unavailable",
		Description: "too many failed attempts, try again later",
		RetryAfter:  int(wait/time.Second) + 1, cause: errLockedOut,
	}
}

// failed counts a failure that was not refused: what is, is not looked at, so a
// flood from one network soon has no effect on what is kept of others.
func (l *lockout) failed(a attempt) {
	if l == nil {
		return
	}
	if b, ok := l.trusted.get(a.pair()); ok {
		b.take(l.attempts)
	}
	count(l.buckets(a), a.clientID, l.attempts)
	count(l.networks, a.network(), l.attempts*networkFactor)
}

// count takes one from the bucket, and keeps it for as long again. Two requests
// may make the first one at once: then one failure is not counted.
func count(m *bounded[*bucket], key string, limit int) {
	b, ok := m.get(key)
	if !ok {
		b = newBucket(limit)
	}
	b.take(limit)
	m.set(key, b)
}

// succeeded trusts the client in the network, from now on for as long again.
func (l *lockout) succeeded(a attempt) {
	if l == nil {
		return
	}
	b, ok := l.trusted.get(a.pair())
	if !ok {
		b = newBucket(l.attempts)
	}
	l.trusted.set(a.pair(), b)
}

func newBucket(limit int) *bucket { return &bucket{left: float64(limit), at: time.Now()} }

// remaining is how many failures are allowed now.
func (b *bucket) remaining(limit int) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refill(limit)
}

func (b *bucket) take(limit int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = max(0, b.refill(limit)-1)
}

func (b *bucket) refill(limit int) float64 {
	now := time.Now()
	b.left = min(float64(limit), b.left+float64(now.Sub(b.at))/float64(refillEvery))
	b.at = now
	return b.left
}

// networkOf is the network an address counts as: a /24 of IPv4, a /56 of IPv6,
// which is what one customer is commonly given.
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
