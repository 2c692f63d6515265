package jwks

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// An attacker can invent key ids, and each call for an unknown id may hold a request
// while it waits. These constants bound such calls.
const (
	maxWaiting        = 64          // at once
	maxNetworkWaiting = 8           // for one network
	longestWait       = time.Second // for a fetch, from its start
)

// NetworkKey is the key of a context value that says for which network a
// [Source] is asked: a string, such as "203.0.113.0/24". A [Remote] reads it when a
// call has to wait for a fetch, and shares its slots among networks by it. Without
// the value, or with an empty one, only the bound over all calls applies.
//
// The guard of package middleware sets it. A guard of your own gets the network from
// the address of the caller with [fetch.HostOf] and [fetch.NetworkOf]:
//
//	if host, ok := fetch.HostOf(r.RemoteAddr); ok {
//		ctx = context.WithValue(ctx, jwks.NetworkKey{}, fetch.NetworkOf(host).String())
//	}
type NetworkKey struct{}

func networkOf(ctx context.Context) string {
	network, _ := ctx.Value(NetworkKey{}).(string)
	return network
}

// slot is the slot of one waiting call.
type slot struct {
	network string
	lost    chan struct{} // closed when another network takes the slot
}

// slots are the slots of the calls for unknown keys that wait for one fetch.
type slots struct {
	taken    int
	networks map[string][]*slot // by network; "" for calls of unknown networks
}

// take returns a slot, or nil if there is none for this network. When all are taken,
// a network with fewer takes one from the network with the most.
func (p *slots) take(network string) *slot {
	own := len(p.networks[network])
	if network != "" && own >= maxNetworkWaiting {
		return nil
	}
	if p.taken >= maxWaiting {
		largest := network
		for n, list := range p.networks {
			if len(list) > len(p.networks[largest]) {
				largest = n
			}
		}
		list := p.networks[largest]
		if len(list) <= own+1 {
			return nil
		}
		last := list[len(list)-1]
		p.leave(last)
		close(last.lost)
	}
	if p.networks == nil {
		p.networks = map[string][]*slot{}
	}
	added := &slot{network: network, lost: make(chan struct{})}
	p.networks[network] = append(p.networks[network], added)
	p.taken++
	return added
}

// leave frees a slot. It has no effect on a slot that another network has taken.
func (p *slots) leave(old *slot) {
	list := p.networks[old.network]
	i := slices.Index(list, old)
	if i < 0 {
		return
	}
	p.taken--
	if len(list) == 1 {
		delete(p.networks, old.network)
		return
	}
	p.networks[old.network] = slices.Delete(list, i, i+1)
}

var (
	errCrowded = fmt.Errorf("%w: too many calls for unknown keys are waiting for the fetch", ErrUnavailable)
	errSlow    = fmt.Errorf("%w: the key may be new, and the fetch takes more than %v", ErrUnavailable, longestWait)
)

// await waits for a flight on behalf of a call. It returns nil when the flight has
// ended.
func (r *Remote) await(ctx context.Context, f *flight, w *wanted) (err error) {
	var late <-chan time.Time
	var lost chan struct{}
	if w.slot != nil {
		end := f.began
		if w.called.Before(end) {
			end = w.called
		}
		timer := time.NewTimer(time.Until(end.Add(longestWait)))
		defer timer.Stop()
		late, lost = timer.C, w.slot.lost
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		err = fmt.Errorf("jwks: waiting for the key set: %w", ctx.Err())
	case <-late:
		err = errSlow
	case <-lost:
		err = errCrowded
	}
	if w.slot != nil {
		r.mu.Lock()
		f.slots.leave(w.slot)
		r.mu.Unlock()
	}
	return err
}
