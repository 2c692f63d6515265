package issuer

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// certBound returns a client with a secret, whose tokens must be bound to a certificate.
func certBound(id string) registry.Client {
	c := app()
	c.ID, c.CertificateBoundTokens = id, true
	return c
}

// The token of a client that asks for it is bound to the certificate of its connection,
// however the client authenticates.
func TestCertificateBound(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	issued := certified("issued", func(c *registry.Client) { c.TLSClientAuthSubjectDN, c.CertificateBoundTokens = billingDN, true })
	unbound := certified("unbound", func(c *registry.Client) { c.TLSClientAuthSubjectDN = billingDN })
	s := newService(t, Config{ClientCertificates: &ClientCertificates{CAs: ca.pool()}}, issued, unbound, certBound("secret"), guard("orders", "*"))
	server, certificate := s.listen(t), ca.issue(t, nil)
	other := selfSigned(t, newKey(t), nil) // anyone's may be what a token is bound to
	for _, tt := range []struct {
		body        string
		certificate string
	}{
		{named("issued"), pop.CertificateThumbprint(certificate.Leaf)},
		{secretOf("secret"), pop.CertificateThumbprint(certificate.Leaf)},
		{named("unbound"), ""},
	} {
		g := s.wantToken(t, over(t, server, certificate, "/token", tt.body))
		if g.answer.TokenType != "Bearer" || g.claims.Bound["x5t#S256"] != tt.certificate || len(g.claims.Bound) != min(1, len(tt.certificate)) {
			t.Errorf("%s: %s of type %s", tt.body, g.payload, g.answer.TokenType)
		}
		body := s.postTo("/introspect", asks("orders", g.token)).Body.String()
		if strings.Contains(body, `"cnf":{"x5t#S256":"`+tt.certificate+`"}`) != (tt.certificate != "") || !strings.Contains(body, `"token_type":"Bearer"`) {
			t.Error(body)
		}
	}
	if g := s.wantToken(t, over(t, server, other, "/token", secretOf("secret"))); g.claims.Bound["x5t#S256"] != pop.CertificateThumbprint(other.Leaf) {
		t.Error(g.payload)
	}
	s.wantError(t, over(t, server, noCertificate, "/token", secretOf("secret")), 400, "invalid_request", "the tokens of this client are bound to its certificate: send one in the TLS handshake")
	s.wantCause(t, errNoClientCertificate)
	if e := s.lastEvent(t); e.Reason != event.WrongCertificate || e.ClientID != "secret" || e.Claimed {
		t.Errorf("event %+v", e)
	}
}

// A certificate that a proxy passes on is what the token is bound to, not the proxy's own.
func TestBoundBehindProxy(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	s := newService(t, Config{ClientCertificates: &ClientCertificates{TrustedProxies: prefixes("127.0.0.0/8", "::1/128")}}, certBound("secret"))
	server, own, passed := s.listen(t), ca.issue(t, nil), ca.issue(t, nil)
	if g := s.wantToken(t, over(t, server, own, "/token", secretOf("secret"), "Client-Cert", clientCert(passed))); g.claims.Bound["x5t#S256"] != pop.CertificateThumbprint(passed.Leaf) {
		t.Error(g.payload)
	}
	if w := over(t, server, own, "/token", secretOf("secret")); w.Code != 400 {
		t.Errorf("bound to the proxy's own: %d %s", w.Code, w.Body)
	}
}

// A client may have tokens that are bound to both. Each is required then.
func TestBoundToBoth(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	both := certBound("both")
	both.DPoPBoundTokens = true
	s := newService(t, Config{ClientCertificates: &ClientCertificates{CAs: ca.pool()}, DPoP: &pop.Config{}}, both, certBound("one"))
	server, certificate, p := s.listen(t), ca.issue(t, nil), newProver(t)
	for _, id := range []string{"both", "one"} {
		g := s.wantToken(t, over(t, server, certificate, "/token", secretOf(id), "DPoP", proof(t, p, "")))
		want := fmt.Sprintf(`"cnf":{"jkt":%q,"x5t#S256":%q}`, p.Thumbprint(), pop.CertificateThumbprint(certificate.Leaf))
		if !strings.Contains(g.payload, want) || g.answer.TokenType != "DPoP" {
			t.Errorf("%s: %s, want %s", id, g.payload, want)
		}
	}
	for name, w := range map[string]int{
		"neither":     over(t, server, noCertificate, "/token", secretOf("both")).Code,
		"certificate": over(t, server, certificate, "/token", secretOf("both")).Code,
		"proof":       over(t, server, noCertificate, "/token", secretOf("both"), "DPoP", proof(t, p, "")).Code,
	} {
		if w != 400 {
			t.Errorf("%s: %d", name, w)
		}
	}
}

// With certificates off, a client whose tokens must be bound to one gets none.
func TestCertificateBoundOff(t *testing.T) {
	s := newService(t, Config{DPoP: &pop.Config{}}, certBound("secret"))
	server, certificate := s.listen(t), newAuthority(t, "ca", nil).issue(t, nil)
	for _, header := range [][]string{nil, {"DPoP", proof(t, newProver(t), "")}, {"Client-Cert", clientCert(certificate)}} {
		s.wantError(t, over(t, server, certificate, "/token", secretOf("secret"), header...), 400, "invalid_request", "the tokens of this client are bound by certificate, which is turned off here")
		if e := s.lastEvent(t); e.Reason != event.Misconfigured {
			t.Errorf("event %+v", e)
		}
	}
}

