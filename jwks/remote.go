package jwks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// RemoteConfig is how a [Remote] fetches. Every field is optional. A field that
// cannot be used, such as a negative duration, is reported by [Remote.Key].
type RemoteConfig struct {
	// Client fetches through this client's Transport; its other fields are not
	// used. It is then the transport's duty to refuse addresses (the default one
	// does not connect to link-local, multicast, unspecified and cloud metadata
	// addresses, whatever a name resolves to) and to obey contexts.
	// Default: a transport of its own, that takes a proxy from the environment
	// as [http.ProxyFromEnvironment] does. A proxy looks up names itself: only
	// the proxy's address is then checked.
	Client *http.Client

	// Cooldown is the time in which key ids that are not in the set cause at
	// most one fetch. It is also half of the shortest time between two
	// refreshes: Cache-Control below 2×Cooldown is raised to that. Default 30 s,
	// at most 12 h.
	Cooldown time.Duration

	// MaxStale is how long a set goes on serving after it expired, while it
	// cannot be fetched. Default 1 h.
	MaxStale time.Duration

	// Timeout of a fetch as a whole, discovery included. Default 5 s.
	Timeout time.Duration

	// InsecureHTTP allows http to hosts other than the loopback, where whoever
	// is on the network path decides which tokens are valid.
	InsecureHTTP bool
}

// Remote is a [Source] that fetches a key set over HTTP and keeps it. Make one
// for each issuer with [NewRemote] or [Discover], and share it.
//
// A key in a current set is found without a lock, an allocation or a wait. The
// first call fetches; later ones start a refresh when 80 to 90 % of the set's
// lifetime is over and don't wait for it. The lifetime is the Cache-Control
// max-age less Age, 5 min if not stated, between 2×Cooldown and 24 h. A key the
// issuer has removed is refused from that refresh on.
//
// When fetching fails it is tried again after 1 s, then after 2 s and so on up
// to 1 min, or 5 s while nothing can be served (Retry-After can make it later,
// within that minute), and what is
// held serves up to MaxStale past its lifetime. A key id that is not in the set
// causes a fetch of its own, one in a Cooldown at most, which delays neither
// calls for other keys nor the refresh.
//
// At most one fetch is under way. It belongs to no caller: a caller whose
// context ends leaves, the others get the answer. There is no goroutine but
// that of the fetch, so a Remote nobody asks is quiet; the first call after its
// set expired waits for a new one.
//
// A set without any usable key is taken as it is: its issuer has removed all
// keys.
type Remote struct {
	client   *http.Client
	cooldown time.Duration
	maxStale time.Duration
	timeout  time.Duration
	locate   func(context.Context) (string, error) // where the set is
	forget   func()                                // the set was not there

	current atomic.Pointer[snapshot] // nil until there is one, and after Close

	mu       sync.Mutex
	refusal  error     // wrong configuration, or closed
	flight   *flight   // the fetch under way, if any
	due      time.Time // when the schedule wants the next fetch
	waitFrom time.Time // from when even calls for a known key wait for it; never before due
	askAfter time.Time // when an unknown key id may cause a fetch again
	retries  int       // failures in a row of scheduled fetches
	lastErr  error     // of the latest fetch
	fetches  uint64
	failures uint64
	running  sync.WaitGroup
}

// NewRemote fetches the key set at url, at first use. The url is https, or http
// on the loopback. NewRemote cannot fail, so that it can stand in a struct
// literal: what is wrong with its arguments is the error, an [ErrUnavailable],
// of every [Remote.Key].
func NewRemote(url string, c RemoteConfig) *Remote {
	r := newRemote(c)
	if _, err := checkURL(url, c.InsecureHTTP); err != nil {
		r.refuse(fmt.Errorf("key set: %w", err))
	}
	r.locate = func(context.Context) (string, error) { return url, nil }
	r.forget = func() {}
	return r
}

func newRemote(c RemoteConfig) *Remote {
	r := &Remote{
		client:   newClient(c.Client),
		cooldown: cmp.Or(c.Cooldown, 30*time.Second),
		maxStale: cmp.Or(c.MaxStale, time.Hour),
		timeout:  cmp.Or(c.Timeout, 5*time.Second),
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

// refuse makes err the answer of every call. The first one counts.
func (r *Remote) refuse(err error) {
	if r.refusal == nil {
		r.refusal = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
}

// Key is the key of that id in the issuer's set: the same pointer as long as
// the issuer publishes the same key under it.
//
// The error is [ErrUnknownKey] when the set is current and has no such key; the
// context's, when that ended before an answer came; else [ErrUnavailable], with
// its cause: no set could be fetched in time, or one is held but the latest
// fetch failed, so that it cannot be told whether a key it lacks is a new one.
// Ask for ErrUnavailable first: a fetch that timed out is a
// [context.DeadlineExceeded] as well.
//
// An empty kid is in no set, and never causes a fetch for its own sake.
func (r *Remote) Key(ctx context.Context, kid string) (*jose.Key, error) {
	called := time.Now()
	if s := r.current.Load(); s != nil && called.Before(s.until) {
		if key := s.set.Find(kid, ""); key != nil {
			return key, nil
		}
	}
	var ended *flight
	for {
		key, wait, err := r.step(ctx, kid, called, ended)
		if wait == nil {
			return key, err
		}
		select {
		case <-wait.done:
			ended = wait
		case <-ctx.Done():
			return nil, fmt.Errorf("jwks: waiting for the key set: %w", ctx.Err())
		}
	}
}

// Ready makes sure that there is a set to serve from, as a call to Key would,
// and returns nil if there is. It is for a readiness endpoint, or to fetch
// before the first token comes.
func (r *Remote) Ready(ctx context.Context) error {
	if _, err := r.Key(ctx, ""); !errors.Is(err, ErrUnknownKey) {
		return err
	}
	return nil
}

// Status is what a [Remote] holds at a moment. It is for an operator to see;
// asking for it fetches nothing ([Remote.Ready] does).
type Status struct {
	Fresh       bool      // a set is held, within its lifetime
	FetchedAt   time.Time // when the set was fetched or confirmed (304); zero: there is none
	ExpiresAt   time.Time // end of its lifetime
	StaleUntil  time.Time // from then on it does not serve, if no fetch succeeds
	NextRefresh time.Time // a call from then on fetches; zero: the next one does
	Keys        int       // keys in the set
	Skipped     int       // members of the set that cannot be used: unknown type, symmetric, too weak…
	LastError   error     // of the latest fetch, nil if it succeeded; or why there are none
	Fetches     uint64    // fetches begun; a fetch may include discovery and redirects
	Failures    uint64    // fetches failed
}

// Status reports the state of the set.
func (r *Remote) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	status := Status{
		NextRefresh: r.due,
		LastError:   cmp.Or(r.refusal, r.lastErr),
		Fetches:     r.fetches,
		Failures:    r.failures,
	}
	if s := r.current.Load(); s != nil {
		status.Fresh = time.Now().Before(s.expiresAt)
		status.FetchedAt, status.ExpiresAt, status.StaleUntil = s.fetchedAt, s.expiresAt, s.staleUntil
		status.Keys, status.Skipped = s.set.Len(), len(s.set.Skipped())
	}
	return status
}

// Close ends the fetch under way, if any, and waits for its goroutine. Every
// call to Key, those that wait included, then gets [ErrUnavailable]. It returns
// nil, also when called again.
func (r *Remote) Close() error {
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
