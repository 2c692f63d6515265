package issuertest

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// hostile is a token that differs from a good one in one point, and why it is refused.
type hostile struct {
	name   string
	reason event.Reason
	says   string // in the error of the event
	change func(t *testing.T, d *draft)
}

func headerOf(name, member, value string, reason event.Reason, says string) hostile {
	return hostile{name, reason, says, func(_ *testing.T, d *draft) { d.header.set(member, value) }}
}

func claimOf(name, member, value string, reason event.Reason, says string) hostile {
	return hostile{name, reason, says, func(_ *testing.T, d *draft) { d.claims.set(member, value) }}
}

func noClaim(member string, reason event.Reason, says string) hostile {
	return hostile{"no " + member, reason, says, func(_ *testing.T, d *draft) { d.claims.remove(member) }}
}

func payloadThat(name, says string, change func(claims string) string) hostile {
	return hostile{name, event.MalformedCredential, says, func(_ *testing.T, d *draft) { d.payload = change(d.claims.String()) }}
}

func tokenThat(name string, reason event.Reason, says string, spell func(token string) string) hostile {
	return hostile{name, reason, says, func(_ *testing.T, d *draft) { d.spell = spell }}
}

// attackers are the keys of the attacker, by algorithm.
var attackers = map[string]func() (crypto.Signer, error){
	"RS256": sync.OnceValues(func() (crypto.Signer, error) { return jose.Generate("RS256") }),
	"ES256": sync.OnceValues(func() (crypto.Signer, error) { return jose.Generate("ES256") }),
	"ES384": sync.OnceValues(func() (crypto.Signer, error) { return jose.Generate("ES384") }),
}

// signedBy is a token that another key has signed.
func signedBy(name string, reason event.Reason, says string, change func(t *testing.T, d *draft, key crypto.Signer)) hostile {
	return hostile{name, reason, says, func(t *testing.T, d *draft) {
		t.Helper()
		key, err := attackers[strings.Trim(d.header.get("alg"), `"`)]()
		if err != nil {
			t.Fatal(err)
		}
		d.mac = func(input string) []byte {
			signature, err := sign(key, input)
			if err != nil {
				t.Error(err)
			}
			return signature
		}
		change(t, d, key)
	}}
}

// withoutKey is a token with an alg that has no signature of a key.
func withoutKey(name, alg string, mac func(input string) []byte) hostile {
	return hostile{name, event.MalformedCredential, notAllowed, func(_ *testing.T, d *draft) {
		d.header.set("alg", quote(alg))
		d.mac = mac
	}}
}

func part(token string, n int, change func(part string) string) string {
	return spelled(token, func(parts []string) { parts[n] = change(parts[n]) })
}

const (
	noSuchIssuer = "iss is not one of Config.WorkloadIssuers"
	notOfRecord  = "the client has no workload with the issuer, the subject and one of the audiences"
	idToken      = "it is an ID token"
)

