package middleware

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// proverKey is the DPoP key of the good client. strangeKey is that of an attacker.
var proverKey, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)

func newProver(tb testing.TB, key *ecdsa.PrivateKey) *pop.Prover {
	tb.Helper()
	p, err := pop.NewProver(key, "")
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// bindTo is the change of claims that binds a token to the members of cnf.
func bindTo(members ...string) map[string]string {
	return map[string]string{"cnf": "{" + strings.Join(members, ",") + "}"}
}

func jktOf(p *pop.Prover) string { return `"jkt":` + strconv.Quote(p.Thumbprint()) }

func x5tOf(certificate *x509.Certificate) string {
	return `"x5t#S256":` + strconv.Quote(pop.CertificateThumbprint(certificate))
}

// holder is a client with a DPoP key and a token that is bound to it.
type holder struct {
	*pop.Prover
	token string
	nonce string
}

func newHolder(tb testing.TB, keys *jwks.Keyring, members ...string) *holder {
	tb.Helper()
	p := newProver(tb, proverKey)
	return &holder{Prover: p, token: sign(tb, keys, payload(bindTo(append(members, jktOf(p))...)))}
}

// proof is a fresh proof for a path below testAudience.
func (h *holder) proof(tb testing.TB, method, path string) string {
	tb.Helper()
	proof, err := h.Proof(method, testAudience+path, h.token, h.nonce)
	if err != nil {
		tb.Fatal(err)
	}
	return proof
}

// request is a request with the token and these DPoP headers; a fresh proof without any.
func (h *holder) request(tb testing.TB, method, path string, proofs ...string) *http.Request {
	tb.Helper()
	if proofs == nil {
		proofs = []string{h.proof(tb, method, path)}
	}
	r := request(method, path, "DPoP "+h.token)
	r.Header["Dpop"] = proofs
	return r
}

func (a *api) wantStatus(t *testing.T, what string, r *http.Request, status int) *httptest.ResponseRecorder {
	t.Helper()
	served := len(a.tokens)
	w := a.send(r)
	if w.Code != status || (len(a.tokens) > served) != (status == http.StatusOK) {
		t.Errorf("%s: status %d, want %d: %s %q", what, w.Code, status, a.cause(), w.Header().Values("WWW-Authenticate"))
	}
	return w
}

// wantRefused is a 401 with this code for this reason.
func (a *api) wantRefused(t *testing.T, what string, r *http.Request, code string, reason event.Reason) *httptest.ResponseRecorder {
	t.Helper()
	w := a.wantStatus(t, what, r, http.StatusUnauthorized)
	if e := a.events[len(a.events)-1]; e.Reason != reason || e.Code != code || e.Err == nil {
		t.Errorf("%s: reason %q, code %q, want %q, %q: %v", what, e.Reason, e.Code, reason, code, e.Err)
	}
	return w
}

// TRAPS: a bound token is accepted as a plain bearer token.
func TestBoundTokenIsNoBearerToken(t *testing.T) {
	keys := newKeyring(t, ecKey)
	certificate := newCertificate(t).Leaf
	h := newHolder(t, keys)
	both := newHolder(t, keys, x5tOf(certificate))
	tokens := map[string]string{"DPoP": h.token, "both": both.token, "certificate": sign(t, keys, payload(bindTo(x5tOf(certificate))))}
	for config, c := range map[string]Config{
		"off": {}, "DPoP": {DPoP: &DPoP{BaseURL: testAudience}}, "certificates": {ClientCertificates: &ClientCertificates{}},
		"both": {DPoP: &DPoP{BaseURL: testAudience}, ClientCertificates: &ClientCertificates{}, RequireBound: true},
	} {
		c.Keys = keys
		a := newAPI(t, c)
		for kind, token := range tokens {
			for range 3 { // also from the cache
				for _, header := range []http.Header{{}, {"Dpop": {h.proof(t, "GET", "/")}}, {"Dpop": {""}}} {
					r := request(http.MethodGet, "/", "Bearer "+token)
					if header["Dpop"] != nil {
						r.Header["Dpop"] = header["Dpop"]
					}
					a.wantRefused(t, config+": "+kind, r, codeInvalidToken, event.SenderConstrained)
				}
			}
		}
		a.wantStatus(t, config+": an unbound token", request(http.MethodGet, "/", "Bearer "+goodToken(t, keys)), map[bool]int{false: 200, true: 401}[c.RequireBound])
	}
}

// A token that is bound in a way that nobody checks is refused, whatever is checked beside.
func TestConfirmationForms(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience}, ClientCertificates: &ClientCertificates{}})
	h := newHolder(t, keys)
	jkt := h.Thumbprint()
	loose := jkt[:42] + string(jkt[42]+1) // the same bytes, with other trailing bits
	for _, cnf := range []string{
		`null`, `{}`, `[]`, `"` + jkt + `"`, `1`, `true`, `[{"jkt":"` + jkt + `"}]`,
		`{"jkt":null}`, `{"jkt":""}`, `{"jkt":5}`, `{"jkt":["` + jkt + `"]}`, `{"jkt":"` + jkt[1:] + `"}`, `{"jkt":"` + jkt + `="}`, `{"jkt":"` + loose + `"}`,
		`{"jkt":"` + jkt[:20] + `\n` + jkt[21:] + `"}`, `{"jkt":"` + strings.Repeat("é", 21) + `a"}`,
		`{"JKT":"` + jkt + `"}`, `{"jkt":"` + jkt + `","JKT":"x"}`, `{"jkt":"` + jkt + `","jkt":"` + jkt + `"}`,
		`{"jkt":"` + jkt + `","jwk":{}}`, `{"jkt":"` + jkt + `","kid":"a"}`, `{"jkt":"` + jkt + `","x5t#S256":null}`, `{"jkt":"` + jkt + `","x5t#S256":""}`,
		`{"kid":"a"}`, `{"jwk":{"kty":"EC"}}`, `{"x5t":"` + jkt + `"}`, `{"x5t#S256":""}`, `{"x5t#s256":"` + jkt + `"}`,
	} {
		h.token = sign(t, keys, payload(map[string]string{"cnf": cnf}))
		a.wantRefused(t, cnf+", DPoP", h.request(t, "GET", "/"), codeInvalidToken, event.SenderConstrained)
		a.wantRefused(t, cnf+", Bearer", request(http.MethodGet, "/", "Bearer "+h.token), codeInvalidToken, event.SenderConstrained)
	}
	// Another spelling of the claim's name is another claim, and binds nothing.
	h.token = sign(t, keys, payload(map[string]string{"CNF": `{"jkt":"` + jkt + `"}`}))
	a.wantRefused(t, "CNF", h.request(t, "GET", "/"), codeInvalidToken, event.Unbound)
}

