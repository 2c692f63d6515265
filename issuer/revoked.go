package issuer

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// revoked is the set of what is revoked, in memory, so that a guard's question is
// a look-up and never a query.
type revoked struct {
	tokens  *hashTable   // jti → hash of the client that revoked it, 0 if that is not known
	clients *hashTable   // client → sequence of its last cut-off
	secrets *hashTable   // secret tag and client → sequence of the secret's last cut-off
	all     atomic.Int64 // sequence of the last cut-off of all clients, 0 if there is none

	mu       sync.Mutex
	allUntil time.Time     // when that cut-off means nothing any more
	live     map[int64]int // by hash of the client: how many entries tokens has
}

func newRevoked() *revoked {
	return &revoked{tokens: newHashTable(), clients: newHashTable(), secrets: newHashTable(), live: map[int64]int{}}
}

// add makes a change count. A change that is added twice, or with an earlier
// sequence or end, takes nothing back.
func (r *revoked) add(c registry.Change) {
	switch c.Kind {
	case registry.TokenRevoked:
		owner := r.owner(c.ClientID)
		r.count(owner, 1) // before a sweep can drop it
		if !r.tokens.put(r.tokens.hash(c.TokenID), owner, c.ExpiresAt) {
			r.count(owner, -1)
		}
	case registry.ClientCutOff:
		r.clients.put(r.clients.hash(c.ClientID), c.Sequence, c.ExpiresAt)
	case registry.SecretCutOff:
		r.secrets.put(r.secretKey(secretTag(c.SecretID), c.ClientID), c.Sequence, c.ExpiresAt)
	case registry.AllCutOff:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.all.Store(max(r.all.Load(), c.Sequence))
		if until := time.Now().Add(time.Until(c.ExpiresAt)); until.After(r.allUntil) {
			r.allUntil = until // by the monotonic clock, as in the tables
		}
	case registry.ClientChanged: // revokes nothing
	}
}

// has reports whether the token is revoked, as far as the feed has been read.
func (r *revoked) has(jti, clientID string) bool {
	if !r.tokens.empty() {
		if _, found := r.tokens.find(jti); found {
			return true
		}
	}
	if all := r.all.Load(); all != 0 && parseTokenID(jti).number < all {
		return true
	}
	if !r.clients.empty() {
		if cutOff, found := r.clients.find(clientID); found && parseTokenID(jti).number < cutOff {
			return true
		}
	}
	if r.secrets.empty() {
		return false
	}
	id := parseTokenID(jti)
	cutOff, found := r.secrets.get(r.secretKey(id.secret, clientID))
	return found && id.number < cutOff
}

// len returns how many revocations are in the set.
func (r *revoked) len() int {
	n := r.tokens.size.Load() + r.clients.size.Load() + r.secrets.size.Load()
	if r.all.Load() != 0 {
		n++
	}
	return int(n)
}

func (r *revoked) secretKey(tag uint32, clientID string) hashKey {
	var room [512]byte
	key := binary.BigEndian.AppendUint32(room[:0], tag)
	return r.secrets.hashBytes(append(key, clientID...))
}

// owner is how a client is named in live and in the values of tokens.
func (r *revoked) owner(clientID string) int64 {
	if clientID == "" {
		return 0
	}
	return int64(r.clients.hash(clientID).key >> 1)
}

// of returns how many revoked tokens of the client are in the set.
func (r *revoked) of(clientID string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live[r.owner(clientID)]
}

func (r *revoked) count(owner int64, n int) {
	if owner == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live[owner] += n; r.live[owner] <= 0 {
		delete(r.live, owner)
	}
}

// sweep drops what does not matter any more.
func (r *revoked) sweep() {
	r.tokens.sweep(func(owner int64) { r.count(owner, -1) })
	r.clients.sweep(func(int64) {})
	r.secrets.sweep(func(int64) {})
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.allUntil.After(time.Now()) {
		r.all.Store(0)
	}
	if len(r.live) == 0 {
		r.live = map[int64]int{} // a map that shrinks gives no memory back
	}
}
