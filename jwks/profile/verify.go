package profile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// CheckHeader returns an [Error] if the header's typ or alg is not the profile's. Call it
// before a key is looked for, so that a token of another kind causes no fetch.
// [Profile.Verify] calls it too.
func (p *Profile) CheckHeader(t *jose.JWS) error {
	switch {
	case p == nil:
		return p.refuse(event.Misconfigured, "there is no profile")
	case p.fault != nil:
		return p.refused(event.Misconfigured, p.fault)
	case !slices.ContainsFunc(p.Types, func(typ string) bool { return sameType(typ, t.Type()) }):
		return p.refuse(event.WrongTokenType, "typ is %.40q, not one of %q", t.Type(), p.Types)
	case len(p.Algorithms) > 0 && !slices.Contains(p.Algorithms, t.Algorithm()):
		return p.refuse(event.MalformedToken, "alg is %.40q, not one of %q", t.Algorithm(), p.Algorithms)
	}
	return nil
}

// sameType reports whether two values of typ are the same media type (RFC 7515, section
// 4.1.9).
func sameType(a, b string) bool { return strings.EqualFold(subtype(a), subtype(b)) }

func subtype(typ string) string {
	const prefix = "application/"
	if len(typ) > len(prefix) && strings.EqualFold(typ[:len(prefix)], prefix) {
		return typ[len(prefix):]
	}
	return typ
}

// Verify checks a token with the key that its header names, and returns what it says. It
// checks the header, the signature, and then the claims as RFC 9068, section 4, does and
// the profile says otherwise. The error is an [Error].
//
// Not checked: that the key is the issuer's. Look for it in the issuer's own key set.
// Nor whether the token was revoked, or used before.
func (p *Profile) Verify(t *jose.JWS, key *jose.Key, want Want) (Identity, error) {
	if err := p.CheckHeader(t); err != nil {
		return Identity{}, err
	}
	issuer := cmp.Or(want.Issuer, p.Issuer)
	switch {
	case issuer == "":
		return Identity{}, p.refuse(event.Misconfigured, "neither Profile.Issuer nor Want.Issuer is set")
	case want.Issuer != "" && p.Issuer != "" && want.Issuer != p.Issuer:
		return Identity{}, p.refuse(event.Misconfigured, "Want.Issuer is %q, and the profile is for %q", want.Issuer, p.Issuer)
	case p.Public && want.Subject == "" && len(p.Require) == 0:
		return Identity{}, p.refuse(event.Misconfigured, "everybody can get a token of this issuer: set Want.Subject or Profile.Require")
	}
	payload, err := t.Verify(key)
	if err != nil {
		return Identity{}, p.refused(event.BadSignature, err)
	}
	var id Identity
	if id.Claims, err = jose.ParseObject(payload); err != nil {
		return Identity{}, p.refused(event.InvalidClaims, err)
	}
	now := want.Now
	if now.IsZero() {
		now = time.Now()
	}
	if e := p.read(&id, t, issuer, &want, now); e != nil {
		return Identity{}, e
	}
	if want.CallerChecksTime {
		return id, nil
	}
	if err := id.Current(now, want.Leeway); err != nil {
		return Identity{}, err
	}
	return id, nil
}

// read fills the identity from its claims.
func (p *Profile) read(id *Identity, t *jose.JWS, issuer string, want *Want, now time.Time) *Error {
	r := reader{claims: &id.Claims}
	id.Issuer = r.text("iss", false)
	if r.err == nil && id.Issuer != issuer {
		return p.refuse(event.WrongIssuer, "iss is %q, not %q", id.Issuer, issuer)
	}
	if !sameType(t.Type(), "at+jwt") {
		if err := r.notAccess(); err != nil {
			return p.refused(event.WrongTokenType, err)
		}
	}
	if aud, ok := r.texts("aud"); r.err == nil {
		if e := p.audience(&r, aud, ok, want.Audiences); e != nil {
			return e
		}
		id.Audience = aud
	}
	expires := r.date("exp", false)
	id.NotBefore = r.date("nbf", true)
	if id.NotBefore.Unix() == 0 {
		id.NotBefore = time.Time{}
	}
	id.IssuedAt = r.date("iat", p.OptionalIssuedAt)
	id.Subject = r.text("sub", false)
	id.ClientID = r.text(p.Client, false)
	if p.TokenID != "" {
		id.TokenID = r.text(p.TokenID, p.OptionalTokenID)
	}
	id.Scopes = r.scopes(p.Scope, p.ScopeList)
	id.Roles = r.roles(p.Roles)
	r.keep(p.rules(id, &r, want.Subject))
	if r.err == nil {
		id.Expires, r.err = p.expires(id.IssuedAt, expires, now)
	}
	if r.err != nil {
		return p.refused(event.InvalidClaims, r.err)
	}
	// RFC 7800: the presenter must prove that it holds a key.
	if id.Claims.Has("cnf") && !want.CallerChecksProof {
		return p.refuse(event.SenderConstrained, "cnf: the token is sender-constrained")
	}
	return nil
}

