package issuer

import (
	"hash/maphash"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// revoked is the set of what is revoked, in memory, so that a guard's question is
// a look-up and never a query. It is in shards, so that a sweep delays no look-up.
type revoked struct {
	seed    maphash.Seed
	tokens  [256]revokedTokens
	clients [256]revokedClients
}

type revokedTokens struct {
	sync.RWMutex
	until map[string]int64 // jti → unix seconds from when it does not matter
	some  atomic.Bool      // false while the map is empty, the common case: no lock is needed
}

type revokedClients struct {
	sync.RWMutex
	cut  map[string]cutOff
	some atomic.Bool
}

// cutOff is the second up to which a client's tokens are revoked.
type cutOff struct{ notBefore, until int64 }

func newRevoked() *revoked {
	r := &revoked{seed: maphash.MakeSeed()}
	for i := range r.tokens {
		r.tokens[i].until = map[string]int64{}
		r.clients[i].cut = map[string]cutOff{}
	}
	return r
}

// add makes a change count. A change that is added twice, or with an earlier end,
// takes nothing back.
func (r *revoked) add(c registry.Change) {
	until := c.ExpiresAt.Unix() + 1
	if c.Kind != registry.TokenRevoked {
		until = time.Now().Add(c.Kind.Lifetime()).Unix() + 1
	}
	switch c.Kind {
	case registry.TokenRevoked:
		shard := &r.tokens[r.shard(c.TokenID)]
		shard.Lock()
		defer shard.Unlock()
		shard.until[c.TokenID] = max(until, shard.until[c.TokenID])
		shard.some.Store(true)
	case registry.ClientCutOff:
		shard := &r.clients[r.shard(c.ClientID)]
		shard.Lock()
		defer shard.Unlock()
		known := shard.cut[c.ClientID]
		shard.cut[c.ClientID] = cutOff{max(time.Now().Unix(), known.notBefore), max(until, known.until)}
		shard.some.Store(true)
	case registry.SecretCutOff, registry.AllCutOff, registry.ClientChanged: // revokes nothing
	}
}

func (r *revoked) shard(id string) int {
	return int(maphash.String(r.seed, id) % uint64(len(r.tokens)))
}

// has reports whether the token is revoked, as far as the feed has been read.
func (r *revoked) has(jti, clientID string, issuedAt time.Time) bool {
	if tokens := &r.tokens[r.shard(jti)]; tokens.some.Load() {
		tokens.RLock()
		_, found := tokens.until[jti]
		tokens.RUnlock()
		if found {
			return true
		}
	}
	clients := &r.clients[r.shard(clientID)]
	if !clients.some.Load() {
		return false
	}
	clients.RLock()
	cut, found := clients.cut[clientID]
	clients.RUnlock()
	return found && issuedAt.Unix() <= cut.notBefore
}

// sweep drops what does not matter any more.
func (r *revoked) sweep() {
	now := time.Now().Unix()
	for i := range r.tokens {
		tokens, clients := &r.tokens[i], &r.clients[i]
		tokens.Lock()
		maps.DeleteFunc(tokens.until, func(_ string, until int64) bool { return until <= now })
		tokens.some.Store(len(tokens.until) > 0)
		tokens.Unlock()
		clients.Lock()
		maps.DeleteFunc(clients.cut, func(_ string, cut cutOff) bool { return cut.until <= now })
		clients.some.Store(len(clients.cut) > 0)
		clients.Unlock()
	}
}
