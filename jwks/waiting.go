package jwks

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Anybody can invent key ids, and each call for one that the held set lacks may hold
// a request. These are the bounds of such calls.
const (
	maxWaiting        = 64          // at the same time
	maxNetworkWaiting = 8           // of them of one network
	longestWait       = time.Second // for a fetch, counted from its beginning
)

// NetworkKey is the key of a context value that says for which network a
// [Source] is asked: a string, such as "203.0.113.0/24". A [Remote] reads it when a
// call has to wait for a fetch, and shares its places among networks by it. Without
// the value, or with an empty one, only the bound over all calls applies.
//
// The guard of package middleware sets it. It is for guards of your own:
//
//	ctx = context.WithValue(ctx, jwks.NetworkKey{}, network)
type NetworkKey struct{}

func networkOf(ctx context.Context) string {
	network, _ := ctx.Value(NetworkKey{}).(string)
	return network
}

// place is that of one call that waits.
type place struct {
	network string
	lost    chan struct{} // closed when another network takes it
}

// places are those of the calls for unknown keys that wait for one fetch.
type places struct {
	taken    int
	networks map[string][]*place // by network; "" is all that are not known
}

// take returns a place, or nil when there is none for this network. When all are
// taken, a network with fewer takes one from the network with the most.
func (p *places) take(network string) *place {
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
		p.networks = map[string][]*place{}
	}
	added := &place{network: network, lost: make(chan struct{})}
	p.networks[network] = append(p.networks[network], added)
	p.taken++
	return added
}

// leave gives a place back. A place that another network took is not given back.
func (p *places) leave(old *place) {
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
	errCrowded = fmt.Errorf("%w: too many calls for unknown keys wait for the fetch already", ErrUnavailable)
	errSlow    = fmt.Errorf("%w: whether the key is a new one cannot be told, the fetch takes more than %v", ErrUnavailable, longestWait)
)

// await waits for a flight on behalf of a call. Nil means that the flight has ended.
func (r *Remote) await(ctx context.Context, f *flight, w *wanted) (err error) {
	var late <-chan time.Time
	var lost chan struct{}
	if w.place != nil {
		end := f.began
		if w.called.Before(end) {
			end = w.called
		}
		timer := time.NewTimer(time.Until(end.Add(longestWait)))
		defer timer.Stop()
		late, lost = timer.C, w.place.lost
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
	if w.place != nil {
		r.mu.Lock()
		f.places.leave(w.place)
		r.mu.Unlock()
	}
	return err
}
