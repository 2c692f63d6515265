package issuer

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// trustedClient holds the addresses, at most maxAddresses, at which one client has
// succeeded.
type trustedClient struct {
	mu        sync.Mutex
	addresses []knownAddress
	spare     level     // failures at other addresses of its networks
	noting    level     // new addresses noted for the store
	read      time.Time // when its addresses were last read from the store
}

// knownAddress is an address at which a client has succeeded.
type knownAddress struct {
	host     netip.Addr
	network  netip.Prefix
	chosen   bool      // with a chosen secret
	last     time.Time // of the last success, accurate to touchEvery
	recorded time.Time // when that was last noted for the store
	failures level
}

const (
	maxAddresses      = registry.MaxNetworks
	recordedAddresses = 4 // of one network; a store keeps few of a client
	touchEvery        = time.Hour
	recordEvery       = 24 * time.Hour
)

// noted bounds how often new addresses of one client are noted for the store.
var noted = allowance{maxAddresses, time.Minute}

func newTrustedClient() *trustedClient { return &trustedClient{} }

func (c *trustedClient) at(host netip.Addr) *knownAddress {
	for n := range c.addresses {
		if a := &c.addresses[n]; a.host == host {
			return a
		}
	}
	return nil
}

// knows reports whether the client has succeeded from the network: with a chosen
// secret, or with any.
func (c *trustedClient) knows(network netip.Prefix, chosen bool, now time.Time) bool {
	return slices.ContainsFunc(c.addresses, func(a knownAddress) bool {
		return a.network == network && (a.chosen || !chosen) && now.Sub(a.last) < trustFor
	})
}

// fresh reports whether a success at the host would change nothing.
func (c *trustedClient) fresh(host netip.Addr, chosen bool, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.at(host)
	return a != nil && (a.chosen || !chosen) && now.Sub(a.last) < touchEvery
}

// add adds a success. It returns nil if all addresses that are kept are worth more.
func (c *trustedClient) add(host netip.Addr, chosen bool, at time.Time) *knownAddress {
	a := c.at(host)
	if a == nil {
		made := knownAddress{host: host, network: prefixOf(host), chosen: chosen}
		if len(c.addresses) < maxAddresses {
			c.addresses = append(c.addresses, made)
			a = &c.addresses[len(c.addresses)-1]
		} else if a = c.least(); a.chosen && !chosen {
			return nil
		} else {
			if a.network == made.network {
				made.recorded = a.recorded // only recordedAddresses of a network are recorded
			}
			*a = made
		}
	}
	a.chosen = a.chosen || chosen
	if a.last.Before(at) {
		a.last = at
	}
	return a
}

// least returns the address to evict: one of a generated secret first, then one of the
// network with the most addresses, then the oldest.
func (c *trustedClient) least() *knownAddress {
	of := map[netip.Prefix]int{}
	for n := range c.addresses {
		of[c.addresses[n].network]++
	}
	worse := func(a, b *knownAddress) bool {
		switch {
		case a.chosen != b.chosen:
			return b.chosen
		case of[a.network] != of[b.network]:
			return of[a.network] > of[b.network]
		}
		return a.last.Before(b.last)
	}
	least := &c.addresses[0]
	for n := range c.addresses {
		if a := &c.addresses[n]; worse(a, least) {
			least = a
		}
	}
	return least
}

// note reports whether a success at the address is to be recorded.
func (c *trustedClient) note(a *knownAddress, now time.Time) bool {
	if now.Sub(a.recorded) < recordEvery {
		return false
	}
	if a.recorded.IsZero() {
		recorded := 0
		for n := range c.addresses {
			if b := &c.addresses[n]; b.network == a.network && !b.recorded.IsZero() {
				recorded++
			}
		}
		if recorded >= recordedAddresses || c.noting.wait(noted, now) > 0 {
			return false
		}
		c.noting.use(noted, now)
	}
	a.recorded = now
	return true
}

// renote makes the next success at the host be noted again.
func (c *trustedClient) renote(host netip.Addr) {
	if a := c.at(host); a != nil {
		a.recorded, a.last = time.Time{}, a.last.Add(-touchEvery)
	}
}
