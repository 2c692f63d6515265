package jwks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks/fetch"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// RemoteConfig configures a [Remote]. Every field is optional. A field that cannot
// be used, such as a negative duration, is the error of [Remote.Key].
type RemoteConfig struct {
	// Client is whose Transport to fetch through; its other fields are not used. A
	// transport of yours must refuse addresses and obey contexts itself. The default
	// one does not connect to link-local, multicast, unspecified and cloud metadata
	// addresses, whatever a name resolves to. It takes a proxy from the environment
	// as [http.ProxyFromEnvironment] does. A proxy resolves names itself: then only
	// the proxy's address is checked.
	Client *http.Client

	// Cooldown is the time in which unknown keys cause at most one fetch. It is also
	// half of the shortest time between two refreshes: a Cache-Control max-age below
	// 2×Cooldown is raised to that. Default 30 s, at most 12 h.
	Cooldown time.Duration

	// MaxStale is how long an expired set still serves while no fetch succeeds.
	// Default 1 h.
	MaxStale time.Duration

	// Timeout of a fetch as a whole, discovery included. Default 5 s.
	Timeout time.Duration

	// InsecureHTTP allows http to hosts other than the loopback. Then anyone on the
	// network path decides which tokens are valid.
	InsecureHTTP bool

	// Observe hears of each fetch (event.OpFetch), with its URL and Duration. One
	// that failed has Err and a Reason: event.FetchFailed while an older set still
	// serves, event.KeysUnavailable when there is none. It runs in the goroutine of
	// the fetch, must be safe for concurrent use, and must not call Close. Entries of
	// the set that cannot be used are an event of their own (event.KeySkipped) when
	// they change.
	Observe func(context.Context, Event)

	// Quiet turns the log off. Without Observe, changes go to [slog.Default]: fetches
	// that begin to fail or succeed again, a set that became stale or unavailable, and
	// entries of the set that cannot be used.
	Quiet bool
}

// Remote is a [Source] that fetches a key set over HTTP and caches it. Make one for
// each issuer with [NewRemote] or [NewIssuerRemote], and share it. The zero Remote
// and nil answer [ErrUnavailable].
//
// A key in a current set is found without a lock, an allocation or a wait. The
// first call fetches. Later ones start a refresh when 80 to 90 % of the set's
// lifetime is over and don't wait for it. The lifetime is the Cache-Control max-age
// less Age, or 5 min if none is stated, between 2×Cooldown and 24 h. A key that the
// issuer has removed is refused from that refresh on.
//
// A failed fetch is repeated after 1 s, then after 2 s and so on up to 1 min, or
// 5 s while nothing can be served. Retry-After can make it later, within that
// minute. The set that is held serves up to MaxStale past its lifetime. A key that
// is not in the set causes a fetch of its own, at most one in a Cooldown, which
// delays neither calls for other keys nor the refresh.
//
// While a set is held, a call for a key that it lacks waits for a fetch for 1 s at
// most. At most 64 such calls wait, 8 of them of one network ([NetworkKey]). When all
// places are taken, a network with fewer takes one from the network with the most. A
// call without a place is answered [ErrUnavailable] at once, and not [ErrUnknownKey]:
// among many forged ids there may be a new key.
//
// At most one fetch is under way. It belongs to no caller: a caller whose context
// ends leaves, the others get the answer. There is no goroutine but that of the
// fetch, so an unused Remote is idle. The first call after its set expired waits
// for a new one.
//
// A set has at most 16 384 entries in 8 MiB. Entries that cannot be used are skipped
// alone. A set in which nothing is usable, such as an empty one, counts as a failed
// fetch: the set that is held serves on up to MaxStale. To make APIs refuse all tokens
// at once, publish a set with a new key.
//
// Lifetimes go by the wall clock and by the monotonic one, whichever has moved
// further, so a machine that was suspended does not trust an old set.
type Remote struct {
	client   *fetch.Client
	cooldown time.Duration
	maxStale time.Duration
	timeout  time.Duration
	observe  func(context.Context, Event)
	quiet    bool
	at       string                                // the URL, or the issuer, for events
	locate   func(context.Context) (string, error) // finds the URL of the set
	forget   func()                                // the set was not there

	current atomic.Pointer[heldSet] // nil until there is one, and after Close

	mu       sync.Mutex
	refusal  error     // wrong configuration, or closed
	flight   *flight   // the fetch under way, if any
	due      time.Time // when the schedule wants the next fetch
	waitFrom time.Time // from when even calls for a known key wait for it; never before due
	askAfter time.Time // when an unknown key may cause a fetch again
	retries  int       // failures in a row of scheduled fetches
	lastErr  error     // of the latest fetch
	fetches  uint64
	failures uint64
	running  sync.WaitGroup

	condition condition      // after the latest fetch
	skipped   []jose.Skipped // of the latest set that was read
}

// NewRemote makes a Remote of the key set at url, which it fetches at first use. The
// url is https, or http on the loopback. NewRemote cannot fail, so it can be used in
// a struct literal: what is wrong with its arguments is the error, an
// [ErrUnavailable], of every [Remote.Key].
func NewRemote(url string, c RemoteConfig) *Remote {
	r := newRemote(url, c)
	if err := r.client.CheckURL(url); err != nil {
		r.refuse(fmt.Errorf("key set: %w", err))
	}
	r.locate = func(context.Context) (string, error) { return url, nil }
	r.forget = func() {}
	return r
}