// A Bearer that checks one of both refuses a token with the other.
func TestOtherBindingIsRefused(t *testing.T) {
	keys := newKeyring(t, ecKey)
	certificate := newCertificate(t).Leaf
	for name, c := range map[string]Config{"DPoP": {DPoP: &DPoP{BaseURL: testAudience}}, "certificates": {ClientCertificates: &ClientCertificates{}}} {
		c.Keys = keys
		a := newAPI(t, c)
		h := newHolder(t, keys, x5tOf(certificate))
		r := h.request(t, "GET", "/")
		withCertificate(r, certificate)
		code, reason := codeInvalidToken, event.SenderConstrained
		if name == "certificates" {
			code, reason = "", event.NoToken // DPoP is no scheme here
		}
		a.wantRefused(t, name, r, code, reason)
	}
}

// A token with both bindings needs both, and what it was bound to reaches the handler.
func TestBothBindings(t *testing.T) {
	keys := newKeyring(t, ecKey)
	certificate, other := newCertificate(t).Leaf, newCertificate(t).Leaf
	a := newAPI(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience}, ClientCertificates: &ClientCertificates{}, RequireBound: true})
	h := newHolder(t, keys, x5tOf(certificate))
	r := h.request(t, "GET", "/")
	a.wantRefused(t, "no certificate", r, codeInvalidToken, event.SenderConstrained)
	withCertificate(r, other)
	a.wantRefused(t, "another certificate", r, codeInvalidToken, event.SenderConstrained)
	withCertificate(r, certificate)
	a.wantStatus(t, "both, and the proof is not used up", r, http.StatusOK)
	a.wantRefused(t, "the proof once more", r, "invalid_dpop_proof", event.ReplayedProof)
	r = h.request(t, "GET", "/", []string{}...)
	r.Header.Del("DPoP")
	withCertificate(r, certificate)
	a.wantRefused(t, "no proof", r, "invalid_dpop_proof", event.InvalidProof)

	got := a.tokens[len(a.tokens)-1]
	if want := (Confirmation{h.Thumbprint(), pop.CertificateThumbprint(certificate)}); got.Confirmation == nil || *got.Confirmation != want {
		t.Errorf("the handler has %+v, want %+v", got.Confirmation, want)
	}
	var claims struct {
		Bound map[string]string `json:"cnf"`
	}
	if err := got.Claims(&claims); err != nil || claims.Bound["jkt"] != h.Thumbprint() {
		t.Errorf("claims %+v, %v", claims, err)
	}
}

