package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks"
)

// authenticate finds and verifies the token of a request. prior is what an
// earlier Require of the same request verified, or nil; it counts only if this
// very Bearer verified this very credential.
func (b *Bearer) authenticate(r *http.Request, prior *verified) (*verified, *Error) {
	raw, e := credential(r, b.maxTokenBytes)
	if e != nil {
		return nil, e
	}
	if prior != nil && prior.by == b && prior.credential == raw {
		return prior, nil
	}
	v, e := b.verify(r.Context(), raw)
	if e != nil {
		return nil, e
	}
	if e := b.current(r.Context(), v); e != nil {
		return nil, e
	}
	return v, nil
}

// verify is the part of RFC 9068 §4 that is settled once and for all: form, type,
// key, signature, and every claim that time does not change.
func (b *Bearer) verify(ctx context.Context, raw string) (*verified, *Error) {
	jws, err := jwks.Parse(raw, b.maxTokenBytes)
	if err != nil {
		return nil, invalidToken(err)
	}
	if !isAccessTokenType(jws.Type()) {
		return nil, invalidToken(fmt.Errorf("middleware: typ is %.40q, not at+jwt", jws.Type()))
	}
	key, err := b.keys.Key(ctx, jws.KeyID())
	if errors.Is(err, jwks.ErrUnknownKey) {
		return nil, invalidToken(err)
	}
	if err == nil && key == nil {
		err = errors.New("middleware: Config.Keys returned neither a key nor an error")
	}
	if err != nil {
		return nil, unavailable(err)
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return nil, invalidToken(err)
	}
	claims, err := jwks.ParseClaims(payload)
	if err != nil {
		return nil, invalidToken(err)
	}
	token, err := b.read(claims)
	if err != nil {
		return nil, invalidToken(err)
	}
	return &verified{token: token, by: b, credential: raw}, nil
}

// isAccessTokenType is RFC 9068 §4 step 1. A media type compares without case,
// and "application/" may be left out (RFC 7515 §4.1.9).
func isAccessTokenType(typ string) bool {
	return strings.EqualFold(typ, "at+jwt") || strings.EqualFold(typ, "application/at+jwt")
}

// read takes the claims of RFC 9068 §2.2, of which all but nbf and scope are
// mandatory, and holds iss and aud against the configuration.
func (b *Bearer) read(c jwks.Claims) (Token, error) {
	r := reader{claims: &c}
	t := Token{claims: c}
	if t.Issuer = r.text("iss"); r.err == nil && t.Issuer != b.issuer {
		return Token{}, fmt.Errorf("middleware: iss is %q, not %q", t.Issuer, b.issuer)
	}
	if t.Audience = r.texts("aud"); r.err == nil && !slices.Contains(t.Audience, b.audience) {
		return Token{}, fmt.Errorf("middleware: aud is %q, without %q", t.Audience, b.audience)
	}
	t.ExpiresAt = r.date("exp", true)
	t.NotBefore = r.date("nbf", false)
	t.IssuedAt = r.date("iat", true)
	t.Subject = r.text("sub")
	t.ClientID = r.text("client_id")
	t.ID = r.text("jti")
	t.granted = r.optionalText("scope")
	if r.err != nil {
		return Token{}, r.err
	}
	// RFC 7800: bound to a key its presenter must prove to hold. Nothing here can
	// check a proof, and without one it is not a bearer token.
	if c.Has("cnf") {
		return Token{}, errors.New("middleware: cnf: the token is sender-constrained")
	}
	if t.granted != "" {
		t.Scopes = slices.DeleteFunc(strings.Split(t.granted, " "), func(s string) bool { return s == "" })
	}
	return t, nil
}

// current is the part of the check that changes while a token lives.
func (b *Bearer) current(ctx context.Context, v *verified) *Error {
	t := &v.token
	now := time.Now()
	switch {
	case !now.Before(t.ExpiresAt.Add(b.leeway)):
		return invalidToken(fmt.Errorf("middleware: exp: expired at %v", t.ExpiresAt.UTC()))
	case now.Add(b.leeway).Before(t.NotBefore):
		return invalidToken(fmt.Errorf("middleware: nbf: not valid before %v", t.NotBefore.UTC()))
	case now.Add(b.leeway).Before(t.IssuedAt):
		return invalidToken(fmt.Errorf("middleware: iat: issued in the future, at %v", t.IssuedAt.UTC()))
	}
	if b.revoked == nil {
		return nil
	}
	revoked, err := b.revoked(&revokedContext{ctx, v.credential}, t.ID, t.ClientID, t.IssuedAt)
	if err != nil {
		return unavailable(fmt.Errorf("middleware: Config.Revoked: %w", err))
	}
	if revoked {
		return invalidToken(errors.New("middleware: revoked"))
	}
	return nil
}

// reader reads one claim after another and keeps the first error.
type reader struct {
	claims *jwks.Claims
	err    error
}

func (r *reader) text(name string) string {
	value := r.optionalText(name)
	if r.err == nil && value == "" {
		r.err = fmt.Errorf("middleware: %s is missing or empty", name)
	}
	return value
}

func (r *reader) optionalText(name string) string {
	value, _, err := r.claims.String(name)
	r.keep(err)
	return value
}

func (r *reader) texts(name string) []string {
	values, _, err := r.claims.Strings(name)
	r.keep(err)
	return values
}

func (r *reader) date(name string, mandatory bool) time.Time {
	at, ok, err := r.claims.Time(name)
	r.keep(err)
	if r.err == nil && !ok && mandatory {
		r.err = fmt.Errorf("middleware: %s is missing", name)
	}
	return at
}

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}
