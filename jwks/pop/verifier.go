package pop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

const (
	defaultMaxAge   = time.Minute
	longestMaxAge   = 10 * time.Minute
	defaultLeeway   = 10 * time.Second
	longestLeeway   = time.Minute
	defaultCapacity = 1 << 20
	perKeyShare     = 8
)

// ReplayFunc returns true for the first call with the scope and id, and false for every
// other call until the given time, over all replicas, in one atomic step. An error means
// that it cannot tell; the proof is then refused. It has the form of the method Once of
// a store of issuer/registry.
//
// The scope has the thumbprint of the key. The id is a hash of 43 characters. The time is
// a minute later than this process needs, because the store's clock may be ahead. The
// context ends after 3 s.
type ReplayFunc func(ctx context.Context, scope, id string, until time.Time) (first bool, err error)

// Config configures a [Verifier]. The zero Config is the safe default for one replica.
type Config struct {
	// Replay finds proofs that were used before. Nil means a memory of this process.
	// Then a proof can be replayed once to each other replica, within MaxAge.
	Replay ReplayFunc
	// Capacity is how many proofs the memory holds, 0 for 1 048 576, about 100 MB. A
	// proof is held for about MaxAge + 3 × Leeway, plus a quarter. A full memory refuses
	// every proof, with [ErrUnavailable]. One client may fill half of it. Only without
	// Replay.
	Capacity int
	// PerKey is how many of these may be of one key, 0 for an eighth of Capacity. Further
	// ones are refused with [ErrUnavailable]. Only without Replay.
	PerKey int
	// Nonces are the server's nonces; see [NewNonces]. Nil means that it has none, and
	// the nonce in a proof is ignored. Otherwise clients get one, and a nonce in a proof
	// must be valid.
	Nonces *Nonces
	// RequireNonce refuses a proof without a nonce, so nobody can make proofs in advance
	// and use them later. The first request of a client then costs a second one. It
	// needs Nonces.
	RequireNonce bool
	// MaxAge is how old a proof may be by its iat, 0 for 1 min, at most 10 min.
	MaxAge time.Duration
	// Leeway is how far clocks may differ, 0 for 10 s, at most 1 min.
	Leeway time.Duration
	// Algorithms are those that a proof may have. Nil means ES256, EdDSA, Ed25519 and
	// PS256, those of the FAPI 2.0 Security Profile. A proof brings its own key, so its
	// sender chooses what its check costs: ES512 takes 30 times as long as ES256.
	Algorithms []string
}

// Verifier checks DPoP proofs (RFC 9449, section 4.3). It is safe for concurrent use.
// The zero Verifier refuses everything.
type Verifier struct {
	algorithms   []string
	replay       ReplayFunc
	memory       *memory
	keys         keyCache
	nonces       *Nonces
	requireNonce bool
	maxAge       time.Duration
	leeway       time.Duration
}

// NewVerifier makes a Verifier. It refuses a Config that contradicts itself.
func NewVerifier(c Config) (*Verifier, error) {
	wrong := func(field, write string) (*Verifier, error) {
		return nil, fmt.Errorf("pop: Config.%s: %s", field, write)
	}
	switch {
	case c.MaxAge < 0 || c.MaxAge > longestMaxAge || c.MaxAge > 0 && c.MaxAge < time.Second:
		return wrong("MaxAge", "write 1 s to 10 min, or 0 for 1 min")
	case c.Leeway < 0 || c.Leeway > longestLeeway:
		return wrong("Leeway", "write at most 1 min, or 0 for 10 s")
	case c.RequireNonce && c.Nonces == nil:
		return wrong("RequireNonce", "set Nonces too")
	case c.Nonces != nil && c.Nonces.Current() == "":
		return wrong("Nonces", "make them with NewNonces")
	case c.Replay != nil && (c.Capacity != 0 || c.PerKey != 0):
		return wrong("Capacity", "Capacity and PerKey are of the memory, which Replay replaces: leave them 0")
	case c.Capacity < 0:
		return wrong("Capacity", "write a positive number, or 0 for 1048576")
	}
	capacity := cmp.Or(c.Capacity, defaultCapacity)
	perKey := cmp.Or(c.PerKey, max(1, capacity/perKeyShare))
	if perKey < 0 || perKey > capacity {
		return wrong("PerKey", "write 1 to Capacity, or 0 for an eighth of it")
	}
	v := &Verifier{
		algorithms: slices.Clone(c.Algorithms), replay: c.Replay, nonces: c.Nonces, requireNonce: c.RequireNonce,
		maxAge: cmp.Or(c.MaxAge, defaultMaxAge), leeway: cmp.Or(c.Leeway, defaultLeeway),
	}
	if c.Algorithms == nil {
		v.algorithms = []string{"ES256", "EdDSA", "Ed25519", "PS256"}
	}
	for _, alg := range v.algorithms {
		if !slices.Contains(jose.Algorithms(), alg) {
			return wrong("Algorithms", fmt.Sprintf("%.40q is not one of %s", alg, strings.Join(jose.Algorithms(), ", ")))
		}
	}
	if len(v.algorithms) == 0 {
		return wrong("Algorithms", "write at least one, or nil for the default")
	}
	if v.replay == nil {
		v.memory = newMemory(capacity, perKey, v.maxAge+3*v.leeway)
	}
	return v, nil
}

// Algorithms returns the algorithms that a proof may have, for the parameter algs of a
// challenge (RFC 9449, section 7.1) and for dpop_signing_alg_values_supported of
// metadata (section 5.1).
func (v *Verifier) Algorithms() []string {
	if v == nil {
		return nil
	}
	return slices.Clone(v.algorithms)
}

var errNotMade = errors.New("the Verifier was not made by NewVerifier")
