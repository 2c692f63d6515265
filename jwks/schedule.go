package jwks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// Policy is the timetable of a [Keyring]. Every field is optional. A policy of
// seconds is as good as one of months, so a rotation can be rehearsed.
//
// Replicas that share a key store should have the same policy, and must have
// clocks that differ by at most Skew: a replica refuses keys that were written in
// what to it is the future. Where a new policy is rolled out, it is that of the
// oldest replica that counts until the last one is replaced; so raise Retain,
// Announce and MaxAge everywhere before token lifetimes, and lower them after.
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
	// [Keyring.Rotate] can still be trusted. Default 5 min, at least 1 s. Verifiers are known not to fetch too
	// often: for less than 1 min, see to it that they obey (for [Remote], with
	// RemoteConfig.Cooldown of MaxAge/2).
	MaxAge time.Duration

	// Poll is the longest a replica goes on without a look at the key store.
	// Default MaxAge/2, at most 1 min.
	Poll time.Duration

	// Skew is the greatest difference between two replicas' clocks.
	// Default Announce/10, at most 1 min.
	Skew time.Duration
}

const (
	maxKeys      = 256                       // of a key set, as jose has it
	shortestTime = time.Millisecond          // half of it is a ticker's
	longestTime  = 50 * 365 * 24 * time.Hour // three of them are a time.Duration
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

// times are the two moments of a key's life that are decided ahead. It signs
// until the next key of the list does, and is gone Retain after that. A key that
// is published and has no times yet was made a moment ago: Announced is set by
// the first replica that finds it in the store, so however long the write took,
// the key was there for all to read by then.
type times struct {
	Announced time.Time `json:"announced,omitzero"`
	Signs     time.Time `json:"signs,omitzero"`
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// The functions below are the timetable: they take the keys in the order in
// which they sign, the policy and a moment, and have no other input.

// signingAt is the index of the key that signs, -1 when none may.
func signingAt(keys []times, now time.Time) int {
	for i, k := range slices.Backward(keys) {
		if !k.Signs.IsZero() && !k.Signs.After(now) {
			return i
		}
	}
	return -1
}

// goneAt counts the keys, from the front, whose retention is over.
func goneAt(keys []times, p Policy, now time.Time) int {
	n := 0
	for n+1 < len(keys) {
		if next := keys[n+1].Signs; next.IsZero() || next.Add(p.Retain).After(now) {
			break
		}
		n++
	}
	return n
}

// nextDue reports whether a further key is to be made, so that one is always
// announced for Announce when the last of the list starts to sign.
func nextDue(keys []times, p Policy, now time.Time) bool {
	if len(keys) == 0 {
		return true
	}
	last := keys[len(keys)-1].Signs
	return !last.IsZero() && !now.Before(last.Add(-p.Announce))
}

// announceAt gives the last key of the list its times, if it has none. A key of
// another algorithm than the one before it does not wait for its turn.
func announceAt(keys []times, p Policy, now time.Time, otherAlgorithm bool) (times, bool) {
	n := len(keys) - 1
	if n < 0 || !keys[n].Announced.IsZero() {
		return times{}, false
	}
	t := times{Announced: now, Signs: now.Add(p.Announce)}
	if n > 0 && !otherAlgorithm {
		t.Signs = later(t.Signs, keys[n-1].Signs.Add(p.RotateEvery))
	}
	return t, true
}

// dropAt is the list after the signing key was found compromised: it is gone,
// and the next one signs as soon as every verifier can have it, which is now
// unless it was announced minutes ago.
func dropAt(keys []times, p Policy, now time.Time) (dropped int, rest []times) {
	dropped = signingAt(keys, now)
	for i, k := range keys {
		if i == dropped {
			continue
		}
		if i == dropped+1 && k.Signs.After(now) {
			k.Signs = now
			if seen := k.Announced.Add(p.visible()); seen.After(now) {
				k.Signs = seen
			}
		}
		rest = append(rest, k)
	}
	return dropped, rest
}

// changesAt is the next moment after now at which the published set changes by
// plan: a key is made or gone. It is zero when none is planned.
func changesAt(keys []times, p Policy, now time.Time) time.Time {
	var next time.Time
	consider := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for i, k := range keys {
		if k.Signs.IsZero() {
			continue
		}
		if i > 0 {
			consider(k.Signs.Add(p.Retain)) // the key before this one is gone
		}
		if i == len(keys)-1 {
			consider(k.Signs.Add(-p.Announce)) // the key after it is made
		}
	}
	return next
}
