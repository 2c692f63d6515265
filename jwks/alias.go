package jwks

import (
	"context"
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

// Sign makes a compact JWS of the payload with the key that signs now.
func (r *Keyring) Sign(ctx context.Context, typ string, payload []byte) (string, error) {
	token, err := r.AppendSign(ctx, nil, typ, payload)
	return string(token), err
}

// AppendSign is [Keyring.Sign], appending to dst. With an error it gives nil.
func (r *Keyring) AppendSign(ctx context.Context, dst []byte, typ string, payload []byte) ([]byte, error) {
	key, err := r.signing(ctx)
	if err != nil {
		return nil, err
	}
	return key.AppendSign(dst, typ, payload)
}
