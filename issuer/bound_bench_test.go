package issuer

import (
	"crypto/x509"
	"io"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/jwks/pop"
)

// BenchmarkBound has a token that is bound to a key beside a bearer token, both with a
// generated secret, and beside what the proof alone costs.
func BenchmarkBound(b *testing.B) {
	p := newProver(b)
	c := app()
	s := newService(b, Config{MaxGrantRate: -1, DPoP: &pop.Config{}}, c)
	s.issuer.observe = nil
	handler, body, answer := s.issuer.Handler(), strings.NewReader(""), discarded{header: map[string][]string{}}
	r := newForm("/token", "")
	r.Body, r.ContentLength = io.NopCloser(body), int64(len(appForm))
	ask := func(b *testing.B) {
		b.Helper()
		body.Reset(appForm)
		if handler.ServeHTTP(&answer, r); answer.status != 200 {
			b.Fatalf("status %d", answer.status)
		}
	}
	b.Run("bearer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ask(b)
		}
	})
	b.Run("dpop", func(b *testing.B) {
		b.ReportAllocs()
		made := make([]string, b.N)
		for n := range made {
			made[n] = proof(b, p, "")
		}
		b.ResetTimer()
		for _, header := range made {
			r.Header["Dpop"] = []string{header}
			ask(b)
		}
		delete(r.Header, "Dpop")
	})
	b.Run("proof alone", func(b *testing.B) {
		v, err := pop.NewVerifier(pop.Config{Capacity: 1 << 21, PerKey: 1 << 21, Replay: nil})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		made := make([]string, b.N)
		for n := range made {
			made[n] = proof(b, p, "")
		}
		b.ResetTimer()
		for _, header := range made {
			if _, err := v.Verify(b.Context(), pop.Request{Proofs: []string{header}, Method: "POST", URL: tokenURL}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCertificate has the check of a certificate beside the verification of its chain
// alone.
func BenchmarkCertificate(b *testing.B) {
	ca := newAuthority(b, "ca", nil)
	leaf := ca.issue(b, nil).Leaf
	c := app()
	c.TLSClientAuthSubjectDN = billingDN
	k := &certCredential{certAuth: &certAuth{cas: ca.pool()}, certificate: certificate{leaf: leaf}}
	b.Run("check", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := k.checkIssued(b.Context(), &c, leaf.NotAfter); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("chain alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: k.cas, CurrentTime: leaf.NotAfter, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
