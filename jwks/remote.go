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

// RemoteConfig configures a [Remote]. Every field is optional. An invalid value, such
// as a negative duration, becomes the error of [Remote.Key].
type RemoteConfig struct {
	// Client provides the Transport for fetches; its other fields are not used. Your
	// own transport must refuse addresses and obey contexts itself. The default one
	// does not connect to link-local, multicast, unspecified and cloud metadata
	// addresses, whatever a name resolves to. It uses a proxy from the environment,
	// as [http.ProxyFromEnvironment] does. A proxy resolves names itself, so then
	// only the proxy's address is checked.
	Client *http.Client

	// Cooldown is the time in which unknown keys cause at most one fetch. It also
	// bounds refreshes: a Cache-Control max-age below 2×Cooldown is raised to that.
	// Default 30 s, at most 12 h.
	Cooldown time.Duration

	// MaxStale is how long an expired set is still used while no fetch succeeds.
	// Default 1 h.
	MaxStale time.Duration

	// Timeout bounds a whole fetch, discovery included. Default 5 s.
	Timeout time.Duration

	// MaxBytes bounds the key set, decompressed. Default 8 MiB, at most 8 MiB.
	MaxBytes int

	// BearerFile is the path of a file with a token that is sent with each request, for
	// an issuer that publishes its keys only to its own clients, such as a Kubernetes
	// cluster: "/var/run/secrets/kubernetes.io/serviceaccount/token". The file is read for
	// each request, at most 64 KiB. Only the origin (scheme, host and port) of the URL or
	// issuer gets the token, and http only on the loopback. Default: no token.
	BearerFile string

	// InsecureHTTP allows http to hosts other than the loopback. Then anyone on the
	// network path decides which tokens are valid.
	InsecureHTTP bool

	// Observe receives an event for each fetch (event.OpFetch), with its URL and
	// Duration. A failed fetch has Err and a Reason: event.FetchFailed while an older
	// set is still used, event.KeysUnavailable without one. When the entries of the
	// set that cannot be used change, that is an event of its own (event.KeySkipped).
	// Observe runs in the goroutine of the fetch, must be safe for concurrent use,
	// and must not call Close.
	Observe func(context.Context, Event)

	// Quiet turns the log off. Without Observe, changes go to [slog.Default]: fetches
	// begin to fail or to succeed again, the set becomes stale or unavailable,
	// entries of the set cannot be used.
	Quiet bool
}

// Remote is a [Source] that fetches a key set over HTTP and caches it. Make one for
// each issuer with [NewRemote] or [NewIssuerRemote], and share it. The methods of the
// zero Remote and of nil return [ErrUnavailable].
//
// # Cache
//
// A key in a current set is found without a lock, an allocation or a wait. The first
// call fetches. Later calls start a refresh when 80 to 90 % of the set's lifetime is
// over, and do not wait for it. The lifetime is the Cache-Control max-age less Age,
// or 5 min if none is stated, between 2×Cooldown and 24 h. A key that the issuer has
// removed is refused from that refresh on.
//
// Lifetimes are measured by the wall clock and by the monotonic clock, whichever has
// moved further. So a machine that was suspended does not trust an old set.
//
// # Failures
//
// A failed fetch is repeated after 1 s, then 2 s, and so on up to 1 min, or 5 s while
// there is no usable set. Retry-After can delay it, within that minute. Meanwhile the
// held set is used up to MaxStale past its lifetime.
//
// A set has at most 16 384 entries in 8 MiB. An entry that cannot be used is skipped;
// the others are used. A set in which nothing is usable, such as an empty one, counts
// as a failed fetch. To make APIs refuse all tokens at once, publish a set with a new
// key.
//
// # Unknown keys
//
// A key that is not in the set causes a fetch of its own, at most one in a Cooldown.
// It delays neither calls for other keys nor the refresh. A call for such a key waits
// for the fetch for at most 1 s. At most 64 such calls wait, 8 of them for one
// network ([NetworkKey]). When all slots are taken, a network with fewer takes one
// from the network with the most. A call without a slot gets [ErrUnavailable] at
// once, and not [ErrUnknownKey]: among many forged ids there may be a new key.
//
// # Goroutines
//
// At most one fetch is under way. It belongs to no caller: if the context of one
// ends, the others still get the result. The fetch is the only goroutine, so an
// unused Remote is idle. The first call after its set expired waits for a new one.
type Remote struct {
	client   *fetch.Client
	cooldown time.Duration
	maxStale time.Duration
	timeout  time.Duration
	maxBytes int
	observe  func(context.Context, Event)
	quiet    bool
	at       string                                // the URL, or the issuer, for events
	locate   func(context.Context) (string, error) // finds the URL of the set
	expire   func()                                // notes that the set was not there

	current atomic.Pointer[heldSet] // nil until there is one, and after Close

	mu       sync.Mutex
	refusal  error     // wrong configuration, or closed
	flight   *flight   // the fetch under way, if any
	due      time.Time // the next scheduled fetch
	waitFrom time.Time // from then on calls for known keys wait too; never before due
	askAfter time.Time // the next fetch for an unknown key, at the earliest
	retries  int       // scheduled fetches that failed in a row
	lastErr  error     // of the latest fetch
	fetches  uint64
	failures uint64
	running  sync.WaitGroup

	condition condition      // of the latest fetch
	skipped   []jose.Skipped // entries of the latest set
}