// The scheme says how the token is bound: DPoP to a key, Bearer to a certificate alone.
func TestSchemeFitsTheBinding(t *testing.T) {
	keys := newKeyring(t, ecKey)
	certificate := newCertificate(t).Leaf
	a := newAPI(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience}, ClientCertificates: &ClientCertificates{}})
	h := newHolder(t, keys)
	h.token = sign(t, keys, payload(bindTo(x5tOf(certificate))))
	r := h.request(t, "GET", "/")
	withCertificate(r, certificate)
	a.wantRefused(t, "DPoP, and bound to a certificate", r, codeInvalidToken, event.SenderConstrained)
	r.Header["Authorization"] = []string{"Bearer " + h.token}
	a.wantStatus(t, "Bearer, and bound to a certificate", r, http.StatusOK)
	h.token = goodToken(t, keys)
	a.wantRefused(t, "DPoP, and bound to nothing", h.request(t, "GET", "/"), codeInvalidToken, event.Unbound)
	if a.wantServed(t, h.token).Confirmation != nil {
		t.Error("a plain token has a confirmation")
	}
}

// TRAPS: two tokens, and the first valid one wins.
func TestTwoAuthorizationHeadersOfBoundTokens(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience}})
	h := newHolder(t, keys)
	for _, headers := range [][]string{
		{"DPoP " + h.token, "Bearer " + h.token}, {"Bearer " + goodToken(t, keys), "DPoP " + h.token}, {"DPoP " + h.token + ", Bearer " + h.token}, {"DPoP " + h.token + " " + h.token}, {"DPoP"}, {"DPoP "},
	} {
		r := h.request(t, "GET", "/")
		r.Header["Authorization"] = headers
		if w := a.wantStatus(t, fmt.Sprint(len(headers), " headers"), r, http.StatusBadRequest); len(w.Header().Values("WWW-Authenticate")) != 1 {
			t.Errorf("challenges %q", w.Header().Values("WWW-Authenticate"))
		}
	}
	r := h.request(t, "GET", "/?access_token="+h.token)
	a.wantStatus(t, "a second token in the query", r, http.StatusBadRequest)
	r = h.request(t, "GET", "/")
	r.Header["Authorization"] = []string{"", "dpop  " + h.token}
	a.wantStatus(t, "an empty header beside, lower case, two spaces", r, http.StatusOK)
}

