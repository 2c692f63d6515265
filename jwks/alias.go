package jwks

import (
	"context"
	"crypto"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// The names that packages issuer, middleware and example use until they name
// package jose themselves. This file goes with that change.

type (
	// Claims is [jose.Object].
	Claims = jose.Object
	// JWS is [jose.JWS].
	JWS = jose.JWS
	// Key is [jose.Key].
	Key = jose.Key
)

// Parse is [jose.Parse].
func Parse(token string, maxBytes int) (JWS, error) { return jose.Parse(token, maxBytes) }

// ParseClaims is [jose.ParseObject].
func ParseClaims(doc string) (Claims, error) { return jose.ParseObject(doc) }

// Stands reports false: ask [Source.Key].
func Stands(Source, *Key, time.Time) bool { return false }

// AppendSign is [Keyring.Sign], appending to dst. With an error it returns nil.
func (r *Keyring) AppendSign(ctx context.Context, dst []byte, typ string, payload []byte) ([]byte, error) {
	token, err := r.Sign(ctx, typ, payload)
	if err != nil {
		return nil, err
	}
	return append(dst, token...), nil
}

// Static is [NewKeyring].
func Static(signers ...crypto.Signer) (*Keyring, error) { return NewKeyring(signers...) }

// Discover is [NewIssuerRemote].
func Discover(issuer string, c RemoteConfig) *Remote { return NewIssuerRemote(issuer, c) }