// hostileForms are refused before any key is asked for.
var hostileForms = []hostile{
	withoutKey("alg none", "none", func(string) []byte { return []byte("x") }),
	withoutKey("alg None", "None", func(string) []byte { return []byte("x") }),
	withoutKey("alg unknown", "XX256", func(string) []byte { return []byte("x") }),
	{"HS256 with the public key", event.WrongMethod, notAllowed, func(t *testing.T, d *draft) {
		t.Helper()
		key, err := jose.Generate("ES256")
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		d.header.set("alg", `"HS256"`)
		d.mac = func(input string) []byte {
			h := hmac.New(sha256.New, der)
			h.Write([]byte(input))
			return h.Sum(nil)
		}
	}},
	{"no alg", event.MalformedCredential, notAllowed, func(_ *testing.T, d *draft) { d.header.remove("alg") }},
	headerOf("crit", "crit", `["exp"]`, event.MalformedCredential, uncritical),
	headerOf("b64", "b64", `false`, event.MalformedCredential, uncritical),
	headerOf("kid number", "kid", `7`, event.MalformedCredential, noText),
	headerOf("kid null", "kid", `null`, event.MalformedCredential, noText),
	headerOf("typ number", "typ", `7`, event.MalformedCredential, "typ is not a string"),
	{"header twice", event.MalformedCredential, twice, func(_ *testing.T, d *draft) { d.header.add("kid", `"x"`) }},
	tokenThat("two parts", event.MalformedCredential, shape, func(token string) string { return token[:strings.LastIndexByte(token, '.')] }),
	tokenThat("empty signature", event.MalformedCredential, shape, func(token string) string { return token[:strings.LastIndexByte(token, '.')+1] }),
	tokenThat("five parts", event.MalformedCredential, shape, func(token string) string { return token + ".AA.AA" }),
	tokenThat("padding", event.BadSignature, illegalText, func(token string) string { return token + "==" }),
	tokenThat("newline", event.MalformedCredential, "line break in a token", func(token string) string { return inSignature(token, "\n") }),
	tokenThat("too long", event.MalformedCredential, "more than 16384", func(token string) string {
		return part(token, 2, func(string) string { return strings.Repeat("A", 20_000) })
	}),
	tokenThat("opaque", event.MalformedCredential, shape, func(string) string { return "2YotnFZFEjr1zCsicMWpAA" }),
	payloadThat("an array", noObject, func(claims string) string { return "[" + claims + "]" }),
	payloadThat("trailing data", "something follows the JSON object", func(claims string) string { return claims + "{}" }),
	payloadThat("invalid UTF-8", "UTF-8", func(claims string) string { return strings.TrimSuffix(claims, "}") + ",\"x\":\"\xff\"}" }),
	payloadThat("sub twice", twice, func(claims string) string { return strings.TrimSuffix(claims, "}") + `,"sub":"x"}` }),
	payloadThat("aud twice, escaped", twice, func(claims string) string { return strings.TrimSuffix(claims, "}") + `,"\u0061ud":"x"}` }),
	claimOf("iss list", "iss", `["https://a.test"]`, event.MalformedCredential, "iss"),
	claimOf("iss null", "iss", `null`, event.MalformedCredential, "iss"),
	claimOf("sub number", "sub", `7`, event.MalformedCredential, "sub"),
	headerOf("typ of an access token", "typ", `"at+jwt"`, event.WrongTokenType, `typ is "at+jwt"`),
	headerOf("typ of a proof", "typ", `"dpop+jwt"`, event.WrongTokenType, `typ is "dpop+jwt"`),
	headerOf("typ of an assertion", "typ", `"client-authentication+jwt"`, event.WrongTokenType, `typ is "client-authentication+jwt"`),
	headerOf("typ of a logout token", "typ", `"logout+jwt"`, event.WrongTokenType, `typ is "logout+jwt"`),
}

