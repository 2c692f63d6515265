package profile_test

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/profile"
)

// hostile is a change of a good token that must be refused.
type hostile struct {
	claim, value string // "" removes the claim
	reason       event.Reason
}

// hostiles are the changes for one profile, made from its table.
func hostiles(s *shape) (changes []hostile) {
	p, c := &s.profile, s.claims()
	add := func(reason event.Reason, claim string, values ...string) {
		for _, value := range values {
			changes = append(changes, hostile{claim, value, reason})
		}
	}
	types := []string{`null`, `1`, `true`, `{}`, `[]`, `[1]`, `[[]]`}
	issuer := cmp.Or(s.want.Issuer, p.Issuer)
	add(event.WrongIssuer, "iss", strconv.Quote(issuer+"/"), strconv.Quote(strings.ToUpper(issuer)), strconv.Quote(" "+issuer), `"https://evil.example"`, strconv.Quote(issuer+".evil.example"))
	add(event.InvalidClaims, "iss", append(types, "", `""`, `[`+strconv.Quote(issuer)+`]`)...)

	for _, claim := range []string{"sub", p.Client} {
		add(event.InvalidClaims, claim, append(types, "", `""`, `["a"]`)...)
	}
	if p.TokenID != "" {
		add(event.InvalidClaims, p.TokenID, append(types, `""`)...)
		if !p.OptionalTokenID {
			add(event.InvalidClaims, p.TokenID, "")
		}
	}
	for _, claim := range []string{"exp", "iat", "nbf"} {
		add(event.InvalidClaims, claim, `"1790000060"`, `""`, `true`, `null`, `[]`, `{}`, `1e30`, `-1`, `99999999999999999999`)
	}
	add(event.InvalidClaims, "exp", "")
	if !p.OptionalIssuedAt {
		add(event.InvalidClaims, "iat", "")
	}
	add(event.Expired, "exp", seconds(0), seconds(-time.Second))
	add(event.NotYetValid, "iat", seconds(time.Second))
	add(event.NotYetValid, "nbf", seconds(time.Second))
	if p.MaxLifetime > 0 {
		add(event.InvalidClaims, "exp", seconds(p.MaxLifetime-time.Minute+time.Second), `999999999999`)
	}

	if len(s.identity.Audience) > 0 {
		a := s.identity.Audience[0]
		add(event.WrongAudience, "aud", "", `[]`, `""`, `[""]`, `"https://other.example"`, strconv.Quote(a+"/"), strconv.Quote(a+" https://other.example"), strconv.Quote(strings.ToUpper(a)+"x"))
		add(event.InvalidClaims, "aud", `null`, `1`, `true`, `{}`, `[1]`, `[[]]`, `[`+strconv.Quote(a)+`,1]`, `[[`+strconv.Quote(a)+`]]`)
		if p.MaxAudiences > 0 {
			add(event.WrongAudience, "aud", `[`+strconv.Quote(a)+strings.Repeat(`,"x"`, p.MaxAudiences)+`]`)
		}
	}
	if p.ScopePrefix != "" {
		add(event.WrongAudience, p.Scope, "", `""`, `"others/read"`, `"orders"`, `"orders/"`, `"ordersx/read"`, `"orders/v2/read"`, `"a.orders/read"`, `"Orders/read"`)
		add(event.WrongAudience, "aud", `"https://other.example"`, `[]`, `""`)
	}
	if p.Scope != "" {
		add(event.InvalidClaims, p.Scope, `["read"]`, `null`, `1`, `true`, `{}`)
	}
	if p.ScopeList != "" && p.Scope == "" {
		add(event.InvalidClaims, p.ScopeList, `"read"`, `null`, `1`, `[1]`, `["a",null]`, `["a b"]`, `[""]`, `["a\n"]`, `["é"]`, `{}`)
	}
	for _, claim := range p.Roles {
		if !strings.HasPrefix(claim, "/") {
			add(event.InvalidClaims, claim, `null`, `1`, `[1]`, `["a",null]`, `[""]`, `""`, `{}`, `[["a"]]`)
		}
	}
	for claim, values := range p.Require {
		add(event.InvalidClaims, claim, append(types, "", `""`, `"x"`, strconv.Quote(strings.ToUpper(values[0])+"x"), strconv.Quote(values[0]+" "), `["`+values[0]+`"]`)...)
	}
	for _, claim := range p.Refuse {
		add(event.InvalidClaims, claim, `"a"`, `null`)
	}
	if p.SubjectPrefix != "" {
		add(event.InvalidClaims, "sub", `"x"`, strconv.Quote(p.SubjectPrefix), strconv.Quote(" "+s.identity.Subject), strconv.Quote(strings.ToUpper(s.identity.Subject)))
	}
	if p.ClientIsSubject {
		add(event.InvalidClaims, p.Client, `"another"`)
	}
	if p.SharedSubject != "" {
		add(event.InvalidClaims, "sub", strconv.Quote(s.identity.Subject+p.SharedSubject))
	}
	if s.want.Subject != "" {
		add(event.InvalidClaims, "sub", strconv.Quote(s.want.Subject+"x"), `"*"`)
	}
	if s.typ != "at+jwt" {
		add(event.WrongTokenType, "at_hash", `"fPlsvVszI29LU2UhDyJ9vg"`, `null`)
		add(event.WrongTokenType, "c_hash", `"x"`)
		add(event.WrongTokenType, "s_hash", `"x"`)
		add(event.WrongTokenType, "nonce", `"x"`, `""`)
		add(event.WrongTokenType, "events", `{}`)
		add(event.WrongTokenType, "token_use", `"id"`)
		add(event.WrongTokenType, "typ", `"ID"`, `"Serialized-ID"`, `"Refresh"`, `"Offline"`, `"Logout"`)
	}
	add(event.SenderConstrained, "cnf", `{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}`, `{}`, `null`)
	return slices.DeleteFunc(changes, func(h hostile) bool { return string(c[h.claim]) == h.value && h.value != "" })
}

