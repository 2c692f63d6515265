package issuer

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// certified returns a client that has no secret. edit writes its credential.
func certified(id string, edit func(*registry.Client)) registry.Client {
	c := app()
	c.ID, c.Secrets = id, nil
	edit(&c)
	return c
}

const billingDN = "CN=billing,O=Example"

// A client gets a token with the certificate that its record names, by each of the five
// fields.
func TestCertificateSubjects(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	clients := []registry.Client{
		certified("dn", func(c *registry.Client) { c.TLSClientAuthSubjectDN = billingDN }),
		certified("dns", func(c *registry.Client) { c.TLSClientAuthSANDNS = "billing.example.com" }),
		certified("uri", func(c *registry.Client) { c.TLSClientAuthSANURI = "spiffe://example.com/billing" }),
		certified("ipv4", func(c *registry.Client) { c.TLSClientAuthSANIP = "192.0.2.7" }),
		certified("ipv6", func(c *registry.Client) { c.TLSClientAuthSANIP = "2001:db8::7" }),
		certified("email", func(c *registry.Client) { c.TLSClientAuthSANEmail = "billing@example.com" }),
		certified("method", func(c *registry.Client) {
			c.TLSClientAuthSubjectDN, c.AuthMethod = billingDN, registry.TLSClientAuth
		}),
	}
	s := newService(t, Config{ClientCertificates: &ClientCertificates{CAs: ca.pool()}}, clients...)
	server := s.listen(t)
	right := ca.issue(t, nil)
	wrong := ca.issue(t, func(c *x509.Certificate) {
		c.Subject.CommonName, c.DNSNames, c.EmailAddresses = "other", []string{"other.example.com"}, []string{"other@example.com"}
		c.URIs[0].Path, c.IPAddresses = "/billing/other", c.IPAddresses[:0]
	})
	for _, c := range clients {
		g := s.wantToken(t, over(t, server, right, "/token", named(c.ID)))
		if e := s.lastEvent(t); g.claims.Subject != c.ID || g.answer.TokenType != "Bearer" || g.claims.Bound != nil || e.SecretID != "" {
			t.Errorf("%s: %s, event %+v", c.ID, g.payload, e)
		}
		s.wantUnauthorized(t, over(t, server, wrong, "/token", named(c.ID)), errWrongSubject)
	}
}

// The other endpoints take certificates too.
func TestCertificateAtEveryEndpoint(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	s := newService(t, Config{ClientCertificates: &ClientCertificates{CAs: ca.pool()}},
		certified("billing", func(c *registry.Client) { c.TLSClientAuthSubjectDN, c.Introspects = billingDN, []string{"*"} }))
	server := s.listen(t)
	right, other := ca.issue(t, nil), newAuthority(t, "ca", nil).issue(t, nil)
	g := s.wantToken(t, over(t, server, right, "/token", named("billing")))
	about := form("client_id", "billing", "token", g.token)
	for _, path := range []string{"/introspect", "/revoke"} {
		if w := over(t, server, other, path, about); w.Code != 401 {
			t.Errorf("%s with another certificate: %d %s", path, w.Code, w.Body)
		}
		if w := over(t, server, right, path, about); w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if !s.revoked(t, g) {
		t.Error("the token is not revoked")
	}
}

// Each certificate is right but for one thing. All get the one answer.
func TestCertificateRefused(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	s, server := certServer(t, ca)
	dn, dns := "dn", "dns"
	for name, tt := range map[string]struct {
		client string
		edit   func(*x509.Certificate)
	}{
		"expired":       {dn, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }},
		"not valid yet": {dn, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }},
		"for servers":   {dn, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }},
		"critical extension": {dn, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}},
		"another name":                     {dn, func(c *x509.Certificate) { c.Subject.CommonName = "billing2" }},
		"another case":                     {dn, func(c *x509.Certificate) { c.Subject.CommonName = "Billing" }},
		"one part more":                    {dn, func(c *x509.Certificate) { c.Subject.Locality = []string{"Bern"} }},
		"one part less":                    {dn, func(c *x509.Certificate) { c.Subject.Organization = nil }},
		"no subject":                       {dn, func(c *x509.Certificate) { c.Subject = pkix.Name{} }},
		"both names in one part":           {dn, func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "billing,O=Example"} }},
		"parts in the other order":         {dn, func(c *x509.Certificate) { c.RawSubject = swapped(t) }},
		"wildcard":                         {dns, func(c *x509.Certificate) { c.DNSNames = []string{"*.example.com"} }},
		"a name below it":                  {dns, func(c *x509.Certificate) { c.DNSNames = []string{"a.billing.example.com"} }},
		"the host in the subject only":     {dns, func(c *x509.Certificate) { c.Subject.CommonName, c.DNSNames = "billing.example.com", nil }},
		"the host as another kind of name": {dns, func(c *x509.Certificate) { c.DNSNames, c.URIs = nil, []*url.URL{{Path: "billing.example.com"}} }},
	} {
		s.wantUnauthorizedFor(t, name, over(t, server, ca.issue(t, tt.edit), "/token", named(tt.client)), event.WrongCertificate)
	}

	for name, certificate := range map[string]tls.Certificate{
		"another CA":              newAuthority(t, "other", nil).issue(t, nil),
		"a CA of the same name":   newAuthority(t, "ca", nil).issue(t, nil),
		"self-signed":             selfSigned(t, newKey(t), nil),
		"an end certificate's":    chained(t, ca),
		"too many certificates":   ca.issue(t, nil, ca, ca, ca, ca, ca, ca),
		"intermediate is missing": newAuthority(t, "intermediate", ca).issue(t, nil),
	} {
		s.wantUnauthorizedFor(t, name, over(t, server, certificate, "/token", named(dn)), event.WrongCertificate)
	}
	right := ca.issue(t, nil)
	for id, reason := range map[string]event.Reason{
		"unknown": event.UnknownClient, "disabled": event.ClientDisabled, "secret": event.WrongMethod, "basic": event.WrongMethod,
		"keys": event.WrongCertificate, "assertion": event.WrongMethod, "malformed dn": event.WrongCertificate, "bad\u00e9": event.MalformedCredential,
	} {
		s.wantUnauthorizedFor(t, id, over(t, server, right, "/token", named(id)), reason)
	}
	s.wantUnauthorizedFor(t, "no certificate", over(t, server, noCertificate, "/token", named(dn)), event.NoCredential)
	s.wantError(t, over(t, server, right, "/token", "grant_type=client_credentials"), 400, "invalid_request", "client_id is missing")

	// What is not refused: no purpose at all, and an intermediate that is sent.
	intermediate := newAuthority(t, "intermediate", ca)
	for _, certificate := range []tls.Certificate{
		right, ca.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = nil }), intermediate.issue(t, nil, intermediate), intermediate.issue(t, nil, intermediate, ca),
	} {
		s.wantToken(t, over(t, server, certificate, "/token", named(dn)))
	}
}

