package jwks

import (
	"context"
	"crypto"
	_ "crypto/sha512" // for the thumbprint and the 384 and 512 bit algorithms
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// ErrUnknownKey is a [Source]'s answer for a key id that is not in its current
// set. The token is not valid.
var ErrUnknownKey = errors.New("jwks: unknown key")

// ErrUnavailable is the answer when there is no key set that can be trusted
// now, or no key that may sign. It says nothing about a token: answer 503, not
// 401.
var ErrUnavailable = errors.New("jwks: keys unavailable")

// Source finds the public key of a token. [Keyring] and [Remote] are Sources;
// so is anything with this one method.
//
// Key returns an error that is [ErrUnknownKey] when the set is current and has
// no key of that id, [ErrUnavailable] when there is no trustworthy set, or the
// context's error. It returns the same pointer as long as the key stands in the
// set, so that a verifier can ask "is the key I used still current" by
// comparing pointers, or, more quickly, [Stands]. It must be safe for concurrent
// use.
type Source interface {
	Key(ctx context.Context, kid string) (*Key, error)
}

// Stands reports whether the source would give this key, which it gave before,
// again at once. now is the time as the caller has just read it, with time.Now: a
// verifier that needs the time anyway reads the clock once, not twice. False says
// nothing but "ask [Source.Key]", as does every Source that is not of this package.
func Stands(source Source, key *Key, now time.Time) bool {
	if key == nil {
		return false
	}
	switch s := source.(type) { // by type, not by a method, which one that wraps ours would inherit
	case *Keyring:
		return s.stands(key, now)
	case *Remote:
		return s.stands(key, now)
	}
	return false
}

// Whoever has a key of r got it from Key, which has started poll.
func (r *Keyring) stands(key *Key, now time.Time) bool {
	v := r.view.Load()
	if r.store != nil && (r.stopped.Err() != nil || !r.here(now).Before(v.trusted)) {
		return false
	}
	for i := range v.Keys {
		if v.Keys[i].Key == key {
			return true
		}
	}
	return false
}

func (r *Remote) stands(key *Key, now time.Time) bool {
	s := r.current.Load()
	return s != nil && now.Before(s.until) && s.set.keys[key.id] == key
}

// Key is the public half of one signing key. It has one algorithm, whatever a
// token says (RFC 8725 §3.1). It is immutable.
type Key struct {
	id     string
	alg    *algorithm
	public crypto.PublicKey
}

// ID is the key id (kid). This library's own keys use the RFC 7638 SHA-256
// thumbprint.
func (k *Key) ID() string { return k.id }

// Algorithm is the only JWS algorithm the key verifies, such as "ES256".
func (k *Key) Algorithm() string { return k.alg.name }

// Public is the key itself: an *ecdsa.PublicKey, ed25519.PublicKey or
// *rsa.PublicKey.
func (k *Key) Public() crypto.PublicKey { return k.public }

// newKey makes a Key of a public key. An empty alg means the key's default, an
// empty kid its thumbprint.
func newKey(public crypto.PublicKey, alg, kid string) (*Key, error) {
	if alg == "" {
		alg = defaultAlgorithm(public)
	}
	a := algorithms[alg]
	if a == nil {
		return nil, fmt.Errorf("no usable algorithm (%q) for a %T", alg, public)
	}
	if err := a.fits(public); err != nil {
		return nil, err
	}
	if kid == "" {
		var err error
		if kid, err = thumbprint(public); err != nil {
			return nil, err
		}
	}
	return &Key{id: kid, alg: a, public: public}, nil
}

// thumbprint is the RFC 7638 SHA-256 thumbprint of a public key, base64url.
func thumbprint(public crypto.PublicKey) (string, error) {
	key, err := jwk.FromRaw(public)
	if err != nil {
		return "", err
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}
