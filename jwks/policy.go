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

// Policy is the timetable of a [Keyring]. Every field is optional. A policy of
// seconds works like one of months, so a rotation can be rehearsed.
//
// Replicas that share a key store should have the same policy, and clocks that
// differ by at most Skew. A replica does not take keys that were written in its
// future, and with a [ClockStore] one whose clock is off writes nothing. While a new
// policy is rolled out, the policy of the oldest replica counts until that one is replaced. So raise Retain, Announce and MaxAge
// everywhere before token lifetimes, and lower them after.
type Policy struct {
	// Algorithm of new keys: ES256 (default), ES384, ES512, EdDSA, Ed25519,
	// PS256, PS384, PS512, RS256, RS384 or RS512. After a change, a key of the
	// new algorithm is announced and takes over after Announce.
	Algorithm string

	// RotateEvery is how long a key signs. Default 30 days; at least Announce.
	RotateEvery time.Duration

	// Announce is how long a key is published before it signs. Default 24 h; at
	// least MaxAge + Poll + Skew, so that every verifier that obeys the
	// published max-age has the key before the first token it signs.
	Announce time.Duration

	// Retain is how long a key stays published after it stopped signing.
	// Default 24 h; at least the longest token lifetime + Skew, which
	// issuer.New checks.
	Retain time.Duration

	// MaxAge is the longest Cache-Control max-age of the published set, and so,
	// with Poll before it, how long a key dropped by an emergency
	// [Keyring.Rotate] can still be trusted. Default 5 min, at least 1 s. Some
	// verifiers limit how often they fetch: for less than 1 min, make sure that
	// yours obey ([Remote] does with a RemoteConfig.Cooldown of MaxAge/2).
	MaxAge time.Duration

	// Poll is the longest time between two polls of the key store by a replica.
	// Default MaxAge/2, at most 1 min.
	Poll time.Duration

	// Skew is the greatest difference between two replicas' clocks.
	// Default Announce/10, at most 1 min.
	Skew time.Duration

	// NewSigner and OpenSigner keep the private keys elsewhere, as in a KMS. Set
	// both or none. The key store then holds references and public keys.
	//
	// NewSigner makes a key for the algorithm, and returns its signer and a
	// reference of the caller's choice, such as the name of a KMS key. It is
	// called about once in RotateEvery. OpenSigner opens a reference, at a start
	// and for keys that another replica made. A signer of another key than the
	// stored public one is not used.
	//
	// Each call of OpenSigner, and each Sign of a signer, may take 5 s. One that
	// hangs makes Sign answer [ErrUnavailable]; the keys are published and verify
	// all the same, and [Keyring.Ready] says so. NewSigner may take 30 s, and what
	// it returns later is used the next time; after a failure it is called again
	// after a minute, then two, up to an hour. At most 64 calls of Sign run at a
	// time, one of OpenSigner for each reference, and one of NewSigner, which must
	// make another key each time. Each signature is verified, so a signer that
	// returns wrong ones makes Sign answer [ErrUnavailable] too. Keys of an older
	// store that holds private keys go on until they have rotated. Nothing deletes
	// keys in the KMS.
	NewSigner  func(ctx context.Context, alg string) (signer crypto.Signer, reference string, err error)
	OpenSigner func(ctx context.Context, reference string) (crypto.Signer, error)

	// Observe hears of each new signing key (event.OpRotateKey with its KeyID), of
	// a Rotate that failed, and of each change of the keyring's state
	// (event.OpKeyStore): a Reason and Err when something goes wrong, and no Reason
	// when all is well again. It runs in the goroutine of the caller or the poller,
	// so it must be quick, and it must be safe for concurrent use.
	Observe func(context.Context, Event)

	// Quiet turns off that these events go to slog.Default without Observe.
	Quiet bool
}

const (
	maxKeys      = 256                       // of a key set, as jose has it
	shortestTime = time.Millisecond          // half of it is a ticker's interval
	longestTime  = 50 * 365 * 24 * time.Hour // three of them fit a time.Duration
)

// withDefaults fills the policy in and refuses what cannot be kept.
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
		return p, fmt.Errorf("jwks: Policy.Announce is %v: write at least MaxAge + Poll + Skew = %v, or a key would sign before verifiers can have it", p.Announce, p.visible())
	}
	if p.RotateEvery < p.Announce {
		return p, fmt.Errorf("jwks: Policy.RotateEvery is %v: write at least Announce = %v", p.RotateEvery, p.Announce)
	}
	if p.Retain/p.RotateEvery > maxKeys/8 {
		return p, fmt.Errorf("jwks: Policy.Retain is %v: with RotateEvery = %v that publishes too many keys; write at most %v", p.Retain, p.RotateEvery, p.RotateEvery*(maxKeys/8))
	}
	return p, nil
}

// visible is how long after its announcement every verifier that obeys max-age
// has a key: a replica may learn of it Poll late, a verifier may have fetched
// from that replica just before, and their clocks differ.
func (p Policy) visible() time.Duration { return p.MaxAge + p.Poll + p.Skew }

// trustFor is how long a snapshot is acted on. A key that this replica has missed
// was announced after the snapshot was loaded and signs Announce later at the
// earliest, so until then the snapshot names the right key to sign with. A key
// that was dropped as compromised would be believed here as long: hence the hour.
func (p Policy) trustFor() time.Duration {
	return min(p.Announce-p.Skew, max(time.Hour, p.MaxAge+p.Poll))
}
