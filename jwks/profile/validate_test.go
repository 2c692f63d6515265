package profile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/profile"
)

func TestValidateNamesTheField(t *testing.T) {
	good := profile.Keycloak()
	for name, tt := range map[string]struct {
		change func(*profile.Profile)
		field  string
	}{
		"no types":             {func(p *profile.Profile) { p.Types = nil }, "Types"},
		"type of proofs":       {func(p *profile.Profile) { p.Types = []string{"JWT", "application/DPoP+JWT"} }, "Types"},
		"type of ID tokens":    {func(p *profile.Profile) { p.Types = []string{"id_token+jwt"} }, "Types"},
		"type of assertions":   {func(p *profile.Profile) { p.Types = []string{"client-authentication+jwt"} }, "Types"},
		"type with space":      {func(p *profile.Profile) { p.Types = []string{"at+jwt "} }, "Types"},
		"long type":            {func(p *profile.Profile) { p.Types = []string{strings.Repeat("a", 65)} }, "Types"},
		"unknown algorithm":    {func(p *profile.Profile) { p.Algorithms = []string{"HS256"} }, "Algorithms"},
		"none":                 {func(p *profile.Profile) { p.Algorithms = []string{"none"} }, "Algorithms"},
		"issuer and space":     {func(p *profile.Profile) { p.Issuer = "https://a.example\n" }, "Issuer"},
		"no client":            {func(p *profile.Profile) { p.Client = "" }, "Client"},
		"client without part":  {func(p *profile.Profile) { p.Client = "/" }, "Client"},
		"double slash":         {func(p *profile.Profile) { p.Client = "/a//b" }, "Client"},
		"bad escape":           {func(p *profile.Profile) { p.Roles = []string{"/a~2b"} }, "Roles"},
		"unended escape":       {func(p *profile.Profile) { p.Scope = "/a~" }, "Scope"},
		"deep":                 {func(p *profile.Profile) { p.TokenID = strings.Repeat("/a", 9) }, "TokenID"},
		"nameless role":        {func(p *profile.Profile) { p.Roles = []string{""} }, "Roles"},
		"nameless refusal":     {func(p *profile.Profile) { p.Refuse = []string{""} }, "Refuse"},
		"nameless requirement": {func(p *profile.Profile) { p.Require = map[string][]string{"": {"a"}} }, "Require"},
		"nothing required":     {func(p *profile.Profile) { p.Require = map[string][]string{"a": nil} }, "Require"},
		"emptiness required":   {func(p *profile.Profile) { p.Require = map[string][]string{"a": {"b", ""}} }, "Require"},
		"required and refused": {func(p *profile.Profile) { p.Refuse = []string{"typ"} }, "Refuse"},
		"client refused":       {func(p *profile.Profile) { p.Refuse = []string{"azp"} }, "Refuse"},
		"exp refused":          {func(p *profile.Profile) { p.Refuse = []string{"exp"} }, "Refuse"},
		"two forms of one":     {func(p *profile.Profile) { p.ScopeList = "scope" }, "ScopeList"},
		"optional nothing":     {func(p *profile.Profile) { p.TokenID, p.OptionalTokenID = "", true }, "OptionalTokenID"},
		"itself":               {func(p *profile.Profile) { p.Client, p.ClientIsSubject = "sub", true }, "ClientIsSubject"},
		"insecure for nothing": {func(p *profile.Profile) { p.InsecureSharedSubjects = true }, "InsecureSharedSubjects"},
		"negative audiences":   {func(p *profile.Profile) { p.MaxAudiences = -1 }, "MaxAudiences"},
		"two ways without aud": {func(p *profile.Profile) { p.ScopePrefix, p.InsecureNoAudience = "a/", true }, "InsecureNoAudience"},
		"prefix of no scopes":  {func(p *profile.Profile) { p.ScopePrefix, p.Scope = "a/", "" }, "ScopePrefix"},
		"prefix of more":       {func(p *profile.Profile) { p.ScopePrefix = "orders" }, "ScopePrefix"},
		"prefix of two scopes": {func(p *profile.Profile) { p.ScopePrefix = "a b/" }, "ScopePrefix"},
		"negative lifetime":    {func(p *profile.Profile) { p.MaxLifetime = -1 }, "MaxLifetime"},
		"lifetime in seconds":  {func(p *profile.Profile) { p.MaxLifetime = 3600 }, "MaxLifetime"},
		"negative age":         {func(p *profile.Profile) { p.MaxAge = -time.Hour }, "MaxAge"},
		"age of the unknown":   {func(p *profile.Profile) { p.MaxAge, p.OptionalIssuedAt = time.Hour, true }, "MaxAge"},
	} {
		t.Run(name, func(t *testing.T) {
			p := good
			tt.change(&p)
			if err := p.Validate(); err == nil || !strings.HasPrefix(err.Error(), "profile: Profile."+tt.field) {
				t.Errorf("Validate says %v, want Profile.%s", err, tt.field)
			}
		})
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

// What the ready funcs cannot make a profile of. Such a profile accepts nothing.
func TestReadyProfilesOfNonsense(t *testing.T) {
	for name, p := range map[string]profile.Profile{
		"no tenant":         profile.EntraV2(""),
		"all tenants":       profile.EntraV2("common"),
		"a tenant's name":   profile.EntraV1("contoso.onmicrosoft.com"),
		"a path":            profile.Azure(tenant[:34] + "/x"),
		"no trust domain":   profile.SPIFFEDraft(""),
		"a SPIFFE ID":       profile.SPIFFEDraft("spiffe://prod.example.com"),
		"upper case":        profile.SPIFFEDraft("Prod.example.com"),
		"two scopes":        profile.Cognito("a b"),
		"zero":              {},
		"hyphens elsewhere": profile.EntraV1(strings.ReplaceAll(tenant, "-", "0")),
	} {
		t.Run(name, func(t *testing.T) {
			if err := p.Validate(); err == nil || !strings.HasPrefix(err.Error(), "profile: ") {
				t.Errorf("Validate says %v", err)
			}
			var refused *profile.Error
			jws := token("JWT", "ES256", payload(`{}`))
			if err := p.CheckHeader(jws); !errors.As(err, &refused) || name != "zero" && refused.Reason != event.Misconfigured {
				t.Errorf("CheckHeader says %v", err)
			}
			for _, s := range shapes() {
				want := s.want
				want.Issuer, want.Subject = "", s.identity.Subject
				id, err := verify(p, s.typ, s.alg, s.claims(), want)
				wantRefused(t, id, err, "")
			}
		})
	}
	p := profile.EntraV2(strings.ToUpper(tenant))
	if err := p.Validate(); err != nil || !strings.Contains(p.Issuer, tenant) {
		t.Errorf("a tenant in capitals gives %q, %v", p.Issuer, err)
	}
}

// Profiles that Validate refuses still fail closed.
func TestBrokenProfilesFailClosed(t *testing.T) {
	s := shapes()[0]
	for name, change := range map[string]func(*profile.Profile, *profile.Want){
		"no client":          func(p *profile.Profile, _ *profile.Want) { p.Client = "" },
		"nothing required":   func(p *profile.Profile, _ *profile.Want) { p.Require = map[string][]string{"jti": nil} },
		"negative lifetime":  func(p *profile.Profile, _ *profile.Want) { p.MaxLifetime = -1 },
		"negative age":       func(p *profile.Profile, _ *profile.Want) { p.MaxAge = -time.Hour },
		"no issuer":          func(_ *profile.Profile, w *profile.Want) { w.Issuer = "" },
		"two issuers":        func(p *profile.Profile, _ *profile.Want) { p.Issuer = "https://other.example" },
		"no audience":        func(_ *profile.Profile, w *profile.Want) { w.Audiences = nil },
		"an empty audience":  func(_ *profile.Profile, w *profile.Want) { w.Audiences = []string{""} },
		"another subject":    func(_ *profile.Profile, w *profile.Want) { w.Subject = "*" },
		"everybody's issuer": func(p *profile.Profile, _ *profile.Want) { p.Public = true },
	} {
		t.Run(name, func(t *testing.T) {
			p, want := s.profile, s.want
			change(&p, &want)
			for _, aud := range []string{string(s.claims()["aud"]), `""`, `[""]`} {
				id, err := verify(p, s.typ, s.alg, s.claims().with("aud", aud), want)
				wantRefused(t, id, err, "")
			}
		})
	}
}

func TestZeroValues(t *testing.T) {
	s := shapes()[0]
	jws := token(s.typ, s.alg, s.claims())
	for _, p := range []*profile.Profile{nil, {}} {
		if p.Validate() == nil || p.CheckHeader(jws) == nil || p.CheckHeader(nil) == nil {
			t.Error("the zero Profile is valid")
		}
		id, err := p.Verify(jws, signers()[s.alg].Key(), s.want)
		wantRefused(t, id, err, "")
	}
	for _, id := range []*profile.Identity{nil, {}} {
		var refused *profile.Error
		if err := id.Current(now, time.Hour); !errors.As(err, &refused) || refused.Reason != event.Expired {
			t.Errorf("the zero Identity: %v", err)
		}
	}
}
