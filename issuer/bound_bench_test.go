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
	p, ask := newProver(b), boundAsker(b)
	b.Run("bearer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ask(b, "")
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
			ask(b, header)
		}
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

// boundAsker returns a function that asks for a token with a generated secret, and with a
// proof unless that is empty. It has no network, and makes nothing for each request.
func boundAsker(tb testing.TB) func(tb testing.TB, proof string) {
	tb.Helper()
	s := newService(tb, Config{MaxGrantRate: -1, DPoP: &pop.Config{}}, app())
	s.issuer.observe = nil
	handler, body, answer := s.issuer.Handler(), strings.NewReader(""), discarded{header: map[string][]string{}}
	r := newForm("/token", "")
	r.Body, r.ContentLength = io.NopCloser(body), int64(len(appForm))
	header := []string{""}
	return func(tb testing.TB, proof string) {
		tb.Helper()
		delete(r.Header, "Dpop")
		if proof != "" {
			header[0], r.Header["Dpop"] = proof, header
		}
		body.Reset(appForm)
		if handler.ServeHTTP(&answer, r); answer.status != 200 {
			tb.Fatalf("status %d", answer.status)
		}
	}
}

// A request with a proof allocates little over one without, and what its signature check
// does. The bound is against growth.
func TestProofAllocations(t *testing.T) {
	p, ask := newProver(t), boundAsker(t)
	var proofs []string
	for range 60 {
		proofs = append(proofs, proof(t, p, ""))
	}
	next := func() string {
		last := len(proofs) - 1
		defer func() { proofs = proofs[:last] }()
		return proofs[last]
	}
	for range 3 {
		ask(t, next()) // the first allocates the client's record, and the key of the proof
	}
	plain := testing.AllocsPerRun(50, func() { ask(t, "") })
	if n := testing.AllocsPerRun(50, func() { ask(t, next()) }); n > plain+37 { // 34, and the race detector adds some
		t.Errorf("%v allocations, %v of them without a proof", n, plain)
	}
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
