package issuer

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// revoked is the set of revocations, in memory, so that a guard needs a lookup and never
// a query.
type revoked struct {
	tokens  *hashTable   // jti → hash of the client that revoked it, 0 if not known
	clients *hashTable   // client → sequence of its last cut-off
	secrets *hashTable   // secret tag and client → sequence of the secret's last cut-off
	all     atomic.Int64 // sequence of the last cut-off of all clients, 0 if there is none

	longest time.Duration // for which a verifier may accept a token

	mu       sync.Mutex
	allUntil time.Time       // the expiry of the cut-off of all clients
	live     map[int64]int   // hash of a client → number of its entries in tokens
	covered  map[int64]int64 // hash of a client, 0 for all → the cut-off below which its entries in tokens are not needed
}

// newRevoked returns an empty set for an issuer whose tokens live for maxTTL at most.
func newRevoked(maxTTL time.Duration) *revoked {
	return &revoked{
		tokens: newHashTable(), clients: newHashTable(), secrets: newHashTable(), longest: maxTTL + afterExpiry,
		live: map[int64]int{}, covered: map[int64]int64{},
	}
}

// keepUntil returns when a change expires here, by the monotonic clock. That is at
// ExpiresAt or, if later, after the lifetime that the change had left when the store
// wrote it. The sequence holds the time of the write. That lifetime counts as longest at
// most. So a wall clock that is ahead here does not expire a change too early.
func keepUntil(c registry.Change, longest time.Duration) time.Time {
	if c.Kind != registry.TokenRevoked {
		longest = c.Kind.Lifetime()
	}
	now := time.Now()
	left := min(c.ExpiresAt.Sub(time.UnixMicro(c.Sequence)), longest)
	return now.Add(max(left, c.ExpiresAt.Sub(now)))
}

// add adds a change. Adding a change again, or one with an earlier sequence or expiry,
// undoes nothing.
func (r *revoked) add(c registry.Change) {
	until := keepUntil(c, r.longest)
	switch c.Kind {
	case registry.TokenRevoked:
		r.addToken(c, until)
	case registry.ClientCutOff:
		r.clients.put(r.clients.hash(c.ClientID), c.Sequence, until)
		r.covers(r.owner(c.ClientID), c.Sequence)
	case registry.SecretCutOff:
		r.secrets.put(r.secretKey(secretTag(c.SecretID), c.ClientID), c.Sequence, until)
	case registry.AllCutOff:
		r.mu.Lock()
		r.all.Store(max(r.all.Load(), c.Sequence))
		if until.After(r.allUntil) {
			r.allUntil = until
		}
		r.mu.Unlock()
		r.covers(0, c.Sequence)
	case registry.ClientChanged: // revokes nothing
	}
}

// addToken adds a token, unless a cut-off already revokes it.
func (r *revoked) addToken(c registry.Change, until time.Time) {
	number, owner := parseTokenID(c.TokenID).number, r.owner(c.ClientID)
	if number < r.all.Load() {
		return
	}
	if cutOff, found := r.clients.get(r.clients.hash(c.ClientID)); found && number < cutOff {
		return
	}
	r.count(owner, 1) // before a sweep can drop it
	if !r.tokens.putNoted(r.tokens.hash(c.TokenID), owner, number, until) {
		r.count(owner, -1)
	}
}

// covers notes that a cut-off revokes the tokens with a number below it: those of one
// client, or of all if owner is 0.
func (r *revoked) covers(owner, cutOff int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if owner == 0 && !r.tokens.empty() || r.live[owner] > 0 {
		r.covered[owner] = max(r.covered[owner], cutOff)
	}
}

// dropCovered drops the tokens that cut-offs revoke, so that they no longer count against
// maxRevocations of their clients. It scans all tokens, once for all cut-offs since the
// last call.
func (r *revoked) dropCovered() {
	r.mu.Lock()
	covered := r.covered
	if len(covered) > 0 {
		r.covered = map[int64]int64{}
	}
	r.mu.Unlock()
	if len(covered) == 0 {
		return
	}
	all := covered[0]
	r.tokens.remove(func(owner, number int64) bool {
		return number < all || owner != 0 && number < covered[owner]
	}, func(owner int64) { r.count(owner, -1) })
}

// has reports whether the token is revoked, by the changes that were read so far.
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

// len returns the number of revocations in the set.
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

// owner returns the hash of a client, as used in live, covered and tokens.
func (r *revoked) owner(clientID string) int64 {
	if clientID == "" {
		return 0
	}
	return int64(r.clients.hash(clientID).key >> 1)
}

// of returns the number of revoked tokens of the client in the set.
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

// sweep drops what has expired.
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
		r.live = map[int64]int{} // a Go map does not shrink
	}
}
