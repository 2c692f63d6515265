package profile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// Validate returns an error that names the first field with which the profile makes no
// sense: one that is required and missing, one that can never be met, and two that
// contradict each other. Call it once at the start.
func (p *Profile) Validate() error {
	if p == nil {
		return errors.New("profile: there is no profile")
	}
	if p.fault != nil {
		return fmt.Errorf("profile: %w", p.fault)
	}
	for _, check := range [...]func() error{p.validHeader, p.validClaims, p.validSubject, p.validScopes, p.validAudience, p.validTimes} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// otherTypes are of tokens that are never a proof of who calls an API.
var otherTypes = []string{
	"dpop+jwt", "client-authentication+jwt", "oauth-authz-req+jwt", "token-introspection+jwt",
	"secevent+jwt", "logout+jwt", "id_token+jwt", "kb+jwt",
}

func (p *Profile) validHeader() error {
	if strings.ContainsFunc(p.Issuer, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Errorf("profile: Profile.Issuer: %q has a space or a control character", p.Issuer)
	}
	if len(p.Types) == 0 {
		return errors.New(`profile: Profile.Types is empty: write the typ of the tokens, such as "at+jwt"`)
	}
	for _, typ := range p.Types {
		if slices.ContainsFunc(otherTypes, func(other string) bool { return sameType(other, typ) }) {
			return fmt.Errorf("profile: Profile.Types: %q is the type of tokens that do not say who calls", typ)
		}
		if len(typ) > 64 || strings.ContainsFunc(typ, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("profile: Profile.Types: %.70q is no media type", typ)
		}
	}
	for _, alg := range p.Algorithms {
		if !slices.Contains(jose.Algorithms(), alg) {
			return fmt.Errorf("profile: Profile.Algorithms: %q is not one of %q", alg, jose.Algorithms())
		}
	}
	return nil
}

// validClaims checks the names of claims, and that no claim is both needed and refused.
func (p *Profile) validClaims() error {
	needed := []string{"iss", "sub", "exp", p.Client}
	if p.Client == "" {
		return errors.New(`profile: Profile.Client is empty: write the claim with the client's id, such as "client_id", or "sub" if there is none`)
	}
	for field, claims := range map[string][]string{
		"Client": {p.Client}, "TokenID": {p.TokenID}, "Scope": {p.Scope}, "ScopeList": {p.ScopeList}, "Roles": p.Roles, "Refuse": p.Refuse,
	} {
		for _, claim := range claims {
			if claim == "" && (field == "TokenID" || field == "Scope" || field == "ScopeList") {
				continue
			}
			if err := validClaim(claim); err != nil {
				return fmt.Errorf("profile: Profile.%s: %w", field, err)
			}
		}
	}
	for claim, values := range p.Require {
		if err := validClaim(claim); err != nil {
			return fmt.Errorf("profile: Profile.Require: %w", err)
		}
		if len(values) == 0 || slices.Contains(values, "") {
			return fmt.Errorf("profile: Profile.Require: %q needs one or more strings, none of them empty", claim)
		}
		needed = append(needed, claim)
	}
	if p.TokenID != "" && !p.OptionalTokenID {
		needed = append(needed, p.TokenID)
	}
	if p.TokenID == "" && p.OptionalTokenID {
		return errors.New("profile: Profile.OptionalTokenID is set, and TokenID names no claim")
	}
	for _, claim := range needed {
		if slices.Contains(p.Refuse, claim) {
			return fmt.Errorf("profile: Profile.Refuse: every token needs %s", claim)
		}
	}
	return nil
}

// validClaim checks a name, or a JSON Pointer (RFC 6901, section 3).
func validClaim(claim string) error {
	if claim == "" {
		return errors.New("a claim has no name")
	}
	if claim[0] != '/' {
		return nil
	}
	rest := strings.ReplaceAll(strings.ReplaceAll(claim, "~0", ""), "~1", "")
	if strings.Contains(rest, "~") {
		return fmt.Errorf("%q: after ~ comes 0 or 1 (RFC 6901)", claim)
	}
	if strings.Contains(claim, "//") || strings.HasSuffix(claim, "/") {
		return fmt.Errorf("%q has an empty part: write a slash that is in a name as ~1 (RFC 6901)", claim)
	}
	if strings.Count(claim, "/") > 8 {
		return fmt.Errorf("%q has more than 8 parts", claim)
	}
	return nil
}

func (p *Profile) validSubject() error {
	if p.InsecureSharedSubjects && p.SharedSubject == "" {
		return errors.New("profile: Profile.InsecureSharedSubjects is set, and SharedSubject names none")
	}
	if p.ClientIsSubject && p.Client == "sub" {
		return errors.New("profile: Profile.ClientIsSubject is set, and Client is sub itself")
	}
	return nil
}

func (p *Profile) validScopes() error {
	if p.Scope != "" && p.Scope == p.ScopeList {
		return fmt.Errorf("profile: Profile.ScopeList: %q cannot be a string and an array", p.Scope)
	}
	return nil
}

func (p *Profile) validAudience() error {
	switch {
	case p.MaxAudiences < 0:
		return fmt.Errorf("profile: Profile.MaxAudiences is %d", p.MaxAudiences)
	case p.ScopePrefix == "":
		return nil
	case p.InsecureNoAudience:
		return errors.New("profile: Profile.InsecureNoAudience is set, and ScopePrefix stands in for aud: write one of them")
	case p.Scope == "" && p.ScopeList == "":
		return errors.New("profile: Profile.ScopePrefix is set, and neither Scope nor ScopeList names a claim")
	case !isScope(p.ScopePrefix) || !strings.HasSuffix(p.ScopePrefix, "/") && !strings.HasSuffix(p.ScopePrefix, ":") && !strings.HasSuffix(p.ScopePrefix, "."):
		return fmt.Errorf("profile: Profile.ScopePrefix: %q does not end with a slash, colon or dot, or cannot begin a scope", p.ScopePrefix)
	}
	return nil
}

func (p *Profile) validTimes() error {
	for field, d := range map[string]time.Duration{"MaxLifetime": p.MaxLifetime, "MaxAge": p.MaxAge} {
		if d != 0 && d < time.Second {
			return fmt.Errorf("profile: Profile.%s is %v, less than a second", field, d)
		}
	}
	if p.MaxAge != 0 && p.OptionalIssuedAt {
		return errors.New("profile: Profile.MaxAge is set, and OptionalIssuedAt accepts tokens whose age is not known")
	}
	return nil
}
