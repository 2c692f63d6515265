package middleware

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/profile"
)

// follow makes the Bearer read tokens by a profile, of which it keeps a copy.
func (b *Bearer) follow(p *profile.Profile) error {
	if p == nil {
		return nil
	}
	if err := p.Validate(); err != nil {
		return fmt.Errorf("middleware: Config.Profile: %w", err)
	}
	switch b.issuer = cmp.Or(b.issuer, p.Issuer); {
	case p.Issuer != "" && b.issuer != p.Issuer:
		return fmt.Errorf("middleware: Config.Issuer is %q, and Config.Profile is for %q: leave Issuer empty, or change Profile.Issuer", b.issuer, p.Issuer)
	case p.Public && len(p.Require) == 0:
		return errors.New(`middleware: Config.Profile is of an issuer of which everybody can get a token: say in Profile.Require whose are accepted, such as "repository_owner_id" with its number`)
	}
	own := *p
	own.Types, own.Algorithms, own.Refuse, own.Roles = slices.Clone(p.Types), slices.Clone(p.Algorithms), slices.Clone(p.Refuse), slices.Clone(p.Roles)
	own.Require = maps.Clone(p.Require)
	for claim, values := range own.Require {
		own.Require[claim] = slices.Clone(values)
	}
	b.profile = &own
	return nil
}

// withoutAudience reports whether the profile accepts tokens without aud, so that this
// API needs no name.
func (b *Bearer) withoutAudience() bool {
	return b.profile != nil && (b.profile.InsecureNoAudience || b.profile.ScopePrefix != "")
}

// identify checks the signature of a token, and reads its claims by the profile. Time is
// checked at each use.
func (b *Bearer) identify(jws *jose.JWS, key *jose.Key) (*verified, *Error) {
	id, err := b.profile.Verify(jws, key, profile.Want{
		Issuer: b.issuer, Audiences: b.audiences, CallerChecksTime: true, CallerChecksProof: true,
	})
	if err != nil {
		return nil, foreign(err)
	}
	v := &verified{
		id: id.TokenID, subject: id.Subject, clientID: id.ClientID, scope: strings.Join(id.Scopes, " "),
		audiences: append([]string{}, id.Audience...), // never nil, which would be the Bearer's own
		expiresAt: id.Expires.Unix(), issuedAt: seconds(id.IssuedAt), notBefore: seconds(id.NotBefore),
	}
	if len(id.Roles) > 0 {
		roles := id.Roles
		v.roles = &roles
	}
	if e := b.bind(v, &id.Claims); e != nil {
		return nil, e
	}
	return v, nil
}

// foreign is the refusal of a token by its profile.
func foreign(err error) *Error {
	refused, ok := errors.AsType[*profile.Error](err)
	switch {
	case !ok:
		return invalidToken(event.InvalidClaims, err)
	case refused.Reason == event.Misconfigured:
		return misconfigured(err)
	case refused.Reason == event.BadSignature:
		return invalidToken(unsigned(err), err)
	}
	return invalidToken(refused.Reason, err)
}
