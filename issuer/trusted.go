package issuer

import (
	"slices"
	"sync"
	"time"
)

// trustedNetworks are the networks from which clients have succeeded, so many of each.
type trustedNetworks struct {
	of      *bounded[*trustedNetwork] // client and network
	clients *bounded[*latest]         // client → its networks
}

const (
	maxTrustedNetworks  = 32 // of a client
	maxTrustedAddresses = 64 // of a client in one network
)

func newTrustedNetworks() trustedNetworks {
	return trustedNetworks{newBounded[*trustedNetwork](maxBuckets, trustFor), newBounded[*latest](maxBuckets, trustFor)}
}

// add adds a network of a client, or keeps it for as long again. It returns the
// addresses of the one that is dropped for it.
func (t trustedNetworks) add(clientID, network string) (known *trustedNetwork, dropped []string) {
	mine := t.clients.getOrSet(clientID, func() *latest { return &latest{} })
	if old, full := mine.add(network, maxTrustedNetworks); full {
		if gone, ok := t.of.get(turnOf(clientID, old)); ok {
			dropped = gone.addresses.all()
		}
		t.of.remove(turnOf(clientID, old))
	}
	return t.of.getOrSet(turnOf(clientID, network), newTrustedNetwork), dropped
}

func (t trustedNetworks) sweep() {
	t.of.sweep()
	t.clients.sweep()
}

// trustedNetwork is a network from which a client has succeeded.
type trustedNetwork struct {
	addresses latest

	mu       sync.Mutex
	recorded map[string]time.Time // address → when it was last noted for the store
}

func newTrustedNetwork() *trustedNetwork { return &trustedNetwork{recorded: map[string]time.Time{}} }

// add adds an address, and returns the one that is dropped for it.
func (n *trustedNetwork) add(host string) (dropped []string) {
	if old, full := n.addresses.add(host, maxTrustedAddresses); full {
		return []string{old}
	}
	return nil
}

// note reports whether a success from the address is to be recorded.
func (n *trustedNetwork) note(host string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	last, ok := n.recorded[host]
	if ok && now.Sub(last) < recordEvery || !ok && len(n.recorded) >= recordedAddresses {
		return false
	}
	n.recorded[host] = now
	return true
}

// forget has the next success from the address recorded.
func (n *trustedNetwork) forget(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.recorded, host)
}

// latest are the names that were added last. Its zero value is empty.
type latest struct {
	mu    sync.Mutex
	names []string // the latest one last
}

// add adds a name, or makes it the latest. It returns the oldest one, if that is too
// many.
func (l *latest) add(name string, limit int) (dropped string, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.names); n > 0 && l.names[n-1] == name {
		return "", false
	}
	if at := slices.Index(l.names, name); at >= 0 {
		l.names = slices.Delete(l.names, at, at+1)
	}
	l.names = append(l.names, name)
	if len(l.names) <= limit {
		return "", false
	}
	dropped = l.names[0]
	l.names = slices.Delete(l.names, 0, 1)
	return dropped, true
}

func (l *latest) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.names)
}