// Each claim of each profile: wrong, missing, of another type.
func TestHostileClaims(t *testing.T) {
	made := 0
	for _, s := range shapes() {
		made += len(hostiles(&s))
		t.Run(s.name, func(t *testing.T) {
			if _, err := verify(s.profile, s.typ, s.alg, s.claims(), s.want); err != nil {
				t.Fatal(err)
			}
			for _, h := range hostiles(&s) {
				t.Run(h.claim+"="+h.value, func(t *testing.T) {
					id, err := verify(s.profile, s.typ, s.quick(), s.claims().with(h.claim, h.value), s.want)
					wantRefused(t, id, err, h.reason)
				})
			}
		})
	}
	if made < 1000 {
		t.Errorf("%d tokens were made: the table has lost its subject", made)
	}
}

// Claims inside other claims.
func TestHostileNested(t *testing.T) {
	p := profile.Keycloak()
	p.Roles = append(p.Roles, "/resource_access/orders/roles")
	p.Require["/resource_access/orders/kind"] = []string{"api"}
	var s shape
	for _, s = range shapes() {
		if s.profile.Name == "keycloak" {
			break
		}
	}
	read := func(access string) (profile.Identity, error) {
		return verify(p, s.typ, s.alg, s.claims().with("resource_access", access), s.want)
	}
	id, err := read(`{"orders":{"kind":"api","roles":["writer"]}}`)
	if err != nil || !slices.Equal(id.Roles, []string{"offline_access", "uma_authorization", "writer"}) {
		t.Errorf("roles are %q, %v", id.Roles, err)
	}
	if id, err = read(`{"orders":{"kind":"api"}}`); err != nil || len(id.Roles) != 2 {
		t.Errorf("roles are %q, %v", id.Roles, err)
	}
	for _, access := range []string{
		``, `null`, `1`, `"orders"`, `[]`, `[{"orders":{"kind":"api"}}]`, `{}`, `{"orders":null}`, `{"orders":"kind"}`, `{"orders":["kind"]}`, `{"Orders":{"kind":"api"}}`,
		`{"orders":{"kind":"API"}}`, `{"orders":{"kind":["api"]}}`, `{"orders":{"kind":"api","roles":1}}`, `{"orders":{"kind":"api","roles":[1]}}`, `{"orders":{"kind":"api","roles":null}}`,
		`{"orders":{"kind":"x"},"orders":{"kind":"api"}}`, `{"orders":{"kind":"x","kind":"api"}}`, `{"orders":{"kind":"x","\u006bind":"api"}}`,
	} {
		t.Run(access, func(t *testing.T) {
			document := s.claims().with("resource_access", "").String()
			if access != "" { // json.Marshal would drop a repeated name
				document = strings.TrimSuffix(document, "}") + `,"resource_access":` + access + `}`
			}
			id, err := p.Verify(signed(s.typ, signers()[s.alg], document), signers()[s.alg].Key(), profile.Want{Issuer: s.want.Issuer, Audiences: s.want.Audiences, Now: now})
			wantRefused(t, id, err, event.InvalidClaims)
		})
	}
}

