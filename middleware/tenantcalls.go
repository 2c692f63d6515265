package middleware

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// refused is the answer about an issuer without a Bearer.
type refused struct {
	issuer  string
	err     error // nil: it is not one of ours
	until   time.Time
	element *list.Element
}

func (r *refused) answer() *Error {
	if r.err == nil {
		return unknownIssuer(r.issuer)
	}
	if errors.Is(r.err, errWrongTenant) {
		return misconfigured(r.err)
	}
	return unavailable(event.StoreUnavailable, r.err)
}

// demand is what one network asks for.
type demand struct {
	calls   int // under way
	refused int // that ended without a Bearer of use in this period
}

// call is one call of make, for all requests that wait for it.
type call struct {
	network string
	waiting int
	done    chan struct{}
	tenant  *tenant // with a use for each that waits
	refused *refused
}

var (
	errWrongTenant  = errors.New("middleware: Tenants.Bearer did not return a new Bearer, made by New, for this issuer")
	errTenantCalls  = errors.New("middleware: Tenants.Bearer: too many issuers are being asked about")
	errTenantClosed = errors.New("middleware: Tenants: the Bearer was closed")
)

// mayCall returns why no call may begin for a network.
func (t *tenants) mayCall(network string) error {
	if now := time.Now(); !now.Before(t.period) {
		t.total, t.period = 0, now.Add(refusalPeriod)
		for name, d := range t.networks {
			if d.refused = 0; d.calls == 0 {
				delete(t.networks, name)
			}
		}
	}
	switch d := t.networks[network]; {
	case t.closed.Err() != nil:
		return errTenantClosed
	case len(t.calls) >= maxCalls, t.total >= maxRefused:
		return errTenantCalls
	case d != nil && network != "" && (d.calls >= maxNetworkCalls || d.refused >= networkRefused):
		return errTenantCalls
	}
	return nil
}

// begin starts a call.
func (t *tenants) begin(issuer, network string) *call {
	c := &call{network: network, done: make(chan struct{})}
	t.calls[issuer] = c
	t.demand(network).calls++
	go t.run(c, issuer)
	return c
}

func (t *tenants) demand(network string) *demand {
	d := t.networks[network]
	if d == nil {
		d = &demand{}
		t.networks[network] = d
	}
	return d
}

// charge counts a call that was of no use.
func (t *tenants) charge(network string) {
	t.total++
	t.demand(network).refused++
}

// run makes the call and hands out its result.
func (t *tenants) run(c *call, issuer string) {
	ctx, cancel := context.WithTimeout(t.closed, callTimeout)
	b, err := t.ask(ctx, issuer)
	cancel()
	t.failed.record(err)
	t.mu.Lock()
	delete(t.calls, issuer)
	d := t.demand(c.network)
	d.calls--
	var evicted []*Bearer
	switch {
	case b != nil && t.closed.Err() != nil:
		evicted = append(evicted, b)
		c.refused = &refused{issuer: issuer, err: errTenantClosed}
	case b != nil:
		c.tenant = &tenant{of: t, bearer: b, uses: c.waiting, network: c.network}
		evicted = t.put(c.tenant, t.fresh, max(1, t.max/4))
	default:
		t.charge(c.network)
		c.refused = t.refuse(issuer, err)
	}
	if *d == (demand{}) {
		delete(t.networks, c.network)
	}
	close(c.done)
	t.mu.Unlock()
	closeAll(evicted)
}

// ask returns the Bearer of an issuer, nil if it is not one of ours.
func (t *tenants) ask(ctx context.Context, issuer string) (b *Bearer, err error) {
	defer func() {
		if fault := recover(); fault != nil { // it would end the program, for one token
			b, err = nil, fmt.Errorf("middleware: Tenants.Bearer: %v", fault)
		}
	}()
	b, err = t.make(ctx, issuer)
	switch {
	case err != nil:
		return nil, fmt.Errorf("middleware: Tenants.Bearer: %w", err)
	case b != nil && (!b.usable() || b.members != nil || b.issuer != issuer || !b.owner.CompareAndSwap(nil, t)):
		return nil, fmt.Errorf("%w: %.200q", errWrongTenant, issuer)
	}
	return b, nil
}

// refuse caches that an issuer has no Bearer.
func (t *tenants) refuse(issuer string, err error) *refused {
	if old := t.refused[issuer]; old != nil {
		t.order.Remove(old.element)
	} else if t.order.Len() >= maxRefused {
		oldest := t.order.Front()
		if r, ok := t.order.Remove(oldest).(*refused); ok {
			delete(t.refused, r.issuer)
		}
	}
	r := &refused{issuer: issuer, err: err, until: time.Now().Add(refusedFor)}
	if err != nil {
		r.until = time.Now().Add(failedFor)
	}
	r.element = t.order.PushBack(r)
	t.refused[issuer] = r
	return r
}
