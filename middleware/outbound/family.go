package outbound

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

// family is what a Source shares with those that For made of it: client, credentials,
// backoff and budget.
type family struct {
	config  Config
	fetcher *fetcher
	random  func(n time.Duration) time.Duration // in [0, n)

	context func() (context.Context, context.CancelFunc) // of one fetch
	cancel  context.CancelFunc                           // ends all fetches
	done    <-chan struct{}                              // closed by Close
	running sync.WaitGroup

	prover   *prover  // nil without Config.DPoP
	api      *showing // of base, with Config.Certificate
	apiError error    // why there is none

	fetches  atomic.Uint64
	failures atomic.Uint64
	replays  atomic.Uint64
	nonced   atomic.Uint64 // requests that were sent again with a nonce

	mu       sync.Mutex // guards what follows, and the slow state of all cells
	closed   bool
	cells    map[string]*cell
	backoff  backoff   // of the server and the client
	accepted time.Time // when the server gave a token; zero if it has refused the client since
	budget   *rate.Limiter

	replacements *rate.Limiter // fetches because replacements of refused tokens were refused too
}

// unproven is the time after a success from which on a fetch that calls wait for is a probe
// again: the secret may have been rotated meanwhile, as in a night without calls.
const unproven = 30 * time.Second

// maxCells bounds the different tokens of a family.
const maxCells = 1024

var errManyCells = errors.New("outbound: the source has 1024 different tokens in use: ask for fewer different resources and scopes")

// newFamily returns the first Source of a family.
func newFamily(c Config, client *fetch.Client, w *want) (*Source, error) {
	ctx, cancel := context.WithCancel(context.Background())
	f := &family{
		config: c,
		random: func(n time.Duration) time.Duration {
			if n <= 0 {
				return 0
			}
			return rand.N(n) //nolint:gosec // jitter: nothing secret hangs on it
		},
		context: func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, c.Timeout) },
		cancel:  cancel,
		done:    ctx.Done(),
		cells:   map[string]*cell{},
		budget:  rate.NewLimiter(rate.Every(retryEvery), retryBurst),
		prover:  newProver(c.DPoP),

		replacements: rate.NewLimiter(rate.Every(replacementEvery), replacementBurst),
	}
	var err error
	if f.fetcher, err = newFetcher(&f.config, client, f.prover); err == nil && c.Certificate != nil {
		f.api, f.apiError = newShowing(f.base())
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return f.source(w), nil
}

// base is the transport of requests if the app names none.
func (f *family) base() http.RoundTripper {
	if c := f.config.HTTP; c != nil && c.Transport != nil {
		return c.Transport
	}
	return http.DefaultTransport
}

// begun notes a new fetch. Until the server has accepted the client, and after failures, it
// is the only one: a wrong secret is tried once, however many tokens are asked for. A while
// after the latest success it is too, unless it is a refresh in the background: those are
// apart by their random times, and one that hangs must not delay other tokens.
func (f *family) begun(fl *flight) {
	h := fl.cell.held.Load()
	refresh := h.usable(fl.began) && !h.replaced.Load()
	since := fl.began.Round(0).Sub(f.accepted) // by the wall clock: the other one does not move while a machine is suspended
	if f.accepted.IsZero() || f.backoff.failures > 0 || since.Abs() >= unproven && !refresh {
		f.backoff.claim(fl, f.config.Timeout)
	}
}

// succeeded notes that a fetch has succeeded.
func (f *family) succeeded(fl *flight, now time.Time) {
	if f.backoff.passed(fl.began) {
		f.accepted = now.Round(0)
	}
}

// failed notes a failure that concerns all tokens.
func (f *family) failed(fl *flight, now time.Time, why failure) {
	if why.slow {
		f.accepted = time.Time{}
	}
	f.backoff.fail(fl.began, now, why, f.budget, f.random)
}

// source returns a Source of what is asked for. Equal wants share a cell.
func (f *family) source(w *want) *Source {
	s := &Source{family: f, want: w}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.cells[w.key()]
	if c == nil || w.refusal != nil {
		c = &cell{family: f, want: w, replays: rate.NewLimiter(rate.Every(replayEvery), replayBurst)}
	}
	s.cell.Store(c)
	return s
}

// shared returns the cell that others have for the same want, if the given one was
// evicted. It is called with the lock.
func (f *family) shared(c *cell) *cell {
	if other := f.cells[c.want.key()]; !c.owned && other != nil {
		return other
	}
	return c
}

// own returns the cell that the family owns for a want: the given one, or another that is
// there for the same. Only such a cell fetches. It is called with the lock.
func (f *family) own(c *cell, now time.Time) (*cell, error) {
	switch {
	case c.want.refusal != nil:
		return c, c.want.refusal
	case f.closed:
		return c, ErrClosed
	case c.owned:
		return c, nil
	}
	if other := f.shared(c); other != c {
		return other, nil
	}
	if len(f.cells) >= maxCells {
		f.evict(now)
	}
	if len(f.cells) >= maxCells {
		return c, errManyCells
	}
	c.owned = true
	f.cells[c.want.key()] = c
	return c, nil
}

// evict drops the cells without a usable token. Those that were refused a token stay until
// they may try again, or they would try too early; if all capacity is theirs, they are
// dropped too. A Source that has an evicted cell takes another when it needs a token.
func (f *family) evict(now time.Time) {
	for _, refused := range []bool{false, true} {
		for key, c := range f.cells {
			if c.flight == nil && !c.held.Load().usable(now) && (refused || c.backoff.ready(now)) {
				c.owned = false
				c.stop()
				delete(f.cells, key)
			}
		}
		if len(f.cells) < maxCells {
			return
		}
	}
}

// close ends everything, and waits for it.
func (f *family) close() {
	f.mu.Lock()
	f.closed = true
	for _, c := range f.cells {
		c.stop()
	}
	f.mu.Unlock()
	f.cancel()
	f.running.Wait()
	f.api.closeIdle()
	for _, s := range f.fetcher.showings {
		s.closeIdle()
	}
}
