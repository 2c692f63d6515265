package middleware

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Tenants are the issuers of [AnyTenant]. Bearer is required.
type Tenants struct {
	// Bearer returns a Bearer for the tokens of one issuer, whose Config.Issuer is
	// exactly this text. It makes a new one at each call, as [New] does. It returns nil and
	// no error if the issuer is not one of ours: then the answer is 401. An error is answered 503. Anyone can send any text as
	// issuer, so take it from a list of your own and build no URL of it. With Config.DPoP
	// give each Bearer of an issuer the same Proofs.Replay: the proofs that an evicted one
	// has seen would be new to the next.
	//
	// It must be safe for concurrent use. Its context ends after 5 s, and at Close.
	// Requests with tokens of the same issuer share one call. At most 64 calls run at the
	// same time, 8 for one network; see ClientIP. Further requests are answered 503. That
	// an issuer is not ours is cached for a minute, an error for a second. In 10 s at
	// most 1024 calls may end so, or with a Bearer that is evicted before it verifies a
	// token; 64 for one network.
	Bearer func(ctx context.Context, issuer string) (*Bearer, error)

	// Max is how many Bearers are cached, a quarter more of issuers of which no token was
	// verified yet: these never evict the others. The one that was not used for the
	// longest time is evicted, and closed when no request uses it. Each has a cache of
	// verified tokens, so write a Config.CacheSize that fits. Default 100, at most
	// 100 000.
	Max int

	// ClientIP is as in [Config]. It is used for the calls of Bearer.
	ClientIP func(r *http.Request) string

	// Observe is called for a request that no Bearer is chosen for. Default none.
	Observe func(ctx context.Context, e Event)
}

// AnyTenant returns a Bearer for the tokens of issuers that are known only when a token
// comes, such as one of each customer. As with [Any], the unverified claim iss says whose
// Bearer checks a token, and nothing is shared between them.
func AnyTenant(c Tenants) (*Bearer, error) {
	switch {
	case c.Bearer == nil:
		return nil, errors.New("middleware: Tenants.Bearer is nil: write a func that returns the Bearer of an issuer, and nil for issuers that are not yours")
	case c.Max < 0 || c.Max > maxTenants:
		return nil, fmt.Errorf("middleware: Tenants.Max is %d: write up to %d, or 0 for %d", c.Max, maxTenants, defaultTenants)
	}
	t := &tenants{
		make: c.Bearer, max: cmp.Or(c.Max, defaultTenants), entries: map[string]*tenant{}, used: list.New(), fresh: list.New(),
		refused: map[string]*refused{}, order: list.New(), calls: map[string]*call{}, networks: map[string]*demand{},
	}
	t.closed, t.cancel = context.WithCancel(context.Background())
	b := (&members{tenants: t}).bearer(&Bearer{
		maxTokenBytes: maxTenantToken, clientIP: c.ClientIP, observe: c.Observe, background: event.Background(c.Observe, false),
		invalid: new(hint).challenge(schemeBearer, "", invalidToken("", nil)),
	})
	t.face = b
	return b, nil
}

const (
	defaultTenants = 100
	maxTenants     = 100_000
	maxTenantToken = 64 << 10 // bytes; its Bearer has a limit of its own
	maxIssuer      = 2048     // bytes

	callTimeout     = 5 * time.Second
	maxCalls        = 64
	maxNetworkCalls = 8

	refusedFor     = time.Minute
	failedFor      = time.Second
	maxRefused     = 1024 // cached, and calls that end so within a period
	refusalPeriod  = 10 * time.Second
	networkRefused = 64 // calls for one network that end so within a period
)

// tenants caches the Bearers of issuers.
type tenants struct {
	make   func(ctx context.Context, issuer string) (*Bearer, error)
	max    int
	face   *Bearer         // with ClientIP and Observe
	failed outcome         // of make
	closed context.Context //nolint:containedctx // of all calls; Close ends it
	cancel context.CancelFunc

	mu      sync.Mutex
	entries map[string]*tenant // by issuer
	used    *list.List         // of *tenant of which a token was verified, the latest first
	fresh   *list.List         // of the other *tenant, the latest first

	refused map[string]*refused // issuers that have no Bearer, for a while
	order   *list.List          // of *refused, oldest first

	calls    map[string]*call // under way, by issuer
	networks map[string]*demand
	total    int       // calls that were of no use in this period
	period   time.Time // its end
}