// NewRemote returns a Remote of the key set at url, which it fetches at first use.
// The url is https, or http on the loopback. NewRemote cannot fail, so it can be used
// in a struct literal: invalid arguments become the error of every [Remote.Key], an
// [ErrUnavailable].
func NewRemote(url string, c RemoteConfig) *Remote {
	r := newRemote(url, c)
	if err := r.client.CheckURL(url); err != nil {
		r.refuse(fmt.Errorf("key set: %w", err))
	}
	r.sendBearer(url, c)
	r.locate = func(context.Context) (string, error) { return url, nil }
	r.expire = func() {}
	return r
}

func newRemote(at string, c RemoteConfig) *Remote {
	r := &Remote{
		client:   fetch.NewClient(c.Client, c.InsecureHTTP),
		cooldown: cmp.Or(c.Cooldown, 30*time.Second),
		maxStale: cmp.Or(c.MaxStale, time.Hour),
		timeout:  cmp.Or(c.Timeout, 5*time.Second),
		maxBytes: cmp.Or(c.MaxBytes, maxSetBytes),
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
	if r.maxBytes < 0 || r.maxBytes > maxSetBytes {
		r.refuse(fmt.Errorf("RemoteConfig.MaxBytes is %d: write 1 to %d, or leave it out", c.MaxBytes, maxSetBytes))
	}
	return r
}

// refuse makes err the result of every call. The first one is kept.
func (r *Remote) refuse(err error) {
	if r.refusal == nil {
		r.refusal = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
}

// Key returns the key with this kid for this alg in the issuer's set. An empty kid is
// in no set, and causes no fetch of its own.
//
// The error is one of three:
//   - [ErrUnknownKey]: the set is current and has no such key.
//   - [ErrUnavailable], with its cause: no usable set could be fetched in time. Or a set is
//     held, but the latest fetch failed, is slow, or has too many waiting calls, so a missing
//     key may be a new one.
//   - The context's error: it ended first.
//
// Test for ErrUnavailable first: a fetch that timed out is also a
// [context.DeadlineExceeded].
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

// Ready fetches the set if a call to Key would, and returns nil if there is a usable
// one. Use it in a readiness endpoint, or to fetch before the first token.
func (r *Remote) Ready(ctx context.Context) error {
	if _, err := r.Key(ctx, "", ""); !errors.Is(err, ErrUnknownKey) {
		return err
	}
	return nil
}

// RemoteStatus describes a [Remote] at a moment. In JSON, errors are texts.
type RemoteStatus struct {
	Fresh       bool           // the held set is within its lifetime
	FetchedAt   time.Time      // when the set was fetched or confirmed (304); zero without a set
	ExpiresAt   time.Time      // the end of its lifetime
	StaleUntil  time.Time      // the end of its use if no fetch succeeds
	NextRefresh time.Time      // the first call from then on fetches; zero: the next call
	Keys        int            // keys in the set
	URL         string         // where the set was fetched from
	Skipped     []jose.Skipped // entries of the latest set that cannot be used, and why
	Waiting     int            // calls for unknown keys that wait for the fetch
	LastError   error          // of the configuration or of the latest fetch; nil if all is well
	Fetches     uint64         // fetches started; one may include discovery and redirects
	Failures    uint64         // fetches that failed
}

// Status returns the state of the set, for an operator. It does not fetch;
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
		status.Waiting = r.flight.slots.taken
	}
	if h := r.current.Load(); h != nil {
		status.Fresh = !reached(time.Now(), h.expiresAt)
		status.FetchedAt, status.ExpiresAt, status.StaleUntil = h.fetchedAt, h.expiresAt, h.staleUntil
		status.Keys, status.URL = h.set.Len(), h.url
	}
	return status
}

// Close ends the fetch under way and waits for its goroutine. From then on Key
// returns [ErrUnavailable], also to calls that are waiting. Close returns nil, and
// may be called again.
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
