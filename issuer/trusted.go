package issuer

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// trustedClient is from where one client has succeeded: at most maxPlaces addresses.
type trustedClient struct {
	mu     sync.Mutex
	places []place
	spare  level     // of the failures at other addresses of its networks
	noting level     // of what the store is told
	asked  time.Time // when its networks were last read from the store
}

// place is an address from which a client has succeeded.
type place struct {
	host     netip.Addr
	network  netip.Prefix
	chosen   bool      // with a chosen secret
	last     time.Time // when it last succeeded, to touchEvery
	recorded time.Time // when that was last noted for the store
	failures level
}

const (
	maxPlaces         = registry.MaxNetworks
	recordedAddresses = 4 // of one network, as a store keeps few of a client
	touchEvery        = time.Hour
	recordEvery       = 24 * time.Hour
)

// noted is how often one client's new places are noted for the store.
var noted = allowance{maxPlaces, time.Minute}

func (c *trustedClient) at(host netip.Addr) *place {
	for n := range c.places {
		if p := &c.places[n]; p.host == host {
			return p
		}
	}
	return nil
}

// knows reports whether the client has succeeded from the network, with a chosen
// secret or any.
func (c *trustedClient) knows(network netip.Prefix, chosen bool, now time.Time) bool {
	return slices.ContainsFunc(c.places, func(p place) bool {
		return p.network == network && (p.chosen || !chosen) && now.Sub(p.last) < trustFor
	})
}

// fresh reports whether a success at the host changes nothing.
func (c *trustedClient) fresh(host netip.Addr, chosen bool, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.at(host)
	return p != nil && (p.chosen || !chosen) && now.Sub(p.last) < touchEvery
}

// add keeps a success. It returns nil where another place is worth more.
func (c *trustedClient) add(host netip.Addr, chosen bool, at time.Time) *place {
	p := c.at(host)
	if p == nil {
		made := place{host: host, network: prefixOf(host), chosen: chosen}
		if len(c.places) < maxPlaces {
			c.places = append(c.places, made)
			p = &c.places[len(c.places)-1]
		} else if p = c.least(); p.chosen && !chosen {
			return nil
		} else {
			if p.network == made.network {
				made.recorded = p.recorded // few of one network are
			}
			*p = made
		}
	}
	p.chosen = p.chosen || chosen
	if p.last.Before(at) {
		p.last = at
	}
	return p
}

// least returns the place that is given up for another: one of a generated secret, else
// one of the network that has most, and of these the oldest.
func (c *trustedClient) least() *place {
	of := map[netip.Prefix]int{}
	for n := range c.places {
		of[c.places[n].network]++
	}
	worse := func(p, q *place) bool {
		switch {
		case p.chosen != q.chosen:
			return q.chosen
		case of[p.network] != of[q.network]:
			return of[p.network] > of[q.network]
		}
		return p.last.Before(q.last)
	}
	least := &c.places[0]
	for n := range c.places {
		if p := &c.places[n]; worse(p, least) {
			least = p
		}
	}
	return least
}

// note reports whether a success at the place is to be recorded.
func (c *trustedClient) note(p *place, now time.Time) bool {
	if now.Sub(p.recorded) < recordEvery {
		return false
	}
	if p.recorded.IsZero() {
		recorded := 0
		for n := range c.places {
			if q := &c.places[n]; q.network == p.network && !q.recorded.IsZero() {
				recorded++
			}
		}
		if recorded >= recordedAddresses || c.noting.wait(noted, now) > 0 {
			return false
		}
		c.noting.use(noted, now)
	}
	p.recorded = now
	return true
}

// forget has the next success at the host noted again.
func (c *trustedClient) forget(host netip.Addr) {
	if p := c.at(host); p != nil {
		p.recorded, p.last = time.Time{}, p.last.Add(-touchEvery)
	}
}