// audience compares aud, if there is one. An empty name is no name.
func (p *Profile) audience(r *reader, aud []string, ok bool, wanted []string) *Error {
	if !ok {
		switch {
		case p.InsecureNoAudience:
			return nil
		case p.ScopePrefix != "":
			scopes := r.scopes(p.Scope, p.ScopeList)
			if r.err == nil && !slices.ContainsFunc(scopes, p.isOurs) {
				return p.refuse(event.WrongAudience, "there is no aud, and none of the scopes %q begins with %q", scopes, p.ScopePrefix)
			}
			return nil
		}
	}
	if !slices.ContainsFunc(aud, func(a string) bool { return a != "" && slices.Contains(wanted, a) }) {
		return p.refuse(event.WrongAudience, "aud is %q, without any of %q", aud, wanted)
	}
	if p.MaxAudiences > 0 && len(aud) > p.MaxAudiences {
		return p.refuse(event.WrongAudience, "aud has %d elements, more than %d", len(aud), p.MaxAudiences)
	}
	return nil
}

// isOurs reports whether a scope stands in for aud. With another separator in it, it may
// be of an API whose name begins as ours does: orders/v2/read is not of orders.
func (p *Profile) isOurs(scope string) bool {
	name, ok := strings.CutPrefix(scope, p.ScopePrefix)
	return ok && name != "" && !strings.Contains(name, p.ScopePrefix[len(p.ScopePrefix)-1:])
}

// rules checks what the profile asks for beyond the usual claims.
func (p *Profile) rules(id *Identity, r *reader, subject string) error {
	for claim, values := range p.Require {
		if value := r.text(claim, false); r.err == nil && !slices.Contains(values, value) {
			return fmt.Errorf("%s is %q, not one of %q", claim, value, values)
		}
	}
	for _, claim := range p.Refuse {
		if r.has(claim) {
			return fmt.Errorf("%s: no token with this claim is accepted", claim)
		}
	}
	switch {
	case r.err != nil:
		return r.err
	case subject != "" && id.Subject != subject:
		return fmt.Errorf("sub is %q, not %q", id.Subject, subject)
	case p.ClientIsSubject && id.ClientID != id.Subject:
		return fmt.Errorf("%s is %q and sub is %q: the token is not the client's own", p.Client, id.ClientID, id.Subject)
	case p.SubjectPrefix != "" && (!strings.HasPrefix(id.Subject, p.SubjectPrefix) || id.Subject == p.SubjectPrefix):
		return fmt.Errorf("sub is %q, not %q and a name", id.Subject, p.SubjectPrefix)
	case p.SharedSubject != "" && strings.HasSuffix(id.Subject, p.SharedSubject) && !p.InsecureSharedSubjects:
		return fmt.Errorf("sub is %q: many programs share it", id.Subject)
	}
	return nil
}

// expires returns when the token expires here.
func (p *Profile) expires(issued, expires, now time.Time) (time.Time, error) {
	from := issued
	if from.IsZero() {
		from = now
		if p.MaxAge > 0 {
			return time.Time{}, errors.New("iat is missing, so the age is not known")
		}
	}
	if p.MaxLifetime != 0 && expires.Sub(from) > p.MaxLifetime {
		return time.Time{}, fmt.Errorf("exp lies %v ahead, more than %v", expires.Sub(from), p.MaxLifetime)
	}
	if p.MaxAge != 0 && issued.Add(p.MaxAge).Before(expires) {
		return issued.Add(p.MaxAge), nil
	}
	return expires, nil
}
