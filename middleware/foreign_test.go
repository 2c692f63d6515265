package middleware

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/profile"
)

const (
	entraTenant  = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
	entraAnother = "82229342-1101-4ab6-817b-70c0747630f3"
)

// foreignToken is a token in the form that a public document shows, signed with a key of
// ours. Package profile has the sources.
type foreignToken struct {
	profile  profile.Profile
	issuer   string
	audience string
	typ      string
	claims   map[string]string // with iat and exp added
	needed   []string          // claims without which, or with another type, it is refused
	client   string
	id       string
	scopes   []string
	roles    []string
	other    map[string]string // what makes it another tenant's
}

func (f *foreignToken) config(keys jwks.Source) Config {
	p := f.profile
	return Config{Issuer: f.issuer, Audience: f.audience, Keys: keys, Profile: &p}
}

// sign signs the token with these changes: "" removes a claim.
func (f *foreignToken) sign(tb testing.TB, keys *jwks.Keyring, typ string, changes map[string]string) string {
	tb.Helper()
	now := time.Now().Unix()
	claims := map[string]string{"iat": strconv.FormatInt(now-60, 10), "exp": strconv.FormatInt(now+240, 10)}
	maps.Copy(claims, f.claims)
	maps.Copy(claims, changes)
	members := map[string]json.RawMessage{}
	for name, value := range claims {
		if value != "" {
			members[name] = json.RawMessage(value)
		}
	}
	document, err := json.Marshal(members)
	if err != nil {
		tb.Fatal(err)
	}
	token, err := keys.Sign(tb.Context(), typ, document)
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

func foreignTokens() map[string]*foreignToken {
	github := profile.GitHubActions()
	github.Algorithms = nil // the tests sign with ES256
	github.Require = map[string][]string{"repository_owner_id": {"65"}}
	entra := func(p profile.Profile, issuer, version, client string) *foreignToken {
		return &foreignToken{
			profile: p, audience: "api://orders", typ: "JWT", client: "1671f074", id: "4GOPt79G", scopes: []string{"Orders.Read"}, roles: []string{"Orders.Read"},
			claims: map[string]string{"iss": issuer, "aud": `"api://orders"`, "sub": `"72243241"`, client: `"1671f074"`, "tid": strconv.Quote(entraTenant), "ver": version, "uti": `"4GOPt79G"`, "roles": `["Orders.Read"]`},
			needed: []string{"iss", "aud", "sub", client, "tid", "ver", "iat", "exp"},
			other:  map[string]string{"iss": strings.ReplaceAll(issuer, entraTenant, entraAnother), "tid": strconv.Quote(entraAnother)},
		}
	}
	return map[string]*foreignToken{
		"RFC 9068": {
			profile: profile.RFC9068(), issuer: "https://as.example.com/", audience: "https://rs.example.com/", typ: "at+jwt", client: "s6B", id: "dbe39bf3", scopes: []string{"read", "write"},
			claims: map[string]string{"iss": `"https://as.example.com/"`, "aud": `"https://rs.example.com/"`, "sub": `"s6B"`, "client_id": `"s6B"`, "jti": `"dbe39bf3"`, "scope": `"read write"`},
			needed: []string{"iss", "aud", "sub", "client_id", "jti", "iat", "exp"}, other: map[string]string{"iss": `"https://as.example.com"`},
		},
		"Auth0": {
			profile: profile.Auth0(), issuer: "https://acme.auth0.com/", audience: "https://api.example.com", typ: "JWT", client: "my_client", scopes: []string{"read:patients"}, roles: []string{"read:patients"},
			claims: map[string]string{"iss": `"https://acme.auth0.com/"`, "aud": `["https://api.example.com"]`, "sub": `"my_client@clients"`, "azp": `"my_client"`, "gty": `"client-credentials"`, "scope": `"read:patients"`, "permissions": `["read:patients"]`},
			needed: []string{"iss", "aud", "sub", "azp", "iat", "exp"}, other: map[string]string{"iss": `"https://evil.auth0.com/"`},
		},
		"Auth0, RFC 9068": {
			profile: profile.RFC9068(), issuer: "https://acme.auth0.com/", audience: "https://api.example.com", typ: "at+jwt", client: "my_client", id: "73Wak", scopes: []string{"read:patients"},
			claims: map[string]string{"iss": `"https://acme.auth0.com/"`, "aud": `["https://api.example.com"]`, "sub": `"my_client@clients"`, "client_id": `"my_client"`, "jti": `"73Wak"`, "scope": `"read:patients"`},
			needed: []string{"iss", "aud", "sub", "client_id", "jti", "iat", "exp"}, other: map[string]string{"iss": `"https://evil.auth0.com/"`},
		},
		"Keycloak": {
			profile: profile.Keycloak(), issuer: "https://kc.example.com/realms/acme", audience: "orders", typ: "JWT", client: "reporter", id: "f73a4a37", scopes: []string{"email"}, roles: []string{"writer"},
			claims: map[string]string{"iss": `"https://kc.example.com/realms/acme"`, "aud": `["orders","account"]`, "sub": `"7ddaf89f"`, "azp": `"reporter"`, "jti": `"f73a4a37"`, "typ": `"Bearer"`, "scope": `"email"`, "realm_access": `{"roles":["writer"]}`},
			needed: []string{"iss", "aud", "sub", "azp", "jti", "typ", "iat", "exp"}, other: map[string]string{"iss": `"https://kc.example.com/realms/evil"`},
		},
		"Entra v1": entra(profile.EntraV1(entraTenant), `"https://sts.windows.net/`+entraTenant+`/"`, `"1.0"`, "appid"),
		"Entra v2": entra(profile.EntraV2(entraTenant), `"https://login.microsoftonline.com/`+entraTenant+`/v2.0"`, `"2.0"`, "azp"),
		"Okta": {
			profile: profile.Okta(), issuer: "https://acme.okta.com/oauth2/default", audience: "https://api.example.com", client: "nmdP1", id: "AT.0mP4", scopes: []string{"flights", "custom"},
			claims: map[string]string{"iss": `"https://acme.okta.com/oauth2/default"`, "aud": `"https://api.example.com"`, "sub": `"nmdP1"`, "cid": `"nmdP1"`, "jti": `"AT.0mP4"`, "scp": `["flights","custom"]`},
			needed: []string{"iss", "aud", "sub", "cid", "jti", "iat", "exp"}, other: map[string]string{"iss": `"https://evil.okta.com/oauth2/default"`},
		},
		"Cognito": {
			profile: profile.Cognito("orders"), issuer: "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_a", client: "exampleid", id: "7a54e5a0", scopes: []string{"orders/read"}, roles: []string{"testgroup"},
			claims: map[string]string{"iss": `"https://cognito-idp.us-west-2.amazonaws.com/us-west-2_a"`, "sub": `"exampleid"`, "client_id": `"exampleid"`, "jti": `"7a54e5a0"`, "token_use": `"access"`, "scope": `"orders/read"`, "cognito:groups": `["testgroup"]`},
			needed: []string{"iss", "sub", "client_id", "jti", "token_use", "scope", "iat", "exp"}, other: map[string]string{"iss": `"https://cognito-idp.us-west-2.amazonaws.com/us-west-2_b"`},
		},
		"Kubernetes": {
			profile: profile.Kubernetes(), issuer: "https://cluster.example.com", audience: "https://api.example.com", client: "system:serviceaccount:prod:reporter", id: "aed34954",
			claims: map[string]string{"iss": `"https://cluster.example.com"`, "aud": `["https://api.example.com"]`, "sub": `"system:serviceaccount:prod:reporter"`, "jti": `"aed34954"`},
			needed: []string{"iss", "aud", "sub", "iat", "exp"}, other: map[string]string{"iss": `"https://other.example.com"`},
		},
		"GitHub Actions": {
			profile: github, audience: "https://api.example.com", typ: "JWT", client: "repo:octo-org/octo-repo:environment:prod", id: "example-id",
			claims: map[string]string{"iss": `"https://token.actions.githubusercontent.com"`, "aud": `"https://api.example.com"`, "sub": `"repo:octo-org/octo-repo:environment:prod"`, "jti": `"example-id"`, "repository_owner_id": `"65"`},
			needed: []string{"iss", "aud", "sub", "jti", "repository_owner_id", "iat", "exp"}, other: map[string]string{"repository_owner_id": `"66"`},
		},
	}
}

// A token of each kind of issuer is served, and says the same from the cache.
func TestForeignTokens(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	for name, f := range foreignTokens() {
		t.Run(name, func(t *testing.T) {
			var lookups []string
			c := f.config(keys)
			c.Revoked = func(_ context.Context, jti, clientID string, issuedAt time.Time) (bool, error) {
				if issuedAt.IsZero() {
					t.Error("iat is not passed on")
				}
				lookups = append(lookups, jti+" "+clientID)
				return false, nil
			}
			a := foreignAPI(t, c)
			token := f.sign(t, keys, f.typ, nil)
			for range 4 { // the last two from the cache
				got := a.wantServed(t, token)
				if got.ClientID != f.client || got.ID != f.id || !slices.Equal(got.Scopes, f.scopes) || !slices.Equal(got.Roles, f.roles) {
					t.Errorf("the token says %+v", got)
				}
				if iss, err := strconv.Unquote(f.claims["iss"]); err != nil || got.Issuer != iss || got.ExpiresAt.Before(time.Now()) || got.IssuedAt.IsZero() {
					t.Errorf("issuer %q, %v to %v", got.Issuer, got.IssuedAt, got.ExpiresAt)
				}
				if f.claims["aud"] == "" && len(got.Audience) > 0 {
					t.Errorf("the audience is %q", got.Audience)
				}
				for _, s := range f.scopes {
					if !got.HasScope(s) {
						t.Errorf("the scope %q is not found", s)
					}
				}
				for _, r := range f.roles {
					if !slices.Contains(f.scopes, r) && got.HasScope(r) {
						t.Errorf("the role %q became a scope", r)
					}
				}
				var claims struct {
					Subject string `json:"sub"`
				}
				if err := got.Claims(&claims); err != nil || claims.Subject != got.Subject || got.Subject == "" {
					t.Errorf("the claims have the sub %q: %v", claims.Subject, err)
				}
			}
			a.wantServed(t, f.sign(t, keys, f.typ, map[string]string{"exp": strconv.FormatInt(time.Now().Unix()-10, 10)})) // within the leeway
			if len(lookups) != 5 || lookups[3] != f.id+" "+f.client {
				t.Errorf("revocation was asked %q", lookups)
			}
			if cached := a.auth.Status().Hits; *cacheSize >= 0 && cached == 0 {
				t.Error("no token came from the cache")
			}
		})
	}
}

func foreignAPI(tb testing.TB, c Config) *api {
	tb.Helper()
	a := newAPI(tb, Config{Keys: newKeyring(tb, ecKey)})
	if c.CacheSize == 0 {
		c.CacheSize = *cacheSize
	}
	if c.Observe == nil {
		c.Observe = func(_ context.Context, e Event) { a.events = append(a.events, e) }
	}
	auth, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return a.guardedBy(auth)
}

// guardedBy is the same app with another Bearer.
func (a *api) guardedBy(auth *Bearer) *api {
	a.auth = auth
	a.GET("/", a.serve, auth.Require())
	return a
}

// Each claim that is missing, of another type, or another's is a refusal, for the guard as
// for the profile. So are an ID token, another key, and a token that has expired.
func TestForeignTokensRefused(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	for name, f := range foreignTokens() {
		t.Run(name, func(t *testing.T) {
			a := foreignAPI(t, f.config(keys))
			refused := func(what, token string, reasons ...event.Reason) {
				t.Helper()
				for range 3 {
					w := a.get("/", "Bearer "+token)
					last := a.events[len(a.events)-1].Reason
					if w.Code != http.StatusUnauthorized || len(reasons) > 0 && !slices.Contains(reasons, last) {
						t.Errorf("%s: status %d because of %q: %s", what, w.Code, last, a.cause())
					}
				}
			}
			for _, claim := range f.needed {
				for what, value := range map[string]string{
					"missing": "", "null": `null`, "a number in an array": `[7]`, "an object": `{"a":"b"}`, "true": `true`, "empty": `""`, "another": `"another"`, "negative": `-1`,
				} {
					if free := []string{"sub", "jti", "cid", "azp", "appid", "client_id"}; what == "another" && slices.Contains(free, claim) {
						continue // says who calls, and may be any text
					}
					refused(claim+" "+what, f.sign(t, keys, f.typ, map[string]string{claim: value}))
				}
			}
			refused("another tenant's", f.sign(t, keys, f.typ, f.other))
			refused("for another API", f.sign(t, keys, f.typ, map[string]string{"aud": `"https://other.example.com"`}), event.WrongAudience)
			refused("expired", f.sign(t, keys, f.typ, map[string]string{"exp": strconv.FormatInt(time.Now().Unix()-60, 10)}), event.Expired)
			refused("of tomorrow", f.sign(t, keys, f.typ, map[string]string{"nbf": strconv.FormatInt(time.Now().Unix()+90, 10)}), event.NotYetValid)
			refused("bound", f.sign(t, keys, f.typ, map[string]string{"cnf": `{"jkt":"` + strings.Repeat("A", 43) + `"}`}), event.SenderConstrained)
			refused("another type", f.sign(t, keys, "logout+jwt", nil), event.WrongTokenType)
			refused("another key", f.sign(t, newKeyring(t, strangeKey), f.typ, nil), event.UnknownKey)
			if f.typ != "at+jwt" {
				for mark, value := range map[string]string{"nonce": `"n"`, "at_hash": `"h"`, "c_hash": `"h"`, "events": `{}`, "token_use": `"id"`} {
					refused("an ID token with "+mark, f.sign(t, keys, f.typ, map[string]string{mark: value}))
				}
			}
			if len(a.tokens) > 0 || a.auth.Status().Cached > 0 {
				t.Error("one was served or cached")
			}
		})
	}
}

// A token of one kind of issuer is refused where another is expected, also if both share
// their keys.
func TestForeignTokensOfOtherProfiles(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	for name, f := range foreignTokens() {
		a := foreignAPI(t, f.config(keys))
		issuer := a.auth.issuer
		for otherName, other := range foreignTokens() {
			iss, err := strconv.Unquote(other.claims["iss"])
			if err != nil || iss == issuer {
				continue
			}
			if w := a.get("/", "Bearer "+other.sign(t, keys, other.typ, map[string]string{"aud": strconv.Quote(f.audience)})); w.Code != http.StatusUnauthorized {
				t.Errorf("%s is served as %s: %d", otherName, name, w.Code)
			}
		}
	}
}

// What can change is checked at each use of a token that is cached.
func TestForeignTokenExpiresInTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := foreignTokens()["Keycloak"]
		keys := newKeyring(t, ecKey)
		c := f.config(keys)
		p := f.profile
		p.MaxAge = 2 * time.Minute // issued a minute ago
		c.Profile = &p
		a := foreignAPI(t, c)
		token := f.sign(t, keys, f.typ, nil)
		p.MaxAge = time.Hour // New has copied it
		for range 3 {
			a.wantServed(t, token)
		}
		time.Sleep(89 * time.Second) // with the leeway
		a.wantServed(t, token)
		time.Sleep(2 * time.Second)
		a.wantInvalid(t, token, "expired")
	})
}

