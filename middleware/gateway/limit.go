package gateway

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks/fetch"
	"github.com/echo-m2m/m2m/middleware/internal/recent"
)

const (
	maxLimit           = 1_000_000 // of each number of a Limit
	defaultMaxClients  = 100_000
	defaultMaxNetworks = 100_000
	maxTracked         = 10_000_000
	knownTokens        = 10_000
	maxKnownBytes      = 4096 // of a credential; a longer one is not kept
)

// Limit bounds the requests of each client. The zero Limit is none.
type Limit struct {
	// Rate is how many requests a second a client may send in the long run, fractions
	// included. 0: any number.
	Rate float64

	// Burst is how many requests a client may send at once after a pause. Default Rate,
	// rounded up. Only with Rate.
	Burst int

	// Concurrent is how many requests of a client may be under way at once. 0: any number.
	Concurrent int
}

// Limits bounds what callers may send, in one process: replicas count for themselves. A
// request over a limit is answered 429 with a Retry-After after which it is let in, if
// nothing else has used the limit by then.
type Limits struct {
	// Client bounds each verified client, which is an issuer and a client id, over all
	// rules that have no Limit of their own. Default no limit.
	Client Limit

	// Unauthenticated bounds, for each network ([fetch.NetworkOf]), the requests that turn
	// out to have no valid token. One over the limit is refused before anything of its
	// token is checked. A request whose token was admitted here lately is not held up by
	// others of its network, so a caller with a valid token keeps access. Concurrent is the
	// number of requests whose token is being checked. Default no limit.
	Unauthenticated Limit

	// MaxClients and MaxNetworks are how many are counted at once. Default 100 000, at
	// most 10 000 000; one takes about 300 B. A client whose limit is unused takes no slot
	// from another. If all slots are in use, a further client is answered 429, because it
	// would not be counted. For a further network the slot of the one that has used the
	// least of its limit is taken.
	MaxClients, MaxNetworks int

	// ClientIP returns where a request comes from: an IP address, with or without a port.
	// Behind a proxy, return the address that your proxy vouches for, never a header that
	// any caller can write.
	//
	// Default: Echo's IPExtractor if the app has set one, else the address of the
	// connection. Unauthenticated is off for a request whose address is not known, as in
	// Config.ClientIP of package middleware. So without either, any caller can turn it off
	// for itself by sending X-Forwarded-For. Without a proxy, return r.RemoteAddr.
	ClientIP func(r *http.Request) string
}

// limiter keeps the limits of one gateway, across changes of its policy.
type limiter struct {
	limits   Limits
	clients  *counts[clientKey]
	networks *counts[networkKey]
	admitted *recent.Table[*atomic.Bool] // the credentials that were admitted lately, and whether one was refused since; nil: not needed
}

type clientKey struct{ rule, issuer, client string }

// maxClientID is how much of a client id is kept as it is.
const maxClientID = 255

// newClientKey returns the key of a client. An issuer could make ids of many kilobytes, of
// which the hash is kept.
func newClientKey(rule, issuer, clientID string) clientKey {
	if len(clientID) > maxClientID {
		sum := sha256.Sum256([]byte(clientID))
		clientID = string(sum[:])
	}
	return clientKey{rule, issuer, clientID}
}

// own is a copy without the token that the client id was read from.
func (k clientKey) own() clientKey {
	k.client = strings.Clone(k.client)
	return k
}

type networkKey [8]byte // a network has at most 56 bits; the last byte tells IPv4 from IPv6

func newLimiter(c Limits) (*limiter, error) {
	for _, of := range [...]struct {
		name  string
		limit Limit
	}{{"Client", c.Client}, {"Unauthenticated", c.Unauthenticated}} {
		if err := of.limit.validate(); err != nil {
			return nil, fmt.Errorf("gateway: Limits.%s: %w", of.name, err)
		}
	}
	for _, of := range [...]struct {
		name string
		max  int
	}{{"MaxClients", c.MaxClients}, {"MaxNetworks", c.MaxNetworks}} {
		if of.max < 0 || of.max > maxTracked {
			return nil, fmt.Errorf("gateway: Limits.%s is %d: write up to %d, or 0 for %d", of.name, of.max, maxTracked, defaultMaxClients)
		}
	}
	l := &limiter{
		limits:   c,
		clients:  newCounts[clientKey](cmp.Or(c.MaxClients, defaultMaxClients), false),
		networks: newCounts[networkKey](cmp.Or(c.MaxNetworks, defaultMaxNetworks), true),
	}
	l.clients.own = clientKey.own
	if !c.Unauthenticated.isZero() {
		l.admitted = recent.New[*atomic.Bool](knownTokens)
	}
	return l, nil
}

