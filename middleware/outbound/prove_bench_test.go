package outbound

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"
)

// benchToken has the size of a JWT.
var benchToken = "a." + strings.Repeat("b", 500) + "." + strings.Repeat("c", 86)

func boundSource(tb testing.TB) *Source {
	tb.Helper()
	auth := &server0{func(*http.Request) *http.Response {
		return answerOf(200, `{"access_token":"`+benchToken+`","token_type":"DPoP","expires_in":3600}`)
	}}
	s := newSource(tb, auth, func(c *Config) { c.DPoP = NewDPoPKey() })
	if err := s.Ready(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s
}

// BenchmarkSign is what a request with a proof is held against: an ES256 signature, and
// the hash of the token.
func BenchmarkSign(b *testing.B) {
	key := newKey(b, "ES256").(*ecdsa.PrivateKey)
	b.ReportAllocs()
	for b.Loop() {
		token := sha256.Sum256([]byte(benchToken))
		if _, err := ecdsa.SignASN1(rand.Reader, key, token[:]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRoundTripDPoP(b *testing.B) {
	res := &http.Response{StatusCode: http.StatusOK}
	transport := boundSource(b).Transport(roundTrip(func(*http.Request) (*http.Response, error) { return res, nil }))
	r := request()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := transport.RoundTrip(r); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAllocationsDPoP(t *testing.T) {
	s := boundSource(t)
	res := &http.Response{StatusCode: http.StatusOK}
	transport := s.Transport(roundTrip(func(*http.Request) (*http.Response, error) { return res, nil }))
	r := request()
	proofs := testing.AllocsPerRun(100, func() {
		_, _ = s.family.prover.key.prover.Proof("GET", "https://api.example.com/orders", benchToken, "")
	})
	if n := testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) }); n > proofs+7 {
		t.Errorf("RoundTrip allocates %v times, and a proof alone %v times", n, proofs)
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { _, _ = s.Token(ctx) }); n != 0 {
		t.Errorf("Token allocates %v times", n)
	}
}
