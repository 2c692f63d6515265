package issuer

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// ledger keeps the latest revocations that this process has read or written, with
// their names, so that they can be restored after the feed was set back, as by a
// restored backup. The set that answers guards, revoked, has only hashes.
//
// It is bounded. If a feed was set back to before a revocation that the ledger has
// dropped, the ledger has all tokens revoked, which is one entry.
type ledger struct {
	mu      sync.Mutex
	entries map[changeName]*ledgerEntry
	order   []orderedName // in the order in which entries were added; may name dropped entries
	pass    int           // counts how often the feed was set back
	dropped ledgerEntry   // the latest that was dropped at capacity

	limit   int
	longest time.Duration // for which a verifier may accept a token
	wake    chan struct{} // has a value when there may be something to restore
}

// changeName identifies what a change revokes. A later change of the same name replaces
// an earlier one.
type changeName struct {
	kind         registry.Kind
	clientID, id string
}

func nameOf(c registry.Change) changeName {
	return changeName{c.Kind, c.ClientID, cmp.Or(c.TokenID, c.SecretID)}
}

type ledgerEntry struct {
	sequence int64
	expires  time.Time
	until    time.Time // see keepUntil
	pass     int       // the pass in which it was last seen in the feed
}

type orderedName struct {
	name     changeName
	sequence int64
}

// maxLedger is how many revocations the ledger keeps, in about 15 MB.
const maxLedger = 1 << 16

func newLedger() *ledger {
	return &ledger{entries: map[changeName]*ledgerEntry{}, limit: maxLedger, wake: make(chan struct{}, 1)}
}

// add keeps a change that is in the feed.
func (l *ledger) add(c registry.Change) {
	if c.Kind == registry.ClientChanged {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	name := nameOf(c)
	e := l.entries[name]
	if e == nil {
		e = &ledgerEntry{}
		l.entries[name] = e
		l.order = append(l.order, orderedName{name, c.Sequence})
	}
	if c.Kind == registry.TokenRevoked || c.Sequence >= e.sequence {
		e.pass = l.pass
	}
	e.sequence = max(e.sequence, c.Sequence)
	if c.ExpiresAt.After(e.expires) {
		e.expires = c.ExpiresAt
	}
	if until := keepUntil(c, l.longest); until.After(e.until) {
		e.until = until
	}
	for len(l.entries) > l.limit {
		l.drop()
	}
}

// drop drops the oldest entry.
func (l *ledger) drop() {
	oldest := l.order[0]
	l.order = l.order[1:]
	e := l.entries[oldest.name]
	switch {
	case e == nil:
	case e.sequence > oldest.sequence: // a later change has replaced it
		l.order = append(l.order, orderedName{oldest.name, e.sequence})
	default:
		delete(l.entries, oldest.name)
		l.dropped.sequence = max(l.dropped.sequence, e.sequence)
		if e.until.After(l.dropped.until) {
			l.dropped.until = e.until
		}
	}
}

// setBack begins a pass: an entry that is not seen in the feed from now on is not in it.
func (l *ledger) setBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pass++
}

// lacking returns what the feed lacks, in the order in which to restore it: changes that
// revoke most come first. Within a kind the order is random, because other replicas
// restore them too.
func (l *ledger) lacking() []registry.Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	var all []registry.Change
	for name, e := range l.entries {
		if e.pass != l.pass && e.until.After(now) && !l.covered(name, e) {
			all = append(all, change(name, e))
		}
	}
	rand.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
	slices.SortStableFunc(all, func(a, b registry.Change) int { return cmp.Compare(rank(a.Kind), rank(b.Kind)) })
	return all
}

// covered reports whether a later cut-off also revokes what the entry revokes.
func (l *ledger) covered(name changeName, e *ledgerEntry) bool {
	if name.kind == registry.AllCutOff {
		return false
	}
	for _, wider := range []changeName{{kind: registry.AllCutOff}, {kind: registry.ClientCutOff, clientID: name.clientID}} {
		if by := l.entries[wider]; by != nil && wider != name && by.sequence > e.sequence {
			return true
		}
	}
	return false
}

// rank orders kinds by how much they revoke.
func rank(k registry.Kind) int {
	return slices.Index([]registry.Kind{registry.AllCutOff, registry.ClientCutOff, registry.SecretCutOff, registry.TokenRevoked}, k)
}

func change(name changeName, e *ledgerEntry) registry.Change {
	c := registry.Change{Kind: name.kind, ClientID: name.clientID, ExpiresAt: e.expires}
	if name.kind == registry.SecretCutOff {
		c.SecretID = name.id
	} else {
		c.TokenID = name.id
	}
	return c
}

// lacks reports whether the feed still lacks the change.
func (l *ledger) lacks(c registry.Change) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[nameOf(c)]
	return e != nil && e.pass != l.pass && !l.covered(nameOf(c), e)
}

// coverDropped adds a cut-off of all clients that the feed lacks, if the feed was set
// back to before a revocation that the ledger has dropped. to is the new end of the feed.
func (l *ledger) coverDropped(to int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped.sequence <= to || !l.dropped.until.After(time.Now()) {
		return
	}
	all := changeName{kind: registry.AllCutOff}
	if e := l.entries[all]; e != nil && e.sequence > l.dropped.sequence {
		return
	}
	until := time.Now().Add(registry.CutOffLifetime)
	l.entries[all] = &ledgerEntry{sequence: l.dropped.sequence, expires: until, until: until, pass: l.pass - 1}
	l.order = append(l.order, orderedName{all, l.dropped.sequence})
}

// sweep drops what has expired.
func (l *ledger) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	kept := make([]orderedName, 0, len(l.entries))
	entries := make(map[changeName]*ledgerEntry, len(l.entries))
	for _, o := range l.order {
		if e := l.entries[o.name]; e != nil && e.until.After(now) && entries[o.name] == nil {
			kept, entries[o.name] = append(kept, o), e
		}
	}
	l.order, l.entries = kept, entries
}