// Without a jti, an answer of introspection is of this very token.
func TestForeignTokenWithoutID(t *testing.T) {
	t.Parallel()
	f := foreignTokens()["Auth0"]
	keys := newKeyring(t, ecKey)
	first, second := f.sign(t, keys, f.typ, nil), f.sign(t, keys, f.typ, map[string]string{"scope": `"other"`})
	var asked atomic.Int64
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte(`{"active":` + strconv.FormatBool(r.PostFormValue("token") == first) + `}`))
	}))
	defer issuer.Close()
	c := f.config(keys)
	c.Introspection = &Introspection{Endpoint: issuer.URL, Client: issuer.Client(), ClientID: "api", ClientSecret: "s"}
	a := foreignAPI(t, c)
	defer a.auth.Close()
	for range 3 {
		a.wantServed(t, first)
		a.wantInvalid(t, second, "revoked")
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("%d questions about two tokens", n)
	}
}

func TestNewRefusesProfiles(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	owner := profile.GitHubActions()
	owner.Require = map[string][]string{"repository_owner_id": {"65"}}
	for name, tt := range map[string]struct {
		profile  profile.Profile
		issuer   string
		audience string
		want     string // "" for none
	}{
		"zero":                   {profile.Profile{}, testIssuer, testAudience, "Profile.Types is empty"},
		"a name of a tenant":     {profile.EntraV2("common"), "", testAudience, "write its id, a GUID"},
		"public":                 {profile.GitHubActions(), "", testAudience, "Profile.Require"},
		"public, with whose":     {owner, "", testAudience, ""},
		"another issuer":         {owner, testIssuer, testAudience, "leave Issuer empty"},
		"the same issuer":        {owner, owner.Issuer, testAudience, ""},
		"no issuer":              {profile.Keycloak(), "", testAudience, "Config.Issuer is empty"},
		"no audience":            {profile.Keycloak(), testIssuer, "", "Config.Audience is empty"},
		"scopes in its place":    {profile.Cognito("orders"), testIssuer, "", ""},
		"Cognito without either": {profile.Cognito(""), testIssuer, "", "Config.Audience is empty"},
	} {
		b, err := New(Config{Issuer: tt.issuer, Audience: tt.audience, Keys: keys, Profile: &tt.profile})
		if (err == nil) != (tt.want == "") || (b == nil) != (err != nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
