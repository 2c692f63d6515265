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
func (b *Bearer) authenticate(r *http.Request, prior *verdict) (*verdict, *Error) {
	raw, e := credential(r, b.maxTokenBytes)
	if e != nil {
		return nil, e
	}
	if prior != nil && prior.by == b && prior.raw == raw {
		return prior, nil
	}
	ctx := r.Context()
	v, now, e := b.known(ctx, raw)
	if e != nil {
		return nil, e
	}
	fresh := v == nil
	if fresh {
		if v, e = b.verify(ctx, raw); e != nil {
			return nil, e
		}
		now = time.Now()
	}
	if e := b.current(ctx, v, now); e != nil {
		return nil, e
	}
	if fresh {
		b.verdicts.put(v, now)
	} else {
		v.comes(now)
	}
	return v, nil
}

// known is what was found when this token was verified, and the time. It is nil if
// it has not been, or if the issuer has another key of that id by now.
func (b *Bearer) known(ctx context.Context, raw string) (*verdict, time.Time, *Error) {
	v := b.verdicts.get(raw)
	if v == nil {
		return nil, time.Time{}, nil
	}
	now := time.Now()
	if jwks.Stands(b.keys, v.key, now) {
		return v, now, nil
	}
	key, e := b.key(ctx, v.kid, v.key.Algorithm()) // which may wait
	if e != nil || key != v.key {
		return nil, time.Time{}, e
	}
	return v, time.Now(), nil
}

// key asks for the key that a token names.
func (b *Bearer) key(ctx context.Context, kid, alg string) (*jwks.Key, *Error) {
	key, err := b.keys.Key(ctx, kid, alg)
	if errors.Is(err, jwks.ErrUnknownKey) {
		return nil, invalidToken(err)
	}
	if err == nil && key == nil {
		err = errors.New("middleware: Config.Keys returned neither a key nor an error")
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return key, nil
}

// verify is the part of RFC 9068 §4 that is settled as long as the key stands:
// form, type, key, signature, and every claim that time does not change.
func (b *Bearer) verify(ctx context.Context, raw string) (*verdict, *Error) {
	if e := several(raw); e != nil {
		return nil, e
	}
	jws, err := jwks.Parse(raw, b.maxTokenBytes)
	if err != nil {
		return nil, invalidToken(err)
	}
	if !isAccessTokenType(jws.Type()) {
		return nil, invalidToken(fmt.Errorf("middleware: typ is %.40q, not at+jwt", jws.Type()))
	}
	key, e := b.key(ctx, jws.KeyID(), jws.Algorithm())
	if e != nil {
		return nil, e
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return nil, invalidToken(err)
	}
	claims, err := jwks.ParseClaims(payload)
	if err != nil {
		return nil, invalidToken(err)
	}
	v, err := b.read(&claims)
	if err != nil {
		return nil, invalidToken(err)
	}
	v.by, v.key, v.kid, v.raw = b, key, jws.KeyID(), raw
	return v, nil
}

// isAccessTokenType is RFC 9068 §4 step 1. A media type compares without case,
// and "application/" may be left out (RFC 7515 §4.1.9).
func isAccessTokenType(typ string) bool {
	return strings.EqualFold(typ, "at+jwt") || strings.EqualFold(typ, "application/at+jwt")
}

// read takes the claims of RFC 9068 §2.2, of which all but nbf and scope are
// mandatory, and holds iss and aud against the configuration.
func (b *Bearer) read(c *jwks.Claims) (*verdict, error) {
	r := reader{claims: c}
	v := &verdict{}
	if issuer := r.text("iss"); r.err == nil && issuer != b.issuer {
		return nil, fmt.Errorf("middleware: iss is %q, not %q", issuer, b.issuer)
	}
	if audience, _, err := c.String("aud"); err != nil || audience != b.audience {
		audiences := r.texts("aud")
		if r.err == nil && !slices.Contains(audiences, b.audience) {
			return nil, fmt.Errorf("middleware: aud is %q, without %q", audiences, b.audience)
		}
		v.audiences = &audiences
	}
	v.expiresAt = r.date("exp", true)
	v.notBefore = r.date("nbf", false)
	v.issuedAt = r.date("iat", true)
	v.subject = r.text("sub")
	v.client = &client{id: r.text("client_id")}
	v.id = r.text("jti")
	v.client.scope = r.optionalText("scope")
	if r.err != nil {
		return nil, r.err
	}
	// RFC 7800: bound to a key its presenter must prove to hold. Nothing here can
	// check a proof, and without one it is not a bearer token.
	if c.Has("cnf") {
		return nil, errors.New("middleware: cnf: the token is sender-constrained")
	}
	return v, nil
}

// current is the part of the check that changes while a token lives.
func (b *Bearer) current(ctx context.Context, v *verdict, now time.Time) *Error {
	switch {
	case v.expired(now):
		return invalidToken(fmt.Errorf("middleware: exp: expired at %v", time.Unix(v.expiresAt, 0).UTC()))
	case b.ahead(v.notBefore, now):
		return invalidToken(fmt.Errorf("middleware: nbf: not valid before %v", time.Unix(v.notBefore, 0).UTC()))
	case b.ahead(v.issuedAt, now):
		return invalidToken(fmt.Errorf("middleware: iat: issued in the future, at %v", time.Unix(v.issuedAt, 0).UTC()))
	}
	if b.revoked == nil {
		return nil
	}
	revoked, err := b.revoked(withCredential(ctx, v.raw), v.id, v.client.id, time.Unix(v.issuedAt, 0))
	if err != nil {
		return unavailable(fmt.Errorf("middleware: Config.Revoked: %w", err))
	}
	if revoked {
		return invalidToken(errors.New("middleware: revoked"))
	}
	return nil
}

// ahead reports whether a second is still to come, leeway included.
func (b *Bearer) ahead(second int64, now time.Time) bool {
	return now.Unix() < second && now.Add(b.leeway).Unix() < second
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

func (r *reader) date(name string, mandatory bool) (seconds int64) {
	at, ok, err := r.claims.Time(name)
	r.keep(err)
	if r.err == nil && !ok && mandatory {
		r.err = fmt.Errorf("middleware: %s is missing", name)
	}
	if !ok {
		return 0
	}
	return at.Unix()
}

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}