// RequireBound is for one route or for all, with Echo and without, in any nesting.
func TestRequireBound(t *testing.T) {
	keys := newKeyring(t, ecKey)
	c := Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience}}
	some := newAPI(t, c)
	some.GET("/bound", some.serve, some.auth.RequireBound("orders:read"))
	some.GET("/options", some.serve, some.auth.Echo(EchoOptions{ContextKey: "token"}).RequireBound())
	some.GET("/scope", some.serve, some.auth.RequireBound("admin"))
	group := some.Group("/group", some.auth.Require())
	group.GET("/bound", some.serve, some.auth.RequireBound())
	some.GET("/handler", some.serve, echo.WrapMiddleware(func(next http.Handler) http.Handler { return some.auth.HandlerBound(next, "orders:read") }))
	some.GET("/inner", some.serve, some.auth.Require(), echo.WrapMiddleware(func(next http.Handler) http.Handler { return some.auth.HandlerBound(next) }))
	c.RequireBound = true
	all := newAPI(t, c)
	all.GET("/any", all.serve, all.auth.RequireAny("orders:read", "admin"))
	all.GET("/func", all.serve, all.auth.RequireFunc(func(echo.Context, *Token) error { return nil }))
	pass := echo.WrapMiddleware
	all.GET("/hany", all.serve, pass(func(next http.Handler) http.Handler { return all.auth.HandlerAny(next, "orders:read") }))
	all.GET("/hfunc", all.serve, pass(func(next http.Handler) http.Handler {
		return all.auth.HandlerFunc(next, func(*http.Request, *Token) error { return nil })
	}))
	all.GET("/handler", all.serve, pass(func(next http.Handler) http.Handler { return all.auth.Handler(next) }))
	h := newHolder(t, keys)
	plain := "Bearer " + goodToken(t, keys)
	for a, paths := range map[*api][]string{some: {"/bound", "/options", "/group/bound", "/handler"}, all: {"/", "/any", "/func", "/hany", "/hfunc", "/handler"}} {
		for _, path := range paths {
			w := a.wantRefused(t, path, request("GET", path, plain), codeInvalidToken, event.Unbound)
			if got := w.Header().Values("WWW-Authenticate"); len(got) != 1 || !strings.HasPrefix(got[0], `DPoP error="invalid_token", error_description="the access token must be bound to a key of the client", algs="ES256 `) {
				t.Errorf("%s: challenges %q", path, got)
			}
			a.wantStatus(t, path, h.request(t, "GET", path), http.StatusOK)
		}
	}
	if w := some.wantStatus(t, "scope", h.request(t, "GET", "/scope"), http.StatusForbidden); !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), `DPoP error="insufficient_scope"`) {
		t.Errorf("challenge %q", w.Header().Values("WWW-Authenticate"))
	}
	// A Handler within a Require reports an event of its own for a plain token.
	some.wantStatus(t, "/inner", request("GET", "/inner", plain), http.StatusUnauthorized)
	some.wantStatus(t, "/inner", h.request(t, "GET", "/inner"), http.StatusOK)
	some.wantStatus(t, "a route that does not ask for it", request("GET", "/", plain), http.StatusOK)
}

// A guard that asks for what nothing checks lets no request in.
func TestRequireBoundWithoutACheck(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	a.GET("/bound", a.serve, a.auth.RequireBound())
	a.GET("/handler", a.serve, echo.WrapMiddleware(func(next http.Handler) http.Handler { return a.auth.HandlerBound(next) }))
	var none *Bearer
	a.GET("/nil", a.serve, none.RequireBound())
	a.GET("/zero", a.serve, EchoGuard{}.RequireBound())
	h := newHolder(t, keys)
	for _, path := range []string{"/bound", "/handler", "/nil", "/zero"} {
		a.wantStatus(t, path, request("GET", path, "Bearer "+goodToken(t, keys)), http.StatusInternalServerError)
		a.wantStatus(t, path, h.request(t, "GET", path), http.StatusInternalServerError)
	}
	if w := ask(none.HandlerBound(a), "GET", "/"); w.Code != http.StatusInternalServerError {
		t.Errorf("status %d", w.Code)
	}
}