// tenant is a Bearer in the cache, or evicted from it and still in use.
type tenant struct {
	of      *tenants
	bearer  *Bearer
	in      *list.List // used or fresh; nil: evicted
	element *list.Element
	uses    int
	network string // that the first request came from
}

// get returns the Bearer of an issuer, for one use.
func (t *tenants) get(from caller, issuer string) (member, *Error) {
	if len(issuer) > maxIssuer {
		return member{}, unknownIssuer(issuer)
	}
	t.mu.Lock()
	if held := t.entries[issuer]; held != nil {
		held.uses++
		t.mu.Unlock()
		return member{held.bearer, held}, nil
	}
	if r := t.refused[issuer]; r != nil && time.Now().Before(r.until) {
		t.mu.Unlock()
		return member{}, r.answer()
	}
	c := t.calls[issuer]
	if c == nil {
		t.mu.Unlock() // the address of a caller is found by a func of the app
		network := (&caller{bearer: t.face, request: from.request, extract: from.extract, silent: from.silent}).network()
		t.mu.Lock()
		if t.entries[issuer] != nil || t.calls[issuer] != nil { // in the meantime
			t.mu.Unlock()
			return t.get(from, issuer)
		}
		if err := t.mayCall(network); err != nil {
			t.mu.Unlock()
			return member{}, unavailable(event.Busy, err)
		}
		c = t.begin(strings.Clone(issuer), network) // not the token around it
	}
	c.waiting++
	t.mu.Unlock()
	select {
	case <-c.done:
		if c.refused != nil {
			return member{}, c.refused.answer()
		}
		return member{c.tenant.bearer, c.tenant}, nil
	case <-from.Done():
		t.leave(c)
		return member{}, unavailable(event.StoreUnavailable, from.Err())
	}
}

// leave gives up waiting for a call.
func (t *tenants) leave(c *call) {
	t.mu.Lock()
	c.waiting--
	held := c.tenant // not nil: the call has ended, and counted this one
	t.mu.Unlock()
	if held != nil {
		t.release(held, false)
	}
}

// put adds a tenant to a list of limited length. It returns the Bearers to close.
func (t *tenants) put(added *tenant, in *list.List, limit int) (unused []*Bearer) {
	for in.Len() >= limit {
		oldest, ok := in.Back().Value.(*tenant)
		if !ok {
			break
		}
		if in == t.fresh {
			t.charge(oldest.network)
		}
		if t.evict(oldest); oldest.uses == 0 {
			unused = append(unused, oldest.bearer)
		}
	}
	added.in, added.element = in, in.PushFront(added)
	t.entries[added.bearer.issuer] = added
	return unused
}

func (t *tenants) evict(old *tenant) {
	old.in.Remove(old.element)
	old.in = nil
	delete(t.entries, old.bearer.issuer)
}

// release ends a use. An issuer of which a token was verified is used from then on, also
// if it was evicted while that took place.
func (t *tenants) release(held *tenant, verified bool) {
	t.mu.Lock()
	held.uses--
	var unused []*Bearer
	switch {
	case !verified || t.closed.Err() != nil:
	case held.in == t.used:
		t.used.MoveToFront(held.element)
	case held.in == t.fresh, held.in == nil && t.entries[held.bearer.issuer] == nil:
		if held.in != nil {
			t.evict(held)
		}
		unused = t.put(held, t.used, t.max)
	}
	if held.in == nil && held.uses == 0 {
		unused = append(unused, held.bearer)
	}
	t.mu.Unlock()
	closeAll(unused)
}

func closeAll(list []*Bearer) (errs []error) {
	for _, b := range list {
		errs = append(errs, b.Close())
	}
	return errs
}

// current are the cached Bearers, the ones used last first.
func (t *tenants) current() (all []*Bearer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range []*list.List{t.used, t.fresh} {
		for e := l.Front(); e != nil; e = e.Next() {
			if held, ok := e.Value.(*tenant); ok {
				all = append(all, held.bearer)
			}
		}
	}
	return all
}

func (t *tenants) ready() error {
	if t.closed.Err() != nil {
		return notServing{errTenantClosed}
	}
	return t.failed.latest(recently)
}

// close closes all Bearers, and ends all calls.
func (t *tenants) close() error {
	t.cancel()
	t.mu.Lock()
	var unused []*Bearer
	for _, held := range t.entries {
		if t.evict(held); held.uses == 0 {
			unused = append(unused, held.bearer)
		}
	}
	t.mu.Unlock()
	return errors.Join(closeAll(unused)...)
}