// client counts a request of a verified client. rule names the rule that let it in and
// limit is the rule's own; with a zero limit Limits.Client counts, over all rules. If ok is
// true, release must be called when the request has ended; a second call has no effect. If
// not, retryAfter is when the next request may be let in.
func (l *limiter) client(rule string, limit Limit, issuer, clientID string) (release func(), retryAfter time.Duration, ok bool) {
	if limit.isZero() {
		rule, limit = "", l.limits.Client
	}
	if limit.isZero() {
		return func() {}, 0, true
	}
	end, retryAfter, ok := l.clients.take(newClientKey(rule, issuer, clientID), limit, true)
	if !ok {
		return nil, retryAfter, false
	}
	return func() { end(false) }, 0, true
}

// unauthenticated asks whether a request may have its token checked. extract is Echo's
// IPExtractor, or nil. The attempt is told what came of it as soon as the token has been
// checked. It is nil if the network is over its limit; retryAfter is then when the next
// request may be let in.
func (l *limiter) unauthenticated(r *http.Request, extract func(*http.Request) string) (a *attempt, retryAfter time.Duration) {
	if l.admitted == nil {
		return &uncounted, 0
	}
	network, known := networkOf(r, l.limits.ClientIP, extract)
	if !known {
		return &uncounted, 0
	}
	a = &attempt{limiter: l, network: network}
	if lines := r.Header["Authorization"]; len(lines) == 1 {
		a.credential = lines[0]
	}
	if entry := l.admitted.Get(a.credential); entry != nil && !entry.Value.Load() {
		entry.Touch(time.Now())
		a.refusedNow = entry.Value
		return a, 0
	}
	release, retryAfter, ok := l.networks.take(network, l.limits.Unauthenticated, false)
	if !ok {
		return nil, retryAfter
	}
	a.release = release
	return a, 0
}

// uncounted is the attempt of every request for which nothing is counted.
var uncounted attempt

// attempt is one request whose token is being checked. One of its methods must be called,
// once.
type attempt struct {
	limiter    *limiter // nil: nothing is counted
	network    networkKey
	credential string
	release    func(charge bool) // nil: the credential was admitted before
	refusedNow *atomic.Bool      // of a credential that was admitted before
}

// admitted records that the request has a valid token, which ends at some time.
func (a *attempt) admitted(issuer, clientID string, expires time.Time) {
	a.undecided()
	if a.limiter != nil && a.refusedNow == nil && a.credential != "" && len(a.credential) <= maxKnownBytes {
		a.limiter.admitted.Put(a.credential, ownerOf(issuer, clientID), expires, time.Now(), func(string, string) *atomic.Bool { return new(atomic.Bool) })
	}
}

// ownerOf names a client in a cache. The same client id at another issuer, which anyone may
// be, must not take the quota of this one.
func ownerOf(issuer, clientID string) string { return issuer + " " + clientID }

// refused counts a request that has no valid token.
func (a *attempt) refused() {
	switch {
	case a.release != nil:
		a.release(true)
	case a.limiter != nil: // it was valid before: expired or revoked
		a.refusedNow.Store(true)
		a.limiter.networks.charge(a.network, a.limiter.limits.Unauthenticated)
	}
}

// undecided counts nothing: whether the token is valid could not be found out.
func (a *attempt) undecided() {
	if a.release != nil {
		a.release(false)
	}
}

// networkOf returns the network of a request. It is not known behind a proxy for which
// nothing says where requests come from: all callers would be one network.
func networkOf(r *http.Request, clientIP, extract func(*http.Request) string) (key networkKey, known bool) {
	address := r.RemoteAddr
	switch {
	case clientIP != nil:
		address = clientIP(r)
	case extract != nil:
		address = extract(r)
	case fetch.Forwarded(r):
		return key, false
	}
	host, ok := fetch.HostOf(address)
	if !ok {
		return key, false
	}
	network := fetch.NetworkOf(host).Addr()
	if network.Is4() {
		b := network.As4()
		copy(key[:], b[:])
		key[7] = 4
		return key, true
	}
	b := network.As16()
	copy(key[:7], b[:])
	key[7] = 6
	return key, true
}

func (l Limit) validate() error {
	switch {
	case math.IsNaN(l.Rate) || l.Rate < 0 || l.Rate > maxLimit:
		return fmt.Errorf("the rate of the limit is %v: write a number from 0 to %d", l.Rate, maxLimit)
	case l.Burst < 0 || l.Burst > maxLimit:
		return fmt.Errorf("the burst of the limit is %d: write a number from 0 to %d", l.Burst, maxLimit)
	case l.Concurrent < 0 || l.Concurrent > maxLimit:
		return fmt.Errorf("the concurrent requests of the limit are %d: write a number from 0 to %d", l.Concurrent, maxLimit)
	case l.Burst > 0 && l.Rate == 0:
		return errors.New("the limit has a burst and no rate: write the rate too")
	}
	return nil
}

func (l Limit) isZero() bool { return l == Limit{} }

// burst is Burst with its default.
func (l Limit) burst() int {
	return max(1, cmp.Or(l.Burst, int(math.Ceil(l.Rate))))
}