// Every refusal tells the caller which schemes can succeed, the one it used first.
func TestChallengesOfBoundTokens(t *testing.T) {
	keys := newKeyring(t, ecKey)
	certificate := newCertificate(t).Leaf
	h := newHolder(t, keys)
	certified := "Bearer " + sign(t, keys, payload(bindTo(x5tOf(certificate))))
	const algs = `algs="ES256 EdDSA Ed25519 PS256"`
	const missing = `error="invalid_dpop_proof", error_description="the request has no DPoP proof", ` + algs
	const mustBeBound = `error="invalid_token", error_description="the access token must be bound to a key of the client"`
	const notTheCertificate = `error="invalid_token", error_description="the access token is bound to a client certificate, which the request does not have"`
	dpop, certificates := &DPoP{BaseURL: testAudience}, &ClientCertificates{}
	for _, tt := range []struct {
		name          string
		config        Config
		authorization string
		want          []string
	}{
		{"no token", Config{DPoP: dpop}, "", []string{`Bearer realm="api"`, `DPoP ` + algs}},
		{"another scheme", Config{DPoP: dpop}, "Basic eA==", []string{`Bearer realm="api"`, `DPoP ` + algs}},
		{"realm", Config{DPoP: dpop, Realm: "x"}, "", []string{`Bearer realm="x"`, `DPoP realm="x", ` + algs}},
		{"no token, bound", Config{DPoP: dpop, RequireBound: true}, "", []string{`DPoP ` + algs}},
		{"no token, bound, both", Config{DPoP: dpop, ClientCertificates: certificates, RequireBound: true}, "", []string{`Bearer realm="api"`, `DPoP ` + algs}},
		{"no token, bound to certificates", Config{ClientCertificates: certificates, RequireBound: true}, "", []string{`Bearer realm="api"`}},
		{"bad token", Config{DPoP: dpop}, "Bearer x", []string{`Bearer error="invalid_token", error_description="the access token is not valid"`, `DPoP ` + algs}},
		{"bad token by DPoP", Config{DPoP: dpop}, "DPoP x", []string{`DPoP error="invalid_token", error_description="the access token is not valid", ` + algs, `Bearer realm="api"`}},
		{"no proof", Config{DPoP: dpop}, "DPoP " + h.token, []string{"DPoP " + missing, `Bearer realm="api"`}},
		{"no proof, bound", Config{DPoP: dpop, RequireBound: true}, "DPoP " + h.token, []string{"DPoP " + missing}},
		{"bound token by Bearer", Config{DPoP: dpop}, "Bearer " + h.token, []string{`Bearer error="invalid_token", error_description="send this access token with the scheme DPoP and a proof"`, `DPoP ` + algs}},
		{"plain token, bound, both", Config{DPoP: dpop, ClientCertificates: certificates, RequireBound: true}, "Bearer " + goodToken(t, keys), []string{"Bearer " + mustBeBound, `DPoP ` + algs}},
		{"plain token, bound to certificates", Config{ClientCertificates: certificates, RequireBound: true}, "Bearer " + goodToken(t, keys), []string{"Bearer " + mustBeBound}},
		{"no certificate", Config{ClientCertificates: certificates}, certified, []string{"Bearer " + notTheCertificate}},
		{"DPoP is off", Config{ClientCertificates: certificates}, "DPoP " + h.token, []string{`Bearer realm="api"`}},
	} {
		tt.config.Keys = keys
		a := newAPI(t, tt.config)
		w := a.wantStatus(t, tt.name, request("GET", "/", tt.authorization), http.StatusUnauthorized)
		if got := w.Header().Values("WWW-Authenticate"); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.name, got, tt.want)
		}
		if w.Header().Get("DPoP-Nonce") != "" {
			t.Errorf("%s: a nonce of a server that has none", tt.name)
		}
	}
}

func TestConfigOfBoundTokens(t *testing.T) {
	nonces := newNonces(t)
	for says, c := range map[string]Config{
		"Config.RequireBound is set":               {RequireBound: true},
		"Config.DPoP.BaseURL \"\"":                 {DPoP: &DPoP{}},
		"api.example.com\": write the URL":         {DPoP: &DPoP{BaseURL: "api.example.com"}},
		"ftp://api.example.com\": write the URL":   {DPoP: &DPoP{BaseURL: "ftp://api.example.com"}},
		"https://\": write the URL":                {DPoP: &DPoP{BaseURL: "https://"}},
		"bücher.example\": write the URL":          {DPoP: &DPoP{BaseURL: "https://bücher.example"}},
		"Config.DPoP.AliasURL \"mtls\": write the": {DPoP: &DPoP{BaseURL: testAudience, AliasURL: "mtls"}},
		"?a=b\": write scheme, host and path":      {DPoP: &DPoP{BaseURL: "https://api.example.com/?a=b"}},
		"#\": write scheme, host and path":         {DPoP: &DPoP{BaseURL: "https://api.example.com/#"}},
		"u:p@api.example.com\": write scheme":      {DPoP: &DPoP{BaseURL: "https://u:p@api.example.com"}},
		"Config.DPoP.Proofs: pop: Config.MaxAge":   {DPoP: &DPoP{BaseURL: testAudience, Proofs: pop.Config{MaxAge: time.Hour}}},
		"Config.RequireNonce: set Nonces":          {DPoP: &DPoP{BaseURL: testAudience, Proofs: pop.Config{RequireNonce: true}}},
		"TrustedProxies has invalid Prefix":        {ClientCertificates: &ClientCertificates{TrustedProxies: []netip.Prefix{{}}}},
		"TrustedProxies has 0.0.0.0/0":             {ClientCertificates: &ClientCertificates{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}},
		"TrustedProxies has ::ffff:10.0.0.0/104":   {ClientCertificates: &ClientCertificates{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}}},
		"Config.DPoP.Proofs: pop: Config.PerKey: ": {DPoP: &DPoP{BaseURL: testAudience, Proofs: pop.Config{Nonces: nonces, PerKey: -1}}},
	} {
		c.Issuer, c.Audience, c.Keys = testIssuer, testAudience, newKeyring(t, ecKey)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want an error that says %q", err, says)
		}
	}
	// New copies.
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.7/32")}
	dpop := &DPoP{BaseURL: testAudience}
	b, err := New(Config{Issuer: testIssuer, Audience: testAudience, Keys: newKeyring(t, ecKey), DPoP: dpop, ClientCertificates: &ClientCertificates{TrustedProxies: proxies}})
	if err != nil {
		t.Fatal(err)
	}
	proxies[0], dpop.BaseURL = netip.MustParsePrefix("10.0.0.8/32"), "https://other.example"
	if !pop.IsTrustedProxy(b.certificates.TrustedProxies, "10.0.0.7:1") || b.dpop.base != testAudience {
		t.Error("New did not copy")
	}
}