// A program's own claims cannot replace what a token is bound to.
func TestBoundBesideClaims(t *testing.T) {
	for _, name := range []string{"cnf", "CNF"} {
		s := claiming(t, map[string]any{name: map[string]string{"jkt": "x"}})
		if w := s.post(appForm); w.Code != 500 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

// The metadata names exactly what is on.
func TestMetadataOfBinding(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	type document struct {
		Methods       []string          `json:"token_endpoint_auth_methods_supported"`
		Revocation    []string          `json:"revocation_endpoint_auth_methods_supported"`
		Introspection []string          `json:"introspection_endpoint_auth_methods_supported"`
		Proofs        []string          `json:"dpop_signing_alg_values_supported"`
		Bound         bool              `json:"tls_client_certificate_bound_access_tokens"`
		Aliases       map[string]string `json:"mtls_endpoint_aliases"`
	}
	for name, tt := range map[string]struct {
		config  Config
		methods string
		proofs  string
		aliases string
	}{
		"nothing": {Config{}, "client_secret_basic client_secret_post private_key_jwt", "", "map[]"},
		"own":     {Config{ClientCertificates: &ClientCertificates{}}, "client_secret_basic client_secret_post private_key_jwt self_signed_tls_client_auth", "", "map[]"},
		"ca":      {Config{ClientCertificates: &ClientCertificates{CAs: ca.pool()}}, "client_secret_basic client_secret_post private_key_jwt tls_client_auth self_signed_tls_client_auth", "", "map[]"},
		"dpop":    {Config{DPoP: &pop.Config{}}, "client_secret_basic client_secret_post private_key_jwt", "ES256 EdDSA Ed25519 PS256", "map[]"},
		"one":     {Config{DPoP: &pop.Config{Algorithms: []string{"ES256"}}}, "client_secret_basic client_secret_post private_key_jwt", "ES256", "map[]"},
		"origin": {
			Config{Issuer: testIssuer + "/eu", TokenPath: "/t", ClientCertificates: &ClientCertificates{Origin: "https://mtls.example.com:8443"}}, "client_secret_basic client_secret_post private_key_jwt self_signed_tls_client_auth", "",
			"map[introspection_endpoint:https://mtls.example.com:8443/eu/introspect revocation_endpoint:https://mtls.example.com:8443/eu/revoke token_endpoint:https://mtls.example.com:8443/eu/t]",
		},
	} {
		s := newService(t, tt.config)
		var d document
		text := s.get("GET", s.issuer.at.metadata[0]).Body.String()
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		for _, methods := range [][]string{d.Methods, d.Revocation, d.Introspection} {
			if strings.Join(methods, " ") != tt.methods {
				t.Errorf("%s: %q, want %s", name, methods, tt.methods)
			}
		}
		if strings.Join(d.Proofs, " ") != tt.proofs || d.Bound != (tt.config.ClientCertificates != nil) || fmt.Sprint(d.Aliases) != tt.aliases {
			t.Errorf("%s: %s", name, text)
		}
		if tt.config.ClientCertificates == nil && strings.Contains(text, "tls") || tt.config.DPoP == nil && strings.Contains(text, "dpop") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// What a client needs and the config has not is reported.
func TestAdviceOnBinding(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	subject := func(c *registry.Client) { c.TLSClientAuthSubjectDN = billingDN }
	for name, tt := range map[string]struct {
		client registry.Client
		config fitted
		want   string // of the one fault; empty: there is none
	}{
		"dpop":                {bound(), fitted{}, "set Config.DPoP"},
		"dpop is on":          {bound(), fitted{dpop: true}, ""},
		"bound":               {certBound("c"), fitted{}, "set Config.ClientCertificates"},
		"bound is on":         {certBound("c"), fitted{certificates: &ClientCertificates{}}, ""},
		"method":              {certified("c", func(c *registry.Client) { subject(c); c.AuthMethod = registry.TLSClientAuth }), fitted{}, "set Config.ClientCertificates"},
		"self-signed":         {certified("c", func(c *registry.Client) { c.AuthMethod = registry.SelfSignedTLSClientAuth }), fitted{}, "set Config.ClientCertificates"},
		"self-signed is on":   {certified("c", func(c *registry.Client) { c.AuthMethod = registry.SelfSignedTLSClientAuth }), fitted{certificates: &ClientCertificates{}}, ""},
		"no cas":              {certified("c", subject), fitted{certificates: &ClientCertificates{}}, "set Config.ClientCertificates.CAs"},
		"cas":                 {certified("c", subject), fitted{certificates: &ClientCertificates{CAs: ca.pool()}}, ""},
		"another method":      {certified("c", func(c *registry.Client) { subject(c); c.AuthMethod = registry.PrivateKeyJWT }), fitted{certificates: &ClientCertificates{}}, ""},
		"malformed name":      {certified("c", func(c *registry.Client) { c.TLSClientAuthSubjectDN = "CN=a;b" }), fitted{certificates: &ClientCertificates{CAs: ca.pool()}}, "write it as RFC 4514 does"},
		"secret alone":        {app(), fitted{}, ""},
		"one during a change": {certified("c", subject), fitted{}, ""},
	} {
		faults := tt.config.boundFaults(&tt.client)
		if len(faults) != min(1, len(tt.want)) || !strings.Contains(strings.Join(faults, ""), tt.want) {
			t.Errorf("%s: %q, want %q", name, faults, tt.want)
		}
	}
}
