package service

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/echo-m2m/m2m/jwks/pop"
)

// dpop reads DPOP_NONCES: whether a proof has a nonce of the server.
func dpop(c *pop.Config) error {
	text := env("DPOP_NONCES", "optional")
	switch text {
	case "off":
		return nil
	case "required":
		c.RequireNonce = true
	case "optional":
	default:
		return fmt.Errorf(`DPOP_NONCES=%q: write required, optional or off`, text)
	}
	secret, err := nonceSecret()
	if err == nil {
		c.Nonces, err = pop.NewNonces(secret)
	}
	return err
}

// nonceSecret returns what nonces are made from, on which replicas must agree:
// DPOP_NONCE_SECRET, or a key derived from the first key of KEY_ENCRYPTION_KEY. With
// neither it is random, for one process alone.
func nonceSecret() ([]byte, error) {
	if text := os.Getenv("DPOP_NONCE_SECRET"); text != "" {
		secret, err := hex.DecodeString(text)
		if err != nil || len(secret) < 32 { // the cause would quote digits of the secret
			return nil, errors.New("DPOP_NONCE_SECRET: write 64 hex digits, such as `openssl rand -hex 32` prints, the same at every replica")
		}
		return secret, nil
	}
	if os.Getenv("KEY_ENCRYPTION_KEY") != "" {
		keys, err := KeyEncryptionKeys()
		if err != nil {
			return nil, err
		}
		return hkdf.Key(sha256.New, keys[0], nil, "m2m example DPoP nonces", 32)
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails
	return secret, nil
}
