package middleware

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// Confirmation is what an access token is bound to: its claim cnf (RFC 7800). A guard
// lets a request with such a token in only if the request proves the key. At least one
// field is set. If both are, both were proven.
type Confirmation struct {
	// KeyThumbprint is jkt (RFC 9449, section 6.1): the thumbprint of the client's DPoP
	// key. "" if the token is bound to none.
	KeyThumbprint string

	// CertificateThumbprint is x5t#S256 (RFC 8705, section 3.1): the thumbprint of the
	// client's certificate. "" if the token is bound to none.
	CertificateThumbprint string
}

// The members of cnf that can be proven here.
const (
	memberKey         = "jkt"
	memberCertificate = "x5t#S256"
)

// confirmation reads cnf. It is an error if there is anything in it that this Bearer cannot
// check: a token that is bound in a way that nobody checks is not a bearer token.
func (b *Bearer) confirmation(claims *jose.Object) (*Confirmation, error) {
	raw, _ := claims.Raw("cnf")
	object, err := jose.ParseObject(string(raw))
	if err != nil {
		return nil, fmt.Errorf("middleware: cnf: %w", err)
	}
	var members map[string]any
	if err := object.Unmarshal(&members); err != nil {
		return nil, fmt.Errorf("middleware: cnf: %w", err)
	}
	bound := &Confirmation{}
	for name, value := range members {
		thumbprint, _ := value.(string)
		switch {
		case name == memberKey && b.dpop != nil:
			bound.KeyThumbprint = thumbprint
		case name == memberCertificate && b.certificates != nil:
			bound.CertificateThumbprint = thumbprint
		default:
			return nil, fmt.Errorf("middleware: cnf: the token is sender-constrained by %.40q, which is not checked here", name)
		}
		if !isThumbprint(thumbprint) {
			return nil, fmt.Errorf("middleware: cnf: the token is sender-constrained by %q, which is not the SHA-256 of a key", name)
		}
	}
	if *bound == (Confirmation{}) {
		return nil, errors.New("middleware: cnf: the token is sender-constrained, and cnf names no key")
	}
	return bound, nil
}

// isThumbprint reports whether a text is a SHA-256 in base64url, in its one spelling.
func isThumbprint(text string) bool {
	var sum [33]byte
	if len(text) != base64.RawURLEncoding.EncodedLen(32) {
		return false
	}
	n, err := base64.RawURLEncoding.Strict().Decode(sum[:], []byte(text))
	return err == nil && n == 32
}

// confirm checks that the request proves what its token is bound to. The token has been
// verified. dpop says that it was sent with the scheme DPoP. The proof comes last, because
// it is used up, unless w is nil.
func (b *Bearer) confirm(w http.ResponseWriter, r *http.Request, v *verified, dpop bool) *Error {
	switch bound := v.bound; {
	case bound == nil:
		return unbound()
	case bound.KeyThumbprint != "" && !dpop:
		// "the protected resource MUST [...] reject" it (RFC 9449, section 7.2).
		return unproven("send this access token with the scheme DPoP and a proof", errNotDPoP)
	case bound.KeyThumbprint == "" && dpop:
		return unproven("send this access token with the scheme Bearer: it is bound to a certificate alone", errNoKey)
	case bound.CertificateThumbprint != "":
		if e := b.certificates.check(r, bound.CertificateThumbprint); e != nil {
			return e
		}
	}
	if v.bound.KeyThumbprint == "" {
		return nil
	}
	return b.checkProof(w, r, v)
}

// proven reports whether a guard of this Bearer further out has checked what the token is
// bound to. Its proof is used up. There may be guards of others in between.
func (b *Bearer) proven(ctx context.Context, v *verified) bool {
	for v.bound != nil {
		switch outer := ctx.Value(admittedKey{}).(type) {
		case *admitted:
			if outer.token.by == b && outer.token.raw == v.raw {
				return true
			}
			ctx = outer.Context
		case *given:
			ctx = outer.Context
		default:
			return false
		}
	}
	return false
}

var (
	errNotDPoP = errors.New("middleware: cnf: the token is bound to a DPoP key, and was sent without a proof, as a bearer token")
	errNoKey   = errors.New("middleware: cnf: the token was sent with the scheme DPoP, and is bound to no DPoP key")
	errUnbound = errors.New("middleware: cnf: the token is bound to no key")
	errNoBound = errors.New("middleware: a guard takes bound tokens only, and Config has neither DPoP nor ClientCertificates, which would check them")
)

// unbound is the refusal of a plain bearer token where only bound ones are accepted.
func unbound() *Error {
	e := invalidToken(event.Unbound, errUnbound)
	e.Description = "the access token must be bound to a key of the client"
	return e
}

// unproven is the refusal of a bound token whose key the request does not prove. The
// description tells no more than the token itself does to all who can read it.
func unproven(description string, cause error) *Error {
	e := invalidToken(event.SenderConstrained, cause)
	e.Description = description
	return e
}
