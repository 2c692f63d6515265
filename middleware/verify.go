package middleware

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// authenticate finds and verifies the token of a request. prior is what an earlier
// guard of this Bearer verified, or nil; it counts only for this very credential.
// With an error it returns the token only if the signature is valid, and the token has
// expired, is not valid yet or was revoked. dpop says that it was sent with the scheme DPoP.
// What the token is bound to is not checked here.
func (b *Bearer) authenticate(r *http.Request, prior *verified, extract addressOf) (v *verified, dpop bool, e *Error) {
	raw, dpop, e := b.credential(r)
	if e != nil {
		return nil, dpop, e
	}
	if prior != nil && prior.raw == raw {
		return prior, dpop, nil
	}
	v, e = b.valid(caller{bearer: b, request: r, extract: extract}, raw)
	return v, dpop, e
}

// valid returns the token with this text if it is valid now. It finds what was verified
// before in the cache.
func (b *Bearer) valid(from caller, raw string) (*verified, *Error) {
	r := from.request
	ctx := r.Context()
	cached := b.cache.Get(raw)
	if cached != nil {
		key, e := b.key(ctx, cached.Value.kid, cached.Value.alg)
		if e != nil {
			return nil, e
		}
		if key != cached.Value.key { // the issuer now has another key with that id
			cached = nil
		}
	}
	if cached != nil {
		b.hits.add(r)
		v, now := &cached.Value, time.Now() // after the key, which may take time
		if e := b.current(ctx, v, now); e != nil {
			return v, e
		}
		cached.Touch(now)
		return v, nil
	}
	v, e := b.verify(from, raw)
	if e != nil {
		return nil, e
	}
	now := time.Now()
	if e := b.current(ctx, v, now); e != nil {
		return v, e
	}
	b.store(v, now)
	return v, nil
}

// key asks for the key that a token names.
func (b *Bearer) key(ctx context.Context, kid, alg string) (*jose.Key, *Error) {
	key, err := b.keys.Key(ctx, kid, alg)
	switch {
	case err == nil && key != nil:
		b.keysFailed.record(nil)
		return key, nil
	case err == nil:
		err = errors.New("middleware: Config.Keys returned neither a key nor an error")
	case errors.Is(err, jwks.ErrUnknownKey):
		b.keysFailed.record(nil)
		return nil, invalidToken(event.UnknownKey, err)
	}
	b.keysFailed.record(err)
	return nil, unavailable(event.KeysUnavailable, err)
}

// verify is the part of RFC 9068, section 4, whose result can be cached: form, type, key,
// signature, and every claim but those about time.
func (b *Bearer) verify(from caller, raw string) (*verified, *Error) {
	if e := several(raw); e != nil {
		return nil, e
	}
	jws, err := jose.Parse(raw, b.maxTokenBytes)
	if err != nil {
		return nil, invalidToken(event.MalformedToken, err)
	}
	if e := b.checkHeader(&jws); e != nil {
		e.at = checkType
		return nil, e
	}
	key, e := b.key(&from, jws.KeyID(), jws.Algorithm())
	if e != nil {
		return nil, e
	}
	b.misses.add(from.request)
	var v *verified
	if b.profile != nil {
		v, e = b.identify(&jws, key)
	} else {
		v, e = b.open(&jws, key)
	}
	if e != nil {
		e.at = lateCheck(e.reason)
		return nil, e
	}
	v.by, v.key, v.kid, v.alg, v.raw = b, key, jws.KeyID(), jws.Algorithm(), raw
	return v, nil
}

// checkHeader refuses a token of another kind before a key is looked for.
func (b *Bearer) checkHeader(jws *jose.JWS) *Error {
	if b.profile != nil {
		if err := b.profile.CheckHeader(jws); err != nil {
			return foreign(err)
		}
		return nil
	}
	if !isAccessTokenType(jws.Type()) {
		return invalidToken(event.WrongTokenType, fmt.Errorf("middleware: typ is %.40q, not at+jwt", jws.Type()))
	}
	return nil
}

// open checks the signature, and reads the claims of RFC 9068.
func (b *Bearer) open(jws *jose.JWS, key *jose.Key) (*verified, *Error) {
	payload, err := jws.Verify(key)
	if err != nil {
		return nil, invalidToken(unsigned(err), err)
	}
	claims, err := jose.ParseObject(payload)
	if err != nil {
		return nil, invalidToken(event.InvalidClaims, err)
	}
	return b.read(&claims)
}