// certServer starts an issuer whose clients have, or lack, a certificate of the CA.
func certServer(t *testing.T, ca *authority) (*service, *httptest.Server) {
	t.Helper()
	s := newService(t, Config{ClientCertificates: &ClientCertificates{CAs: ca.pool()}}, app(),
		certified("dn", func(c *registry.Client) { c.TLSClientAuthSubjectDN = billingDN }),
		certified("dns", func(c *registry.Client) { c.TLSClientAuthSANDNS = "billing.example.com" }),
		certified("disabled", func(c *registry.Client) { c.TLSClientAuthSubjectDN, c.Disabled = billingDN, true }),
		certified("secret", func(c *registry.Client) { c.Secrets = []registry.Secret{appStored} }),
		certified("basic", func(c *registry.Client) {
			c.Secrets, c.TLSClientAuthSubjectDN, c.AuthMethod = []registry.Secret{appStored}, billingDN, registry.ClientSecretBasic
		}),
		certified("keys", func(c *registry.Client) { c.JWKS = keySet(t, newKey(t)) }),
		certified("assertion", func(c *registry.Client) { c.JWKS, c.AuthMethod = keySet(t, newKey(t)), registry.PrivateKeyJWT }),
		certified("malformed dn", func(c *registry.Client) { c.TLSClientAuthSubjectDN = `CN=billing,O=Ex;ample` }),
	)
	return s, s.listen(t)
}

// Without CAs no certificate is good for tls_client_auth, not even one of the system's.
func TestNoCAs(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	s := newService(t, Config{ClientCertificates: &ClientCertificates{}}, certified("dn", func(c *registry.Client) { c.TLSClientAuthSubjectDN = billingDN }))
	s.wantUnauthorized(t, over(t, s.listen(t), ca.issue(t, nil), "/token", named("dn")), errNoCAs)
}

// With ClientCertificates off, a certificate is nothing.
func TestCertificatesOff(t *testing.T) {
	s := newService(t, Config{}, app(), certified("dn", func(c *registry.Client) { c.TLSClientAuthSubjectDN = billingDN }))
	server := s.listen(t)
	certificate := newAuthority(t, "ca", nil).issue(t, nil)
	for _, id := range []string{"dn", "unknown"} {
		w := over(t, server, certificate, "/token", named(id))
		s.wantUnauthorizedFor(t, "off", w, event.NoCredential)
		s.wantError(t, w, 401, "invalid_client", "client authentication is missing; this issuer accepts client_secret_basic, client_secret_post, private_key_jwt")
	}
	s.wantToken(t, over(t, server, certificate, "/token", appForm))
}

// A certificate beside another credential is no second credential, and does not help a
// wrong one.
func TestCertificateBesideSecret(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	both := app()
	both.ID, both.TLSClientAuthSubjectDN = "both", billingDN
	s := newService(t, Config{ClientCertificates: &ClientCertificates{CAs: ca.pool()}}, app(), both)
	server, certificate := s.listen(t), ca.issue(t, nil)
	s.wantToken(t, over(t, server, certificate, "/token", appForm))
	s.wantToken(t, over(t, server, certificate, "/token", "grant_type=client_credentials", "Authorization", basic("app", appSecret)))
	s.wantUnauthorizedFor(t, "wrong secret", over(t, server, certificate, "/token", secretOf("both")+"x"), event.WrongSecret)

	// During a migration the client may use either.
	s.wantToken(t, over(t, server, noCertificate, "/token", secretOf("both")))
	s.wantToken(t, over(t, server, certificate, "/token", named("both")))
}

