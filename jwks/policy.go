package jwks

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// Policy is the timetable of a [Keyring]. Every field is optional. Short times work
// like long ones, so a rotation can be rehearsed in seconds.
//
// Replicas that share a key store should have the same policy, and clocks that differ
// by at most Skew. During the rollout of a new policy the oldest replica's policy
// counts. So raise Retain, Announce and MaxAge everywhere before you raise token
// lifetimes, and lower them afterwards.
//
// A replica does not take keys that were written in its future. With a [ClockStore],
// a replica whose clock is off writes nothing.
type Policy struct {
	// Algorithm is the algorithm of new keys: ES256 (default), ES384, ES512, EdDSA,
	// Ed25519, PS256, PS384, PS512, RS256, RS384 or RS512. After a change, a key of
	// the new algorithm is announced, and takes over after Announce.
	Algorithm string

	// RotateEvery is how long a key signs. Default 30 days; at least Announce.
	RotateEvery time.Duration

	// Announce is how long a key is published before it signs. Default 24 h; at least
	// MaxAge + Poll + Skew. Then every verifier that obeys the published max-age has
	// the key before it sees a token of it.
	Announce time.Duration

	// Retain is how long a key stays published after it stopped signing. Default
	// 24 h; at least the longest token lifetime + Skew, which issuer.New checks.
	Retain time.Duration

	// MaxAge is the longest Cache-Control max-age of the published set. Default
	// 5 min, at least 1 s. After an emergency [Keyring.Rotate] a verifier may trust the
	// dropped key for Poll + MaxAge. Some verifiers limit how often they fetch: below
	// 1 min, make sure that yours obey. A [Remote] does with a RemoteConfig.Cooldown
	// of MaxAge/2.
	MaxAge time.Duration

	// Poll is the longest time between two polls of the key store by a replica.
	// Default MaxAge/2, at most 1 min.
	Poll time.Duration

	// Skew is the greatest difference between the clocks of two replicas. Default
	// Announce/10, at most 1 min.
	Skew time.Duration

	// NewSigner and OpenSigner keep the private keys elsewhere, such as in a KMS. Set
	// both or none. The key store then holds references and public keys.
	//
	// NewSigner makes a key for the algorithm. It returns the key's signer and a
	// reference of your choice, such as the name of the KMS key. It is called about
	// once in RotateEvery, and must make another key each time. OpenSigner opens a
	// reference: at a start, and when another replica made the key. Its signer is
	// used only if it has the stored public key.
	//
	// NewSigner may take 30 s. A key that it returns later is used the next time.
	// After a failure it is called again after 1 min, then 2 min, and so on, up to
	// 24 h or RotateEvery, whichever is shorter. If it makes a key and then fails, it
	// should delete that key. Nothing here deletes keys in a KMS.
	//
	// Each call of OpenSigner, and each Sign of a signer, may take 5 s. Each
	// signature is verified. While the signing key's signer hangs, fails or returns
	// wrong signatures, Sign returns [ErrUnavailable]; the keys are still published
	// and still verify, and [Keyring.Ready] reports it. At most 64 calls of Sign run
	// at once, one of NewSigner, and one of OpenSigner for each reference.
	//
	// Private keys that are already in the store stay in use until they have rotated.
	NewSigner  func(ctx context.Context, alg string) (signer crypto.Signer, reference string, err error)
	OpenSigner func(ctx context.Context, reference string) (crypto.Signer, error)

	// Observe receives an event for each new signing key (event.OpRotateKey with its
	// KeyID), for a failed Rotate, and for each change of the keyring's state
	// (event.OpKeyStore). A Reason and Err say what is wrong; an event without a
	// Reason means that all is well again. Observe runs in the goroutine of the
	// caller or of the poller. It must be quick, must be safe for concurrent use, and
	// must not call Close.
	Observe func(context.Context, Event)

	// Quiet turns the log off. Without Observe, changes of the keyring's state go to
	// [slog.Default].
	Quiet bool
}

const (
	maxKeys      = 256                       // in a key set: the limit of package jose
	shortestTime = time.Millisecond          // half of it is the interval of a ticker
	longestTime  = 50 * 365 * 24 * time.Hour // the sum of three fits a time.Duration
)

// withDefaults returns the policy with its defaults, or an error for a policy that
// cannot be kept.
func (p Policy) withDefaults() (Policy, error) {
	p.Algorithm = cmp.Or(p.Algorithm, "ES256")
	p.RotateEvery = cmp.Or(p.RotateEvery, 30*24*time.Hour)
	p.Announce = cmp.Or(p.Announce, 24*time.Hour)
	p.Retain = cmp.Or(p.Retain, 24*time.Hour)
	p.MaxAge = cmp.Or(p.MaxAge, 5*time.Minute)
	p.Poll = cmp.Or(p.Poll, min(p.MaxAge/2, time.Minute))
	p.Skew = cmp.Or(p.Skew, min(p.Announce/10, time.Minute))
	if !slices.Contains(jose.Algorithms(), p.Algorithm) {
		return p, fmt.Errorf("jwks: Policy.Algorithm %q: write one of %s", p.Algorithm, strings.Join(jose.Algorithms(), ", "))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"RotateEvery", p.RotateEvery}, {"Announce", p.Announce}, {"Retain", p.Retain},
		{"MaxAge", p.MaxAge}, {"Poll", p.Poll}, {"Skew", p.Skew},
	} {
		if d.value < shortestTime || d.value > longestTime {
			return p, fmt.Errorf("jwks: Policy.%s is %v: write a duration from %v to %v, or leave it out", d.name, d.value, shortestTime, longestTime)
		}
	}
	if (p.NewSigner == nil) != (p.OpenSigner == nil) {
		return p, errors.New("jwks: Policy.NewSigner and Policy.OpenSigner belong together: set both, or none")
	}
	if p.MaxAge < time.Second {
		return p, fmt.Errorf("jwks: Policy.MaxAge is %v: write at least 1s, the unit of max-age", p.MaxAge)
	}
	if p.Announce < p.visible() {
		return p, fmt.Errorf("jwks: Policy.Announce is %v: write at least MaxAge + Poll + Skew = %v, or a key signs before verifiers have it", p.Announce, p.visible())
	}
	if p.RotateEvery < p.Announce {
		return p, fmt.Errorf("jwks: Policy.RotateEvery is %v: write at least Announce = %v", p.RotateEvery, p.Announce)
	}
	if p.Retain/p.RotateEvery > maxKeys/8 {
		return p, fmt.Errorf("jwks: Policy.Retain is %v: with RotateEvery = %v that publishes too many keys; write at most %v", p.Retain, p.RotateEvery, p.RotateEvery*(maxKeys/8))
	}
	return p, nil
}

// visible is how long after its announcement a key is known to every verifier that
// obeys max-age. A replica may learn of the key Poll later, a verifier may have
// fetched from that replica just before, and their clocks may differ by Skew.
func (p Policy) visible() time.Duration { return p.MaxAge + p.Poll + p.Skew }

// trustFor is how long a replica acts on a snapshot. A key that it does not know was
// announced after the snapshot was read, and signs Announce later at the earliest.
// Until then the snapshot names the right signing key. The limit of an hour bounds
// how long this replica trusts a key that another one dropped.
func (p Policy) trustFor() time.Duration {
	return min(p.Announce-p.Skew, max(time.Hour, p.MaxAge+p.Poll))
}
