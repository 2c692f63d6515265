package jwks

import (
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// snapshot is a state as it was read or written at a moment, in the forms that
// requests need. It is immutable.
type snapshot struct {
	state
	times    []times
	set      *jose.Set
	document []byte // the set, as published
	etag     string

	raw    []byte    // the blob of the state
	loaded time.Time // before the read

	// Deadlines, on the clock of this machine.
	trustedUntil   time.Time // then it no longer signs or verifies
	publishedUntil time.Time // then no verifier may still use it
	polledUntil    time.Time // then the store should have been polled again
}

// forever is the deadline of a snapshot without a store.
var forever = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

func newSnapshot(s *state, trusted, published, polled time.Time) (*snapshot, error) {
	keys := make([]*jose.Key, len(s.Keys))
	for i, k := range s.Keys {
		keys[i] = k.Key()
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
		etag:         `"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`,
		trustedUntil: trusted, publishedUntil: published, polledUntil: polled,
	}, nil
}

// The three deadlines that a caller can ask for.
func (s *snapshot) trusted() time.Time     { return s.trustedUntil }
func (s *snapshot) publishable() time.Time { return s.publishedUntil }
func (s *snapshot) polled() time.Time      { return s.polledUntil }

// show makes a state the one that requests see.
func (r *Keyring) show(s *state, raw []byte, loaded time.Time) error {
	p, read := r.policy, loaded.Add(-r.skew)
	next, err := newSnapshot(s, read.Add(p.trustFor()), read.Add(p.MaxAge+p.Poll), read.Add(p.Poll))
	if err != nil {
		return err
	}
	next.raw, next.loaded = raw, loaded
	r.snapshot.Store(next)
	return nil
}