// A certificate is refused once the client's record names another.
func TestCertificateReplaced(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	certificate := ca.issue(t, nil)
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, certified("billing", func(c *registry.Client) { c.TLSClientAuthSubjectDN = billingDN }))
		s := newService(t, Config{Store: store, ClientCertificates: &ClientCertificates{CAs: ca.pool()}})
		ask := func() *httptest.ResponseRecorder {
			r := newForm("/token", named("billing"))
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate.Leaf}}
			return s.send(r)
		}
		certificate.Leaf.NotBefore, certificate.Leaf.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour) // of the bubble
		ca.certificate.NotBefore, ca.certificate.NotAfter = certificate.Leaf.NotBefore, certificate.Leaf.NotAfter
		s.wantToken(t, ask())
		c, err := store.Client(t.Context(), "billing")
		if err != nil {
			t.Fatal(err)
		}
		c.TLSClientAuthSubjectDN = "CN=other"
		if _, err := store.Update(t.Context(), *c); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		s.wantUnauthorized(t, ask(), errWrongSubject)
	})
}

// While unknown ids of a network have to wait for too long, a wrong certificate of the
// network gets their answer. So an answer does not tell which ids exist.
func TestCertificateLikeUnknownClient(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	right, wrong := ca.issue(t, nil), ca.issue(t, func(c *x509.Certificate) { c.Subject.CommonName = "other" })
	synctest.Test(t, func(t *testing.T) {
		for _, a := range []*x509.Certificate{ca.certificate, right.Leaf, wrong.Leaf} {
			a.NotBefore, a.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour) // of the bubble
		}
		s := newService(t, Config{ClientCertificates: &ClientCertificates{CAs: ca.pool()}}, certified("dn", func(c *registry.Client) { c.TLSClientAuthSubjectDN = billingDN }))
		ask := func(id string, certificate tls.Certificate) *httptest.ResponseRecorder {
			r := newForm("/token", named(id))
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate.Leaf}}
			return s.send(r)
		}
		s.wantToken(t, ask("dn", right)) // so that it is cached
		release := hold(t, s.issuer.clients.lookups.queue, networkOf("192.0.2.1"))
		s.wantUnavailable(t, ask("dn", wrong))
		s.wantUnavailable(t, ask("nobody", wrong))
		s.wantToken(t, ask("dn", right))
		release()
		s.wantUnauthorized(t, ask("dn", wrong), errWrongSubject)
		s.wantUnauthorized(t, ask("nobody", wrong), errUnknownClient)
	})
}

// While the store is away, an unknown client is not refused for good.
func TestCertificateStoreAway(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	s := newService(t, Config{Store: storeFunc(func(context.Context, string) (*registry.Client, error) { return nil, errors.New("away") }), ClientCertificates: &ClientCertificates{CAs: ca.pool()}})
	s.wantUnavailable(t, over(t, s.listen(t), ca.issue(t, nil), "/token", named("billing")))
}

// wantUnauthorizedFor checks the one answer to every failed authentication, and its reason.
func (s *service) wantUnauthorizedFor(t *testing.T, name string, w *httptest.ResponseRecorder, reason event.Reason) {
	t.Helper()
	description := "client authentication failed"
	if reason == event.NoCredential {
		description = "client authentication is missing; this issuer accepts " + strings.Join(s.methods(t), ", ")
	}
	s.wantError(t, w, 401, "invalid_client", description)
	if e := s.lastEvent(t); e.Reason != reason {
		t.Errorf("%s: the reason is %q (%v), want %q", name, e.Reason, e.Err, reason)
	}
}

// methods returns those of the metadata.
func (s *service) methods(t *testing.T) []string {
	t.Helper()
	var metadata struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := json.Unmarshal(s.send(httptest.NewRequest(http.MethodGet, "/.well-known/oauth-authorization-server", nil)).Body.Bytes(), &metadata); err != nil || len(metadata.Methods) == 0 {
		t.Fatalf("the metadata: %v", err)
	}
	return metadata.Methods
}

// swapped returns the encoded name of the client, with its parts in the other order.
func swapped(t *testing.T) []byte {
	t.Helper()
	var sequence pkix.RDNSequence
	name := pkix.Name{Organization: []string{"Example"}, CommonName: "billing"}.ToRDNSequence()
	for _, part := range slices.Backward(name) {
		sequence = append(sequence, part)
	}
	encoded, err := asn1.Marshal(sequence)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// chained returns a certificate that the certificate of another client has signed.
func chained(t *testing.T, ca *authority) tls.Certificate {
	t.Helper()
	end := ca.issue(t, nil)
	key, ok := end.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatal("no key")
	}
	between := &authority{end.Leaf, key}
	return between.issue(t, nil, between)
}
