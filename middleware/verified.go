package middleware

import (
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// verified is a token whose signature and claims are valid, with its claims. It does
// not change and does not leave this package.
type verified struct {
	by       *Bearer   // that verified it; another has another audience or other keys
	key      *jose.Key // that the signature was checked with
	kid, alg string    // by which the token asks for it
	raw      string    // the token as presented

	id, subject, clientID string
	scope                 string        // the claim
	audiences             []string      // nil: the Bearer's own, if that is one, alone, as most tokens have it
	bound                 *Confirmation // nil: a plain bearer token
	roles                 *[]string     // nil: none. A pointer keeps cached tokens small

	expiresAt, issuedAt, notBefore int64 // in Unix seconds; notBefore 0: none
}

// Longer tokens, and those for more audiences, are not cached.
const (
	maxCachedBytes     = 4096
	maxCachedAudiences = 8
)

// store caches a token that was verified a moment ago.
func (b *Bearer) store(v *verified, now time.Time) {
	if b.cache == nil || len(v.raw) > maxCachedBytes || len(v.audiences) > maxCachedAudiences {
		return
	}
	b.cache.Put(v.raw, v.clientID, time.Unix(v.expiresAt, 0).Add(b.leeway), now, v.detached)
}

// detached is a copy in memory of its own, of which raw and clientID are given: it
// keeps neither the request nor the token's payload alive.
func (v *verified) detached(raw, clientID string) verified {
	d := *v
	d.raw, d.clientID = raw, clientID
	d.kid, d.alg, d.subject = detach(v.kid, v.key.ID()), detach(v.alg, v.key.Algorithm()), detach(v.subject, clientID)
	if v.bound != nil {
		d.bound = &Confirmation{strings.Clone(v.bound.KeyThumbprint), strings.Clone(v.bound.CertificateThumbprint)}
	}
	both := v.id + v.scope // in one piece
	d.id, d.scope = both[:len(v.id)], both[len(v.id):]
	if v.roles != nil {
		roles := cloned(*v.roles)
		d.roles = &roles
	}
	if v.audiences != nil {
		d.audiences = cloned(v.audiences)
	}
	return d
}

// cloned is a copy of the list and its texts.
func cloned(list []string) []string {
	own := make([]string, len(list))
	for i, s := range list {
		own[i] = strings.Clone(s)
	}
	return own
}

// detach is a copy of s, or the equal string that is kept anyway.
func detach(s, kept string) string {
	if s == kept {
		return kept
	}
	return strings.Clone(s)
}

// expired reports whether the token is, leeway included.
func (v *verified) expired(now time.Time) bool {
	return now.Unix() >= v.expiresAt && now.Add(-v.by.leeway).Unix() >= v.expiresAt
}

func (v *verified) audience() []string {
	if v.audiences == nil {
		return v.by.audiences
	}
	return v.audiences
}

// token is a Token of it for a handler to keep.
func (v *verified) token() *Token {
	var copied struct { // in one piece, mostly
		Token
		audience [1]string
		scopes   [4]string
	}
	t := &copied.Token
	*t = Token{
		Issuer: v.by.issuer, Subject: v.subject, ClientID: v.clientID, ID: v.id,
		Audience: append(copied.audience[:0], v.audience()...),
		IssuedAt: v.issued(), ExpiresAt: time.Unix(v.expiresAt, 0),
		source: func() *verified { return v },
	}
	if v.scope != "" {
		t.Scopes = appendScopes(copied.scopes[:0], v.scope)
	}
	if v.bound != nil || v.roles != nil || v.notBefore != 0 {
		v.addOptional(t)
	}
	return t
}

// addOptional adds what most tokens do not have.
func (v *verified) addOptional(t *Token) {
	if v.bound != nil {
		bound := *v.bound
		t.Confirmation = &bound
	}
	if v.roles != nil {
		t.Roles = slices.Clone(*v.roles)
	}
	if v.notBefore != 0 {
		t.NotBefore = time.Unix(v.notBefore, 0)
	}
}

// appendScopes appends the scopes of a claim.
func appendScopes(to []string, claim string) []string {
	for claim != "" {
		var scope string
		if scope, claim, _ = strings.Cut(claim, " "); scope != "" {
			to = append(to, scope)
		}
	}
	return to
}

// issued is iat; the zero time of a token without, which only a profile accepts.
func (v *verified) issued() time.Time {
	if v.issuedAt == 0 && v.by.profile != nil {
		return time.Time{}
	}
	return time.Unix(v.issuedAt, 0)
}

// claims are the token's, encoded.
func (v *verified) claims() string {
	_, rest, _ := strings.Cut(v.raw, ".")
	claims, _, _ := strings.Cut(rest, ".")
	return claims
}