// unsigned is the reason of an error of jose.JWS.Verify.
func unsigned(err error) event.Reason {
	if _, misspelt := errors.AsType[base64.CorruptInputError](err); misspelt {
		return event.MalformedToken
	}
	return event.BadSignature
}

// isAccessTokenType is RFC 9068, section 4, step 1. A media type compares without
// case, and "application/" may be left out (RFC 7515, section 4.1.9).
func isAccessTokenType(typ string) bool {
	return strings.EqualFold(typ, "at+jwt") || strings.EqualFold(typ, "application/at+jwt")
}

// read takes the claims of RFC 9068, section 2.2, of which all but nbf and scope
// are mandatory, and compares iss and aud with the configuration.
func (b *Bearer) read(c *jose.Object) (*verified, *Error) {
	r := reader{claims: c}
	v := &verified{}
	if issuer := r.text("iss"); r.err == nil && issuer != b.issuer {
		return nil, invalidToken(event.WrongIssuer, fmt.Errorf("middleware: iss is %q, not %q", issuer, b.issuer))
	}
	if audience, _, err := c.String("aud"); err != nil || audience != b.audiences[0] || len(b.audiences) > 1 {
		v.audiences = r.texts("aud")
		if r.err == nil && !slices.ContainsFunc(v.audiences, func(a string) bool { return slices.Contains(b.audiences, a) }) {
			return nil, invalidToken(event.WrongAudience, fmt.Errorf("middleware: aud is %q, without any of %q", v.audiences, b.audiences))
		}
	}
	v.expiresAt = r.date("exp", true)
	v.notBefore = r.date("nbf", false)
	v.issuedAt = r.date("iat", true)
	v.subject = r.text("sub")
	v.clientID = r.text("client_id")
	v.id = r.text("jti")
	v.scope = r.optionalText("scope")
	if r.err != nil {
		return nil, invalidToken(event.InvalidClaims, r.err)
	}
	if e := b.bind(v, c); e != nil {
		return nil, e
	}
	return v, nil
}

// bind reads what the token is bound to. RFC 7800: the presenter must prove that it holds
// a key. Without a proof the token is not a bearer token.
func (b *Bearer) bind(v *verified, c *jose.Object) *Error {
	if !c.Has("cnf") {
		return nil
	}
	bound, err := b.confirmation(c)
	if err != nil {
		return invalidToken(event.SenderConstrained, err)
	}
	v.bound = bound
	return nil
}

// current is the part of the check that changes while a token lives.
func (b *Bearer) current(ctx context.Context, v *verified, now time.Time) *Error {
	switch {
	case v.expired(now):
		return untimely(event.Expired, "exp: expired at", v.expiresAt)
	case b.ahead(v.notBefore, now):
		return untimely(event.NotYetValid, "nbf: not valid before", v.notBefore)
	case b.ahead(v.issuedAt, now):
		return untimely(event.NotYetValid, "iat: issued in the future, at", v.issuedAt)
	}
	if b.revoked == nil && b.introspector == nil {
		return nil
	}
	return b.unrevoked(ctx, v)
}

// unrevoked asks whether a valid token was revoked.
func (b *Bearer) unrevoked(ctx context.Context, v *verified) *Error {
	var revoked bool
	var err error
	switch {
	case b.revoked != nil:
		if revoked, err = b.revoked(ctx, v.id, v.clientID, v.issued()); err != nil {
			err = fmt.Errorf("middleware: Config.Revoked: %w", err)
		}
		b.revokedFailed.record(err)
	case b.introspector != nil:
		revoked, err = b.introspector.revoked(ctx, cmp.Or(v.id, v.raw), v.clientID, v.raw) // a token without an id is its own
	}
	if err != nil {
		return unavailable(event.RevocationsUnavailable, err)
	}
	if revoked {
		return invalidToken(event.Revoked, errors.New("middleware: revoked"))
	}
	return nil
}

// untimely refuses a token that is not valid now.
func untimely(reason event.Reason, what string, second int64) *Error {
	return invalidToken(reason, fmt.Errorf("middleware: %s %v", what, time.Unix(second, 0).UTC()))
}

// ahead reports whether a second lies in the future, leeway included.
func (b *Bearer) ahead(second int64, now time.Time) bool {
	return now.Unix() < second && now.Add(b.leeway).Unix() < second
}

// reader reads one claim after another and keeps the first error.
type reader struct {
	claims *jose.Object
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
