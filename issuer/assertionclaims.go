package issuer

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

const (
	assertionLeeway = 10 * time.Second // that clocks may differ (FAPI 2.0 Security Profile, section 5.3.2.1)
	assertionLife   = 5 * time.Minute  // the longest
)

// assertionClaims are the claims of private_key_jwt that are used later.
type assertionClaims struct {
	id      string // jti
	expires time.Time
}

// readAssertion checks the claims of an assertion that a client has signed (RFC 7523,
// section 3). It knows nothing of the client, so a refusal says nothing about it.
func readAssertion(claims *jose.Object, issuer string, now time.Time) (assertionClaims, error) {
	// The aud is the issuer and nothing else (RFC 10070). The URL of the token endpoint,
	// or a list, lets a hostile server use here what was made for it.
	audience, _, err := claims.Strings("aud")
	if err != nil {
		return assertionClaims{}, err
	}
	if len(audience) != 1 || audience[0] != issuer {
		return assertionClaims{}, fmt.Errorf("issuer: aud of the assertion is %.200q: it must be the issuer identifier %q alone", audience, issuer)
	}
	id, _, err := claims.String("jti")
	if err != nil {
		return assertionClaims{}, err
	}
	if id == "" {
		return assertionClaims{}, errNoJTI
	}
	expires, ok, err := claims.Time("exp")
	if err != nil {
		return assertionClaims{}, err
	}
	if !ok {
		return assertionClaims{}, errNoExpiry
	}
	issued, hasIssued, err := claims.Time("iat")
	if err != nil {
		return assertionClaims{}, err
	}
	notBefore, _, err := claims.Time("nbf")
	if err != nil {
		return assertionClaims{}, err
	}
	latest := now.Add(assertionLeeway)
	switch {
	case !now.Before(expires.Add(assertionLeeway)):
		err = errAssertionExpired
	case issued.After(latest), notBefore.After(latest):
		err = errAssertionAhead
	case expires.After(latest.Add(assertionLife)), hasIssued && expires.Sub(issued) > assertionLife:
		err = errAssertionLong
	}
	return assertionClaims{id, expires}, err
}

// isAssertionType reports whether typ is one that an assertion may have. Access tokens,
// DPoP proofs and all else that has a typ of its own are no assertions (RFC 8725, section
// 3.11).
func isAssertionType(typ string, explicit bool) bool {
	const prefix = "application/" // may be left out (RFC 7515, section 4.1.9)
	if len(typ) > len(prefix) && strings.EqualFold(typ[:len(prefix)], prefix) {
		typ = typ[len(prefix):]
	}
	return strings.EqualFold(typ, "client-authentication+jwt") || !explicit && (typ == "" || strings.EqualFold(typ, "JWT"))
}

// Private causes: Observe gets them, the client does not.
var (
	errNoJTI            = errors.New("issuer: jti of the assertion is missing or empty")
	errNoExpiry         = errors.New("issuer: exp of the assertion is missing")
	errAssertionExpired = errors.New("issuer: the assertion has expired")
	errAssertionAhead   = errors.New("issuer: iat or nbf of the assertion is more than 10 s in the future: check the clocks")
	errAssertionLong    = errors.New("issuer: the assertion is valid for more than 5 minutes")
	errWrongType        = errors.New("issuer: typ of the assertion is not accepted: write client-authentication+jwt")
)
