package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

const (
	issuerURL = "https://auth.example.com"
	audience  = "https://api.example.com"
	bearerIs  = "Bearer "

	fewClients = 32
)

// algorithms are those that every peer has.
var algorithms = []string{"ES256", "RS256", "EdDSA"}

// world has a key of one algorithm, and a real issuer that signs with it.
type world struct {
	alg    string
	signer crypto.Signer
	keys   *jwks.Keyring
	iss    *issuer.Issuer
	kid    string
}

func newWorld(alg string) (*world, error) {
	signer, err := newSigner(alg)
	if err != nil {
		return nil, fmt.Errorf("a key for %s: %w", alg, err)
	}
	keys, err := jwks.NewKeyring(signer)
	if err != nil {
		return nil, err
	}
	store, err := registry.NewMemory()
	if err != nil {
		return nil, err
	}
	iss, err := issuer.New(issuer.Config{Issuer: issuerURL, MaxGrantRate: -1, Keys: keys, Store: store})
	if err != nil {
		return nil, err
	}
	w := &world{alg: alg, signer: signer, keys: keys, iss: iss}
	token, err := w.token(claimsFor(0, 1, time.Now()))
	if err != nil {
		return nil, err
	}
	parsed, err := jose.Parse(token, 0)
	if err != nil {
		return nil, err
	}
	w.kid = parsed.KeyID()
	return w, nil
}

// Close ends what the issuer does in the background; nothing is left to save.
func (w *world) Close() { _ = w.iss.Close() }

func newSigner(alg string) (crypto.Signer, error) {
	switch alg {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "RS256":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "EdDSA":
		_, key, err := ed25519.GenerateKey(nil)
		return key, err
	}
	return nil, errors.ErrUnsupported
}

// claims are those of RFC 9068 that an access token must have.
type claims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Expiry   int64  `json:"exp"`
	IssuedAt int64  `json:"iat"`
	ID       string `json:"jti"`
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
}

// claimsFor returns the claims of the n-th token, of so many clients.
func claimsFor(n, clients int, now time.Time) claims {
	client := "client-" + strconv.Itoa(n%clients)
	return claims{
		Issuer: issuerURL, Subject: client, ClientID: client, Audience: audience,
		Expiry: now.Add(time.Hour).Unix(), IssuedAt: now.Unix(),
		ID: fmt.Sprintf("%022d", n), Scope: "orders:read orders:write",
	}
}

func (w *world) token(c claims) (string, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("claims: %w", err)
	}
	return w.keys.Sign(context.Background(), "at+jwt", payload)
}

// credentials are n Authorization headers, each with a token of its own, of some
// clients who take turns.
func (w *world) credentials(n int) ([]string, error) {
	list, now := make([]string, n), time.Now()
	for i := range list {
		token, err := w.token(claimsFor(i, fewClients, now))
		if err != nil {
			return nil, err
		}
		list[i] = bearerIs + token
	}
	return list, nil
}

// wrongSignature changes a credential's signature where nothing but verifying it
// can tell.
func wrongSignature(credential string) string {
	dot := strings.LastIndexByte(credential, '.')
	changed := byte('A')
	if credential[dot+1] == changed {
		changed = 'B'
	}
	return credential[:dot+1] + string(changed) + credential[dot+2:]
}

// unknownKey gives a credential another kid.
func unknownKey(alg, credential, kid string) string {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + alg + `","kid":"` + kid + `","typ":"at+jwt"}`))
	return bearerIs + header + credential[strings.IndexByte(credential, '.'):]
}
