package jwks

import (
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// snapshot is a state that was read or written at a moment, in the forms that
// requests need. It is immutable.
type snapshot struct {
	state
	times    []times
	set      *jose.Set
	document []byte // the set, as published
	etag     string

	raw  []byte  // the blob of the state
	read reading // from before the store was read
}

func newSnapshot(s *state) (*snapshot, error) {
	keys := make([]*jose.Key, len(s.Keys))
	for i, k := range s.Keys {
		keys[i] = k.key
	}
	set, err := jose.NewSet(keys...)
	if err != nil {
		return nil, err
	}
	document, err := set.MarshalJSON()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(document)
	return &snapshot{
		state: *s, times: s.times(), set: set, document: document,
		etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`,
	}, nil
}

// lifetime returns how long after its read a snapshot can be used for a purpose.
type lifetime func(Policy) time.Duration

// The three lifetimes.
func trusted(p Policy) time.Duration     { return p.trustFor() }      // to sign and verify
func publishable(p Policy) time.Duration { return p.MaxAge + p.Poll } // to publish, and to call a key unknown
func polled(p Policy) time.Duration      { return p.Poll }            // no poll was missed

// fresh reports whether a snapshot is within a lifetime.
func (r *Keyring) fresh(s *snapshot, lifetime lifetime) bool {
	return r.store == nil || r.elapsed(s.read) < lifetime(r.policy)
}

// show makes a state the one that requests use.
func (r *Keyring) show(s *state, raw []byte, read reading) error {
	var next *snapshot
	if held := r.snapshot.Load(); held != nil && s == &held.state {
		again := *held
		next = &again
	} else {
		var err error
		if next, err = newSnapshot(s); err != nil {
			return err
		}
	}
	next.raw, next.read = raw, read
	r.snapshot.Store(next)
	return nil
}