// Headers, keys and payloads, with every profile.
func TestHostileTokens(t *testing.T) {
	for _, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			p, good, want := s.profile, s.claims(), s.want
			want.Now = now
			for _, typ := range []string{
				"dpop+jwt", "client-authentication+jwt", "logout+jwt", "secevent+jwt", "id_token+jwt", "refresh", "Bearer", "at", "at+jwt+x", "JWTx", "x/JWT", "x/at+jwt", "application/application/at+jwt",
				"application/x/JWT", "application/",
			} {
				id, err := verify(p, typ, s.alg, good, s.want)
				wantRefused(t, id, err, event.WrongTokenType)
			}
			for _, typ := range []string{"", "JWT", "JOSE", "at+jwt"} {
				id, err := verify(p, typ, s.alg, good, s.want)
				switch same := func(accepted string) bool { return strings.EqualFold(accepted, typ) }; {
				case !slices.ContainsFunc(p.Types, same):
					wantRefused(t, id, err, event.WrongTokenType)
				case err != nil:
					t.Errorf("typ %q: %v", typ, err)
				}
			}
			for _, typ := range p.Types {
				if typ == "" {
					continue
				}
				if _, err := verify(p, "Application/"+strings.ToUpper(typ), s.alg, good, s.want); err != nil {
					t.Errorf("a media type has no case: %v", err)
				}
			}
			for _, alg := range []string{"RS256", "ES256", "ES384", "EdDSA"} {
				id, err := verify(p, s.typ, alg, good, s.want)
				if len(p.Algorithms) > 0 && !slices.Contains(p.Algorithms, alg) {
					wantRefused(t, id, err, event.MalformedToken)
				} else if err != nil {
					t.Errorf("%s: %v", alg, err)
				}
			}
			key := signers()[s.alg].Key()
			for name, other := range map[string]*jose.Key{"nil": nil, "zero": {}, "another": signers()["other"].Key()} {
				id, err := p.Verify(token(s.typ, s.alg, good), other, want)
				if err == nil {
					t.Errorf("%s key", name)
				}
				wantRefused(t, id, err, event.BadSignature)
			}
			for _, jws := range []*jose.JWS{nil, {}} {
				id, err := p.Verify(jws, key, want)
				wantRefused(t, id, err, "")
			}
			open := strings.TrimSuffix(good.String(), "}")
			for _, document := range []string{
				`null`, `[]`, `""`, `{}`, `[` + good.String() + `]`, good.String() + `{}`, open + `,}`, open + `,"sub":"admin"}`, open + `,"\u0073ub":"admin"}`, open + `,"iss":"` + s.want.Issuer + `"}`, open + ",\"x\":\"\xff\"}", "\ufeff" + good.String(),
			} {
				id, err := p.Verify(signed(s.typ, signers()[s.alg], document), key, want)
				wantRefused(t, id, err, event.InvalidClaims)
			}
		})
	}
}