func newRemote(at string, c RemoteConfig) *Remote {
	r := &Remote{
		client:   fetch.NewClient(c.Client, c.InsecureHTTP),
		cooldown: cmp.Or(c.Cooldown, 30*time.Second),
		maxStale: cmp.Or(c.MaxStale, time.Hour),
		timeout:  cmp.Or(c.Timeout, 5*time.Second),
		observe:  c.Observe,
		quiet:    c.Quiet,
		at:       at,
	}
	if r.cooldown < 0 || r.cooldown > longestLife/2 {
		r.refuse(fmt.Errorf("RemoteConfig.Cooldown is %v: write a duration up to %v, or leave it out", c.Cooldown, longestLife/2))
	}
	if r.maxStale < 0 {
		r.refuse(fmt.Errorf("RemoteConfig.MaxStale is %v: write a positive duration, or leave it out", c.MaxStale))
	}
	if r.timeout < 0 {
		r.refuse(fmt.Errorf("RemoteConfig.Timeout is %v: write a positive duration, or leave it out", c.Timeout))
	}
	return r
}

// refuse makes err the answer of every call. The first one wins.
func (r *Remote) refuse(err error) {
	if r.refusal == nil {
		r.refusal = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
}

// Key returns the key with this kid for this alg in the issuer's set.
//
// The error is [ErrUnknownKey] when the set is current and has no such key; the
// context's, when that ended before an answer came; otherwise [ErrUnavailable], with
// its cause. ErrUnavailable means that no usable set could be fetched in time, or that
// one is held but the latest fetch failed, takes more than 1 s, or too many calls wait
// for it, so it cannot be told whether a missing key is a new one. Test for
// ErrUnavailable first: a fetch that timed out is a [context.DeadlineExceeded] as well.
//
// An empty kid is in no set, and never causes a fetch for its own sake.
func (r *Remote) Key(ctx context.Context, kid, alg string) (*jose.Key, error) {
	if r == nil || r.client == nil {
		return nil, errZeroRemote
	}
	called := time.Now()
	if h := r.current.Load(); h != nil && !reached(called, h.until) {
		if key := h.set.Find(kid, alg); key != nil {
			return key, nil
		}
	}
	w := wanted{kid: kid, alg: alg, called: called}
	var ended *flight
	for {
		key, flight, err := r.step(ctx, &w, ended)
		switch {
		case errors.Is(err, errWhoAsks):
			w.network, w.asked = networkOf(ctx), true
		case flight == nil:
			return key, err
		default:
			if err := r.await(ctx, flight, &w); err != nil {
				return nil, err
			}
			ended = flight
		}
	}
}

var errZeroRemote = fmt.Errorf("%w: a zero Remote: make it with jwks.NewRemote", ErrUnavailable)

// Ready makes sure that there is a set to serve from, as a call to Key would, and
// returns nil if there is. It is for a readiness endpoint, or to fetch before the
// first token.
func (r *Remote) Ready(ctx context.Context) error {
	if _, err := r.Key(ctx, "", ""); !errors.Is(err, ErrUnknownKey) {
		return err
	}
	return nil
}

// RemoteStatus describes what a [Remote] holds at a moment. As JSON its errors are
// texts.
type RemoteStatus struct {
	Fresh       bool           // a set is held, within its lifetime
	FetchedAt   time.Time      // when the set was fetched or confirmed (304); zero: there is none
	ExpiresAt   time.Time      // end of its lifetime
	StaleUntil  time.Time      // end of its use if no fetch succeeds
	NextRefresh time.Time      // a call from then on fetches; zero: the next one does
	Keys        int            // keys in the set
	URL         string         // where the set was fetched
	Skipped     []jose.Skipped // entries of the latest set that was read that cannot be used, and why
	Waiting     int            // calls for unknown keys that wait for a fetch
	LastError   error          // of the latest fetch, nil if it succeeded; or the configuration's
	Fetches     uint64         // fetches begun; a fetch may include discovery and redirects
	Failures    uint64         // fetches failed
}

// Status reports the state of the set, for an operator. It fetches nothing;
// [Remote.Ready] does.
func (r *Remote) Status() RemoteStatus {
	if r == nil || r.client == nil {
		return RemoteStatus{LastError: errZeroRemote}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	status := RemoteStatus{
		NextRefresh: r.due,
		LastError:   cmp.Or(r.refusal, r.lastErr),
		Fetches:     r.fetches,
		Failures:    r.failures,
		Skipped:     slices.Clone(r.skipped),
	}
	if r.flight != nil {
		status.Waiting = r.flight.places.taken
	}
	if h := r.current.Load(); h != nil {
		status.Fresh = !reached(time.Now(), h.expiresAt)
		status.FetchedAt, status.ExpiresAt, status.StaleUntil = h.fetchedAt, h.expiresAt, h.staleUntil
		status.Keys, status.URL = h.set.Len(), h.url
	}
	return status
}

// Close ends the fetch under way, if any, and waits for its goroutine. Every call to
// Key, those that wait included, then gets [ErrUnavailable]. Close returns nil, also
// when called again.
func (r *Remote) Close() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	r.refuse(errors.New("the Remote is closed"))
	r.current.Store(nil)
	if r.flight != nil {
		r.flight.cancel()
	}
	r.mu.Unlock()
	r.running.Wait()
	return nil
}
