package jose

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// This file alone knows jwx, which maps between a JWK (RFC 7517) and the keys of
// the standard library. To move to another version of jwx, edit this file.

// readPublic reads the key of a public JWK.
func readPublic(raw []byte) (crypto.PublicKey, error) {
	key, err := jwk.ParseKey(raw)
	if err != nil {
		return nil, err
	}
	if p, ok := key.(jwk.RSAPublicKey); ok && len(bytes.TrimLeft(p.E(), "\x00")) > 4 {
		return nil, errors.New("the RSA exponent is too large") // jwx keeps its last 64 bits
	}
	var public any
	if err := key.Raw(&public); err != nil {
		return nil, err
	}
	if p, ok := public.(*ed25519.PublicKey); ok {
		return *p, nil
	}
	return public, nil
}

// readPrivate reads the key of a private JWK. Its errors hide those of jwx, which
// may quote the key.
func readPrivate(raw []byte) (crypto.Signer, error) {
	key, err := jwk.ParseKey(raw)
	if err != nil {
		return nil, errors.New("not a JWK")
	}
	var private any
	if err := key.Raw(&private); err != nil {
		return nil, errors.New("not a usable JWK")
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, errors.New("not a private key")
	}
	return signer, nil
}

// writeJWK writes a public or private key as a JWK with the given further
// members. The same input gives the same bytes.
func writeJWK(key any, members map[string]string) (json.RawMessage, error) {
	written, err := jwk.FromRaw(key)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if err := written.Set(name, members[name]); err != nil {
			return nil, err
		}
	}
	return json.Marshal(written)
}
