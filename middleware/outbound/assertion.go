package outbound

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// Assertion is how a client authenticates with a signed token in place of a secret
// (RFC 7523, section 2.2). Make one with [PrivateKeyJWT], [WorkloadToken] or
// [AssertionFunc]. It prints without keys and tokens. The zero Assertion is none.
type Assertion struct {
	make     func(ctx context.Context, r assertionRequest) (string, error)
	signs    bool // it needs an audience
	mistaken error
}

// assertionRequest is what an assertion is made for.
type assertionRequest struct {
	clientID, audience string
	now                time.Time // by the server's clock, as far as it is known
}

const (
	// assertionType is the client_assertion_type (RFC 7523, section 2.2).
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

	// assertionTyp is the typ of a signed assertion (RFC 10070, section 4).
	assertionTyp = "client-authentication+jwt"

	// assertionLife is short, because each token request has an assertion of its own.
	assertionLife = time.Minute
)

func (a Assertion) zero() bool { return a.make == nil && a.mistaken == nil }

// PrivateKeyJWT returns the Assertion of the method private_key_jwt: for each token
// request, a new one is signed with the client's key, which may be in a KMS or an HSM.
// It lives for 1 min and is for the issuer alone; see Config.AssertionAudience.
//
// An empty alg means the algorithm of the key's curve, EdDSA for Ed25519, or PS256 for
// RSA. An empty kid means the SHA-256 thumbprint of the key (RFC 7638). The key set that
// the server has of this client must have the same kid.
func PrivateKeyJWT(key crypto.Signer, alg, kid string) Assertion {
	signer, err := newSigner(key, alg)
	if err == nil && kid != "" {
		signer, err = signer.Named(kid)
	}
	if err != nil {
		return Assertion{mistaken: fmt.Errorf("PrivateKeyJWT: %w", err)}
	}
	return Assertion{signs: true, make: func(_ context.Context, r assertionRequest) (string, error) {
		return signAssertion(signer, r)
	}}
}

// assertionClaims are those of RFC 7523, section 3.
type assertionClaims struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	ID        string `json:"jti"`
	IssuedAt  int64  `json:"iat"`
	ExpiresAt int64  `json:"exp"`
}

func signAssertion(signer *jose.Signer, r assertionRequest) (string, error) {
	payload, err := json.Marshal(assertionClaims{
		Issuer: r.clientID, Subject: r.clientID, Audience: r.audience, ID: rand.Text(),
		IssuedAt: r.now.Unix(), ExpiresAt: r.now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("outbound: the assertion: %w", err)
	}
	text, err := signer.Sign(assertionTyp, payload)
	if err != nil {
		return "", fmt.Errorf("outbound: the assertion: %w", err)
	}
	return text, nil
}

// AssertionFunc returns an Assertion of a func of the app, such as one that asks a
// cloud's metadata server for a token of this machine. It is called for each token
// request, also for one that is repeated because the server asked for a nonce. audience
// is Config.AssertionAudience, or Config.Issuer, or "". Its errors must not quote the
// assertion. It should return when its context ends.
func AssertionFunc(f func(ctx context.Context, audience string) (string, error)) Assertion {
	if f == nil {
		return Assertion{mistaken: errors.New("AssertionFunc: a nil func")}
	}
	return Assertion{make: func(ctx context.Context, r assertionRequest) (string, error) {
		return f(ctx, r.audience)
	}}
}

// text returns an assertion for one request.
func (a Assertion) text(ctx context.Context, c *callout, use *secretUse, r assertionRequest) (string, error) {
	text, err := callWithUse(ctx, c, use, func(ctx context.Context) (string, error) { return a.make(ctx, r) })
	if err == nil && text == "" {
		err = errors.New("outbound: the assertion is empty")
	}
	return text, err
}