// A handler gets a copy of what the token is bound to, also of one that its test made.
func TestConfirmationIsACopy(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := caching(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience}})
	h := newHolder(t, keys)
	for range 3 {
		a.wantStatus(t, "bound", h.request(t, "GET", "/"), http.StatusOK)
		got := a.tokens[len(a.tokens)-1]
		if *got.Confirmation != (Confirmation{KeyThumbprint: h.Thumbprint()}) {
			t.Errorf("%+v", got.Confirmation)
		}
		got.Confirmation.KeyThumbprint = "changed"
	}
	mine := &Token{ClientID: "a", Confirmation: &Confirmation{KeyThumbprint: "k", CertificateThumbprint: "c"}}
	ctx := WithToken(t.Context(), mine)
	TokenFromContext(ctx).Confirmation.KeyThumbprint = "changed"
	again := TokenFromContext(ctx)
	var claims struct {
		Bound json.RawMessage `json:"cnf"`
	}
	if err := again.Claims(&claims); err != nil || string(claims.Bound) != `{"jkt":"k","x5t#S256":"c"}` || again.Confirmation.KeyThumbprint != "k" {
		t.Errorf("%s, %+v, %v", claims.Bound, again.Confirmation, err)
	}
	var none map[string]any
	if err := (&Token{ClientID: "a"}).Claims(&none); err != nil || none["cnf"] != nil {
		t.Errorf("%v, %v", none, err)
	}
}

// Whatever cnf says, a token is refused or bound to at least one well-formed thumbprint.
func FuzzConfirmation(f *testing.F) {
	keys := newKeyring(f, ecKey)
	b := benchGuard(f, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience}, ClientCertificates: &ClientCertificates{}})
	jkt := newProver(f, proverKey).Thumbprint()
	for _, cnf := range []string{`{}`, `null`, `{"jkt":"` + jkt + `"}`, `{"x5t#S256":"` + jkt + `","jkt":"` + jkt + `"}`, `{"jkt":"` + jkt + `","x":1}`} {
		f.Add(cnf)
	}
	f.Fuzz(func(t *testing.T, cnf string) {
		if !json.Valid([]byte(cnf)) {
			return
		}
		r := request("GET", "/", "Bearer "+sign(t, keys, payload(map[string]string{"cnf": cnf})))
		v, _, e := b.authenticate(r, nil, nil)
		if e != nil { // too long or too deep, or not to be checked
			if e.reason != event.SenderConstrained && e.reason != event.InvalidClaims && e.reason != event.MalformedToken {
				t.Errorf("%s: %s: %v", cnf, e.reason, e.cause)
			}
			return
		}
		if v.bound == nil || *v.bound == (Confirmation{}) {
			t.Fatalf("%s: accepted as a plain token", cnf)
		}
		for _, thumbprint := range []string{v.bound.KeyThumbprint, v.bound.CertificateThumbprint} {
			if thumbprint != "" && !isThumbprint(thumbprint) {
				t.Errorf("%s: bound to %q", cnf, thumbprint)
			}
		}
	})
}