// hostileParties are tokens of another issuer, another workload or another server, or
// signed by another key.
var hostileParties = []hostile{
	noClaim("iss", event.BadAssertion, noSuchIssuer),
	claimOf("another iss", "iss", `"https://other-issuer.test"`, event.BadAssertion, noSuchIssuer),
	{"iss and a host", event.BadAssertion, noSuchIssuer, func(_ *testing.T, d *draft) {
		d.claims.set("iss", strings.TrimSuffix(d.claims.get("iss"), `"`)+`.attacker.test"`)
	}},
	claimOf("iss of this server", "iss", `"https://m2m.test"`, event.BadAssertion, noSuchIssuer),
	headerOf("another kid", "kid", `"x"`, event.UnknownKey, "unknown key"),
	headerOf("kid of a path", "kid", `"../../dev/null"`, event.UnknownKey, "unknown key"),
	headerOf("kid empty", "kid", `""`, event.UnknownKey, "unknown key"),
	{"no kid", event.UnknownKey, "unknown key", func(_ *testing.T, d *draft) { d.header.remove("kid") }},
	signedBy("another key", event.BadSignature, "jose: signature: ", func(*testing.T, *draft, crypto.Signer) {}),
	signedBy("another key, by its name", event.UnknownKey, "unknown key", func(t *testing.T, d *draft, key crypto.Signer) {
		t.Helper()
		public, err := jose.NewKey(key.Public(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		d.header.set("kid", quote(public.ID()))
	}),
	signedBy("another key, embedded", event.BadSignature, "jose: signature: ", func(t *testing.T, d *draft, key crypto.Signer) {
		t.Helper()
		public, err := jose.NewKey(key.Public(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		set, err := jose.NewSet(public)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		d.header.set("jwk", strings.TrimSuffix(strings.TrimPrefix(string(encoded), `{"keys":[`), `]}`))
	}),
	signedBy("another key, at jku", event.BadSignature, "jose: signature: ", func(_ *testing.T, d *draft, _ crypto.Signer) {
		d.header.set("jku", `"https://attacker.test/keys"`)
	}),
	{"changed", event.BadSignature, "signature", func(_ *testing.T, d *draft) {
		d.spell = func(token string) string {
			d.claims.add("admin", "true")
			changed := encode(d.claims.String())
			return part(token, 1, func(string) string { return changed })
		}
	}},
	tokenThat("signature of zeros", event.BadSignature, "signature", func(token string) string {
		return part(token, 2, func(signature string) string { return encode(strings.Repeat("\x00", len(signature)*3/4)) })
	}),
	tokenThat("cut short", event.BadSignature, "signature", func(token string) string { return token[:len(token)-40] }),
	noClaim("sub", event.BadAssertion, notOfRecord),
	claimOf("sub empty", "sub", `""`, event.BadAssertion, notOfRecord),
	claimOf("sub is *", "sub", `"*"`, event.BadAssertion, notOfRecord),
	{"sub that goes on", event.BadAssertion, notOfRecord, func(_ *testing.T, d *draft) {
		d.claims.set("sub", strings.TrimSuffix(d.claims.get("sub"), `"`)+`x"`)
	}},
	{"sub with a space", event.BadAssertion, notOfRecord, func(_ *testing.T, d *draft) {
		d.claims.set("sub", strings.TrimSuffix(d.claims.get("sub"), `"`)+` "`)
	}},
	noClaim("aud", event.BadAssertion, notOfRecord),
	claimOf("another aud", "aud", `"https://other.test"`, event.BadAssertion, notOfRecord),
	claimOf("aud with a slash", "aud", `"https://m2m.test/"`, event.BadAssertion, notOfRecord),
	claimOf("aud of the endpoint", "aud", `"https://m2m.test/token"`, event.BadAssertion, notOfRecord),
	claimOf("aud and a host", "aud", `"https://m2m.test.attacker.test"`, event.BadAssertion, notOfRecord),
	claimOf("aud in a text", "aud", `"https://m2m.test https://other.test"`, event.BadAssertion, notOfRecord),
	claimOf("aud empty", "aud", `[]`, event.BadAssertion, notOfRecord),
	claimOf("aud null", "aud", `null`, event.BadAssertion, notOfRecord),
	claimOf("aud nested", "aud", `[["https://m2m.test"]]`, event.BadAssertion, notOfRecord),
}

// hostileClaims are signed by the issuer, for this server and by the right workload.
var hostileClaims = []hostile{
	{"expired", event.Expired, "expired", func(_ *testing.T, d *draft) { d.at(-3600, -60) }},
	{"expired long ago", event.Expired, "expired", func(_ *testing.T, d *draft) { d.at(-600-365*24*3600, -365*24*3600) }},
	{"lives for a year", event.InvalidClaims, "exp lies", func(_ *testing.T, d *draft) { d.at(0, 365*24*3600) }},
	{"from the future", event.NotYetValid, "", func(_ *testing.T, d *draft) { d.at(600, 900) }},
	{"nbf in the future", event.NotYetValid, "nbf", func(_ *testing.T, d *draft) { d.claims.set("nbf", number(d.now.Unix()+200)) }},
	noClaim("exp", event.InvalidClaims, "exp is missing"),
	claimOf("exp text", "exp", `"99999999999"`, event.InvalidClaims, "exp"),
	claimOf("exp null", "exp", `null`, event.InvalidClaims, "exp"),
	claimOf("exp too large", "exp", `1e300`, event.InvalidClaims, "exp"),
	claimOf("iat text", "iat", `"1"`, event.InvalidClaims, "iat"),
	claimOf("nbf text", "nbf", `"1"`, event.InvalidClaims, "nbf"),
	claimOf("ID token: nonce", "nonce", `"n"`, event.WrongTokenType, idToken),
	claimOf("ID token: at_hash", "at_hash", `"h"`, event.WrongTokenType, idToken),
	claimOf("ID token: token_use", "token_use", `"id"`, event.WrongTokenType, idToken),
	claimOf("ID token: typ", "typ", `"ID"`, event.WrongTokenType, "it is no access token"),
	claimOf("logout token", "events", `{}`, event.WrongTokenType, "logout token"),
	claimOf("bound to a key", "cnf", `{"jkt":"x"}`, event.SenderConstrained, "cnf"),
	claimOf("bound to a certificate", "cnf", `{"x5t#S256":"x"}`, event.SenderConstrained, "cnf"),
}

// at sets the times of a token, in seconds from now.
func (d *draft) at(issued, expires int64) {
	d.claims.replace("iat", number(d.now.Unix()+issued))
	d.claims.replace("nbf", number(d.now.Unix()+issued))
	d.claims.set("exp", number(d.now.Unix()+expires))
}

// hostileOf are the tokens that one kind alone refuses, or refuses for this reason.
var hostileOf = map[WorkloadKind][]hostile{
	Kubernetes: {
		noClaim("iat", event.InvalidClaims, "iat is missing"),
		claimOf("jti empty", "jti", `""`, event.InvalidClaims, "jti is missing or empty"),
		claimOf("default account", "sub", `"system:serviceaccount:my-namespace:default"`, event.BadAssertion, notOfRecord),
		claimOf("a user", "sub", `"kubernetes-admin"`, event.BadAssertion, notOfRecord),
		headerOf("alg of another key", "alg", `"ES256"`, event.UnknownKey, "unknown key"),
		{"token of a secret, which never expires", event.InvalidClaims, "exp is missing", func(_ *testing.T, d *draft) { d.claims.remove("exp"); d.claims.remove("iat"); d.claims.remove("nbf") }},
	},
	GitHubActions: {
		noClaim("iat", event.InvalidClaims, "iat is missing"),
		noClaim("jti", event.InvalidClaims, "jti is missing or empty"),
		{"no typ", event.WrongTokenType, `typ is ""`, func(_ *testing.T, d *draft) { d.header.remove("typ") }},
		headerOf("another alg", "alg", `"ES256"`, event.MalformedToken, `alg is "ES256"`),
		claimOf("two audiences", "aud", `["https://m2m.test","https://other.test"]`, event.WrongAudience, "aud has 2 elements"),
		claimOf("a pull request", "sub", `"repo:octo-org/octo-repo:pull_request"`, event.BadAssertion, notOfRecord),
		claimOf("a fork", "sub", `"repo:attacker/octo-repo:environment:prod"`, event.BadAssertion, notOfRecord),
		claimOf("another environment", "sub", `"repo:octo-org/octo-repo:environment:test"`, event.BadAssertion, notOfRecord),
	},
	GitLabCI: {
		noClaim("iat", event.InvalidClaims, "iat is missing"),
		noClaim("jti", event.InvalidClaims, "jti is missing or empty"),
		{"no typ", event.WrongTokenType, `typ is ""`, func(_ *testing.T, d *draft) { d.header.remove("typ") }},
		headerOf("another alg", "alg", `"PS256"`, event.MalformedToken, `alg is "PS256"`),
		claimOf("another branch", "sub", `"project_path:my-group/my-project:ref_type:branch:ref:other"`, event.BadAssertion, notOfRecord),
		claimOf("a tag of that name", "sub", `"project_path:my-group/my-project:ref_type:tag:ref:feature-branch-1"`, event.BadAssertion, notOfRecord),
	},
	AWS: {
		noClaim("iat", event.InvalidClaims, "iat is missing"),
		noClaim("jti", event.InvalidClaims, "jti is missing or empty"),
		headerOf("another alg", "alg", `"ES256"`, event.MalformedToken, `alg is "ES256"`),
		{"eleven audiences", event.WrongAudience, "aud has 11 elements", func(_ *testing.T, d *draft) {
			d.claim("aud", append(slices.Repeat([]string{"https://other.test"}, 10), "https://m2m.test"))
		}},
		claimOf("another account", "sub", `"arn:aws:iam::999999999999:role/DataProcessingRole"`, event.BadAssertion, notOfRecord),
		{"two hours", event.InvalidClaims, "exp lies", func(_ *testing.T, d *draft) { d.at(0, 7200) }},
	},
	GCP: {
		noClaim("iat", event.InvalidClaims, "iat is missing"),
		noClaim("azp", event.InvalidClaims, "azp is missing or empty"),
		claimOf("azp of an app", "azp", `"my-app.apps.example.com"`, event.InvalidClaims, "the token is not the client's own"),
		claimOf("two audiences", "aud", `["https://m2m.test","https://other.test"]`, event.WrongAudience, "aud has 2 elements"),
		claimOf("sub is an email", "sub", `"716149158341-compute@developer.gserviceaccount.com"`, event.BadAssertion, notOfRecord),
		headerOf("another alg", "alg", `"ES256"`, event.MalformedToken, `alg is "ES256"`),
	},
	Azure: {
		noClaim("iat", event.InvalidClaims, "iat is missing"),
		noClaim("appid", event.InvalidClaims, "appid is missing or empty"),
		claimOf("another tenant", "tid", `"82229342-1101-4ab6-817b-70c0747630f3"`, event.InvalidClaims, "tid is"),
		claimOf("version 2", "ver", `"2.0"`, event.InvalidClaims, "ver is"),
		claimOf("of a user", "scp", `"user_impersonation"`, event.InvalidClaims, "scp: no token with this claim"),
		claimOf("iss of another tenant", "iss", `"https://sts.windows.net/82229342-1101-4ab6-817b-70c0747630f3/"`, event.BadAssertion, noSuchIssuer),
		{"no typ", event.WrongTokenType, `typ is ""`, func(_ *testing.T, d *draft) { d.header.remove("typ") }},
	},
	SPIFFEDraft: {
		claimOf("another trust domain", "sub", `"spiffe://other.test/ns/billing/sa/reporter"`, event.BadAssertion, notOfRecord),
		claimOf("the domain's authority", "sub", `"spiffe://prod.test"`, event.BadAssertion, notOfRecord),
		claimOf("default account", "sub", `"spiffe://prod.test/ns/billing/sa/default"`, event.BadAssertion, notOfRecord),
		headerOf("EdDSA", "alg", `"EdDSA"`, event.MalformedToken, `alg is "EdDSA"`),
		{"two hours without iat", event.InvalidClaims, "exp lies", func(_ *testing.T, d *draft) { d.claims.remove("iat"); d.claims.set("exp", number(d.now.Unix()+7200)) }},
	},
}

// Every token of the tables is refused for its own reason, and a good one before and
// after it is accepted.
func TestHostileWorkloadTokens(t *testing.T) {
	t.Parallel()
	general := slices.Concat(hostileForms, hostileParties, hostileClaims)
	distinct, all := len(general), 0
	for _, kind := range WorkloadKinds() {
		distinct += len(hostileOf[kind])
		all += len(general) + len(hostileOf[kind])
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := NewWorkload(t, kind)
			s := newServer(t, trust, w)
			s.want(t, "a good token before", 200, w.Token(t))
			seen := map[string]bool{}
			for _, h := range slices.Concat(general, hostileOf[kind]) {
				if seen[h.name] {
					t.Errorf("%s is there twice", h.name)
				}
				seen[h.name] = true
				d, err := w.draft(nil)
				if err != nil {
					t.Fatal(err)
				}
				h.change(t, d)
				token, err := d.token()
				if err != nil {
					t.Fatal(h.name, err)
				}
				status, code, reason, cause := s.post(t, token)
				if status != 401 || code != "invalid_client" || reason != h.reason || !strings.Contains(cause, h.says) {
					t.Errorf("%s: status %d %s, reason %q (%s), want %q (%s)", h.name, status, code, reason, cause, h.reason, h.says)
				}
			}
			s.want(t, "a good token after", 200, w.Token(t))
		})
	}
	if all < 500 || distinct < 115 {
		t.Errorf("%d hostile tokens, %d kinds of them", all, distinct)
	}
}
