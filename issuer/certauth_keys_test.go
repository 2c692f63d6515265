package issuer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// A client gets a token with a certificate of one of its keys, of any issuer.
func TestSelfSigned(t *testing.T) {
	first, second, foreign := newKey(t), newKey(t), newKey(t)
	c := certified("billing", func(c *registry.Client) {
		c.JWKS, c.AuthMethod = keySet(t, first, second), registry.SelfSignedTLSClientAuth
	})
	s := newService(t, Config{ClientCertificates: &ClientCertificates{}}, c)
	server := s.listen(t)
	issued := newAuthority(t, "any", nil)
	underCA := clientTemplate(t, nil)
	leaf := sign(t, underCA, issued, second)
	for name, certificate := range map[string]tls.Certificate{
		"first":    selfSigned(t, first, nil),
		"second":   selfSigned(t, second, nil),
		"any use":  selfSigned(t, first, func(c *x509.Certificate) { c.ExtKeyUsage = nil }),
		"of a CA":  {Certificate: [][]byte{leaf.Raw}, PrivateKey: second},
		"no names": selfSigned(t, first, func(c *x509.Certificate) { c.Subject.CommonName, c.Subject.Organization = "", nil }),
	} {
		if g := s.wantToken(t, over(t, server, certificate, "/token", named("billing"))); g.claims.Subject != "billing" {
			t.Errorf("%s: %s", name, g.payload)
		}
	}
	for name, tt := range map[string]struct {
		certificate tls.Certificate
		cause       error
	}{
		"another key": {selfSigned(t, foreign, nil), errNotRegistered},
		"expired":     {selfSigned(t, first, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), errNotCurrent},
		"early":       {selfSigned(t, first, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), errNotCurrent},
		"servers":     {selfSigned(t, first, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), errNotForClients},
		"other use": {selfSigned(t, first, func(c *x509.Certificate) {
			c.ExtKeyUsage, c.UnknownExtKeyUsage = nil, append(c.UnknownExtKeyUsage, []int{1, 2, 3})
		}), errNotForClients},
	} {
		s.wantUnauthorizedFor(t, name, over(t, server, tt.certificate, "/token", named("billing")), event.WrongCertificate)
		s.wantCause(t, tt.cause)
	}
}

// Every kind of key that the certificate of a client may have.
func TestSelfSignedKeys(t *testing.T) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := jose.Generate("PS256")
	if err != nil {
		t.Fatal(err)
	}
	c := certified("billing", func(c *registry.Client) { c.JWKS = keySet(t, edwards, p384, rsaKey) })
	s := newService(t, Config{ClientCertificates: &ClientCertificates{}}, c)
	server := s.listen(t)
	for _, key := range []crypto.Signer{edwards, p384, rsaKey} {
		template := clientTemplate(t, nil)
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		s.wantToken(t, over(t, server, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, "/token", named("billing")))
	}
}

// A client without AuthMethod may use both kinds of certificates. With one it may use that
// one only.
func TestCertificateMethods(t *testing.T) {
	ca, key := newAuthority(t, "ca", nil), newKey(t)
	s := newService(t, Config{ClientCertificates: &ClientCertificates{CAs: ca.pool()}},
		certified("both", func(c *registry.Client) { c.TLSClientAuthSubjectDN, c.JWKS = billingDN, keySet(t, key) }),
		certified("issued", func(c *registry.Client) {
			c.TLSClientAuthSubjectDN, c.JWKS, c.AuthMethod = billingDN, keySet(t, key), registry.TLSClientAuth
		}),
		certified("registered", func(c *registry.Client) {
			c.TLSClientAuthSubjectDN, c.JWKS, c.AuthMethod = billingDN, keySet(t, key), registry.SelfSignedTLSClientAuth
		}))
	server := s.listen(t)
	issued, registered := ca.issue(t, nil), selfSigned(t, key, nil)
	for id, wants := range map[string][2]int{"both": {200, 200}, "issued": {200, 401}, "registered": {401, 200}} {
		got := [2]int{over(t, server, issued, "/token", named(id)).Code, over(t, server, registered, "/token", named(id)).Code}
		if got != wants {
			t.Errorf("%s: %v, want %v", id, got, wants)
		}
	}
	// One that is right by both counts by the method of the client.
	leaf := sign(t, clientTemplate(t, nil), ca, key)
	for _, id := range []string{"both", "issued", "registered"} {
		s.wantToken(t, over(t, server, tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}, "/token", named(id)))
	}
}

// Keys that cannot be fetched now are not a wrong certificate. Keys that cannot be used
// are, for this client alone.
func TestSelfSignedWithoutKeys(t *testing.T) {
	key := newKey(t)
	s := newService(t, Config{ClientCertificates: &ClientCertificates{}},
		certified("away", func(c *registry.Client) { c.JWKSURI = "https://keys.example.com/" }),
		certified("bad", func(c *registry.Client) { c.JWKS = []byte(`{"keys":[{"kty":"EC"}]}`) }),
		certified("good", func(c *registry.Client) { c.JWKS = keySet(t, key) }))
	inRecord := s.issuer.certified.keysOf
	s.issuer.certified.keysOf = func(ctx context.Context, c *registry.Client) ([]*jose.Key, error) {
		if c.JWKSURI != "" {
			return nil, fmt.Errorf("%w: %w", jwks.ErrUnavailable, errors.New("no route"))
		}
		return inRecord(ctx, c)
	}
	server, certificate := s.listen(t), selfSigned(t, key, nil)
	s.wantUnavailable(t, over(t, server, certificate, "/token", named("away")))
	if e := s.lastEvent(t); e.Reason != event.KeysUnavailable {
		t.Errorf("event %+v", e)
	}
	s.wantUnauthorizedFor(t, "bad", over(t, server, certificate, "/token", named("bad")), event.WrongCertificate)
	s.wantToken(t, over(t, server, certificate, "/token", named("good")))
}