// ID tokens as the documents show them, for an audience and an issuer that are ours.
func TestIDTokens(t *testing.T) {
	times := `"iat":` + seconds(-time.Minute) + `,"exp":` + seconds(time.Minute)
	const issuer = "https://i.example"
	at := func(p profile.Profile) profile.Profile {
		p.Issuer, p.Public = issuer, false
		return p
	}
	for name, tt := range map[string]struct {
		p     profile.Profile
		cause string
		doc   string
	}{
		"Keycloak": {profile.Keycloak(), "the claim typ is ID", `{` + times + `,"auth_time":1,"jti":"a","iss":"https://i.example","aud":"api","sub":"u","typ":"ID","azp":"api","sid":"s","acr":"1","email_verified":false}`},
		"Auth0":    {profile.Auth0(), "azp is missing", `{"nickname":"u","name":"u","iss":"https://i.example","sub":"auth0|1","aud":"api",` + times + `,"sid":"s"}`},
		"Entra v1": {at(profile.EntraV1(tenant)), "appid is missing", `{"aud":"api","iss":"https://i.example","tid":"` + tenant + `","ver":"1.0","amr":["pwd"],"oid":"o","sub":"u","unique_name":"u","uti":"t","roles":["Admin"],` + times + `}`},
		"Entra v2": {at(profile.EntraV2(tenant)), "azp is missing", `{"aud":"api","iss":"https://i.example","tid":"` + tenant + `","ver":"2.0","oid":"o","sub":"u","preferred_username":"u","uti":"t","roles":["Admin"],` + times + `}`},
		"Azure":    {at(profile.Azure(tenant)), "appid is missing", `{"aud":"api","iss":"https://i.example","tid":"` + tenant + `","ver":"1.0","oid":"o","sub":"u","uti":"t",` + times + `}`},
		"Okta":     {profile.Okta(), "cid is missing", `{"sub":"u","name":"u","ver":1,"iss":"https://i.example","aud":"api",` + times + `,"jti":"ID.radCQMOQUmyvcTBmmIL0J6BaS60apUEiC7","amr":["pwd"],"idp":"00o","auth_time":1}`},
		"Cognito":  {profile.Cognito("api"), "token_use is id", `{"sub":"u","aud":"api","token_use":"id","auth_time":1,"iss":"https://i.example","cognito:username":"u","jti":"j",` + times + `}`},
		"Google":   {at(profile.GCP()), "not the client's own", `{"iss":"https://i.example","azp":"1.apps.googleusercontent.com","aud":"api","sub":"10769150350006150715113082367","email":"u@example.com",` + times + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			want := profile.Want{Issuer: issuer, Audiences: []string{"api"}}
			alg := (&shape{profile: tt.p, alg: "RS256"}).quick()
			for _, typ := range []string{"", "JWT"} {
				id, err := verify(tt.p, typ, alg, payload(tt.doc), want)
				wantRefused(t, id, err, "")
				if typ == "JWT" && err != nil && !strings.Contains(err.Error(), tt.cause) {
					t.Errorf("refused for another reason: %v", err)
				}
				id, err = verify(tt.p, typ, alg, payload(tt.doc).with("at_hash", `"fPlsvVszI29LU2UhDyJ9vg"`), want)
				wantRefused(t, id, err, event.WrongTokenType)
			}
		})
	}
}

// Two tenants of one provider have the same keys, the same clients and the same audience.
func TestOtherTenants(t *testing.T) {
	for _, s := range shapes() {
		if !strings.Contains(s.doc, tenant) {
			continue
		}
		theirs := payload(strings.ReplaceAll(s.claims().String(), tenant, another))
		id, err := verify(s.profile, s.typ, s.alg, theirs, s.want)
		wantRefused(t, id, err, event.WrongIssuer)
		// Whatever they could write into tid or iss alone.
		id, err = verify(s.profile, s.typ, s.alg, theirs.with("iss", string(s.claims()["iss"])), s.want)
		wantRefused(t, id, err, event.InvalidClaims)
		id, err = verify(s.profile, s.typ, s.alg, theirs.with("tid", strconv.Quote(tenant)), s.want)
		wantRefused(t, id, err, event.WrongIssuer)
		// A program that says the other tenant's issuer by mistake gets no token in.
		want := s.want
		want.Issuer = strings.ReplaceAll(s.profile.Issuer, tenant, another)
		id, err = verify(s.profile, s.typ, s.alg, theirs, want)
		wantRefused(t, id, err, event.Misconfigured)
	}
}

// Everybody has a token of GitHub, gitlab.com and Google.
func TestPublicIssuers(t *testing.T) {
	public := 0
	for _, s := range shapes() {
		if !s.profile.Public {
			continue
		}
		public++
		p, want := s.profile, s.want
		p.Require, want.Subject = nil, ""
		id, err := verify(p, s.typ, s.alg, s.claims(), want)
		wantRefused(t, id, err, event.Misconfigured)
		want.Subject = s.identity.Subject
		if _, err := verify(p, s.typ, s.alg, s.claims(), want); err != nil {
			t.Error(err)
		}
	}
	if public != 3 {
		t.Errorf("%d profiles are public, want 3", public)
	}
}
