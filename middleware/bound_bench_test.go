package middleware

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/echo-m2m/m2m/jwks/pop"
)

// proofFloor is what nobody can leave out of a request with DPoP: one ES256 verification of
// the proof, and the hash of the access token.
func proofFloor(tb testing.TB, proof, token string) func() {
	tb.Helper()
	cut := strings.LastIndexByte(proof, '.')
	raw, err := base64.RawURLEncoding.DecodeString(proof[cut+1:])
	if err != nil {
		tb.Fatal(err)
	}
	var builder cryptobyte.Builder
	builder.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[:32]))
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[32:]))
	})
	der, signed, text := builder.BytesOrPanic(), []byte(proof[:cut]), []byte(token)
	return func() {
		sum, hash := sha256.Sum256(signed), sha256.Sum256(text)
		if !ecdsa.VerifyASN1(&proverKey.PublicKey, sum[:], der) || hash == [32]byte{} {
			tb.Fatal("the signature is wrong")
		}
	}
}

// boundRoute is a route that takes bound tokens, and a request to it with a cached token.
// Each ask sends the next of n proofs.
func boundRoute(tb testing.TB, n int) (ask func(), proof, token string) {
	tb.Helper()
	keys := newKeyring(tb, ecKey)
	config := Config{Keys: keys, Revoked: notRevoked(), DPoP: &DPoP{BaseURL: testAudience, Proofs: pop.Config{Nonces: newNonces(tb), RequireNonce: true, MaxAge: 10 * time.Minute, Capacity: 1 << 20, PerKey: 1 << 20}}}
	h := newHolder(tb, keys)
	proofs := make([]string, n)
	fresh := func() {
		h.nonce = config.DPoP.Proofs.Nonces.Current()
		for i := range proofs {
			proofs[i] = h.proof(tb, "GET", "/")
		}
	}
	fresh()
	route := newRoute(benchGuard(tb, config).RequireBound("orders:read"))
	route.request.Header["Dpop"] = []string{""}
	next, authorization := 0, "DPoP "+h.token
	return func() {
		if next == n {
			next = 0
			fresh()
		}
		route.request.Header["Dpop"][0] = proofs[next]
		next++
		route.ask(tb, authorization, http.StatusNoContent)
	}, proofs[0], h.token
}

// BenchmarkDPoP is a whole request with a cached token and a fresh proof, and the floor, in
// turns: the ratio of their medians holds on a busy machine too.
func BenchmarkDPoP(b *testing.B) {
	const proofs = 1000 // of which each is used once; making them is not measured
	ask, proof, token := boundRoute(b, proofs)
	floor := proofFloor(b, proof, token)
	ask()
	ask()
	b.ReportAllocs()
	var floors, whole []time.Duration
	for b.Loop() {
		if len(whole)%(proofs-2) == proofs-3 {
			b.StopTimer()
			ask, _, _ = boundRoute(b, proofs)
			ask()
			ask()
			b.StartTimer()
		}
		start := time.Now()
		floor()
		between := time.Now()
		ask()
		floors, whole = append(floors, between.Sub(start)), append(whole, time.Since(between))
	}
	slices.Sort(floors)
	slices.Sort(whole)
	middle := len(floors) / 2
	b.ReportMetric(float64(floors[middle]), "floor-ns")
	b.ReportMetric(float64(whole[middle]), "request-ns")
	b.ReportMetric(float64(whole[middle])/float64(floors[middle]), "x-floor")
}

// BenchmarkCertificateBound is a whole request with a cached token and the certificate of
// the connection, beside a plain one.
func BenchmarkCertificateBound(b *testing.B) {
	keys := newKeyring(b, ecKey)
	certificate := newCertificate(b).Leaf
	route := newRoute(benchGuard(b, Config{Keys: keys, ClientCertificates: &ClientCertificates{}}).Require())
	withCertificate(route.request, certificate)
	for name, authorization := range map[string]string{"plain": "Bearer " + goodToken(b, keys), "bound": "Bearer " + sign(b, keys, payload(bindTo(x5tOf(certificate))))} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				route.ask(b, authorization, http.StatusNoContent)
			}
		})
	}
}

// BenchmarkForgedProof is a whole refusal of a stolen token with a forged proof: with a
// wrong signature, and with a valid proof of the thief's own key.
func BenchmarkForgedProof(b *testing.B) {
	keys := newKeyring(b, ecKey)
	h := newHolder(b, keys)
	thief := &holder{Prover: newProver(b, strangeKey), token: h.token}
	good := h.proof(b, "GET", "/")
	for name, proof := range map[string]string{"signature": good[:len(good)-8] + "AAAAAAAA", "key": thief.proof(b, "GET", "/"), "text": "x"} {
		b.Run(name, func(b *testing.B) {
			handler := benchGuard(b, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience, Proofs: pop.Config{MaxAge: 10 * time.Minute}}}).Handler(http.NotFoundHandler())
			r := h.request(b, "GET", "/", proof)
			b.ReportAllocs()
			for b.Loop() {
				answer := unread{header: http.Header{}}
				if handler.ServeHTTP(&answer, r); answer.status != http.StatusUnauthorized {
					b.Fatal(answer.status)
				}
			}
		})
	}
}

// What a request with a bound token allocates. Most of it is the proof's.
func TestBoundRequestAllocations(t *testing.T) {
	ask, _, _ := boundRoute(t, 120)
	for range 3 {
		ask()
	}
	if n := testing.AllocsPerRun(100, ask); n > 44+spared {
		t.Errorf("a request with a proof allocates %v times", n)
	}
	keys := newKeyring(t, ecKey)
	certificate := newCertificate(t).Leaf
	route := newRoute(benchGuard(t, Config{Keys: keys, ClientCertificates: &ClientCertificates{}}).Require())
	withCertificate(route.request, certificate)
	bound := "Bearer " + sign(t, keys, payload(bindTo(x5tOf(certificate))))
	for range 3 {
		route.ask(t, bound, http.StatusNoContent)
	}
	if n := testing.AllocsPerRun(100, func() { route.ask(t, bound, http.StatusNoContent) }); n > 8+spared {
		t.Errorf("a request with a certificate allocates %v times", n)
	}
}
