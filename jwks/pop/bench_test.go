package pop

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// benchRequest is a request to an API, with an access token of the usual size.
func benchRequest(tb testing.TB, v *Verifier) (r Request, floor func() bool) {
	tb.Helper()
	key := testKeys()["ES256"].(*ecdsa.PrivateKey)
	p := sure(NewProver(key, ""))
	r = request("")
	r.AccessToken, r.Thumbprint, r.Client = strings.Repeat("a", 700), p.Thumbprint(), "app1"
	nonce := v.nonces.Current()
	r.Proofs[0] = sure(p.Proof("GET", testURL, r.AccessToken, nonce))

	// The floor is what nobody can leave out: one ES256 verification, with the hash of
	// what is signed, and the hash of the access token.
	cut := strings.LastIndexByte(r.Proofs[0], '.')
	raw := sure(base64.RawURLEncoding.DecodeString(r.Proofs[0][cut+1:]))
	var builder cryptobyte.Builder
	builder.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[:32]))
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[32:]))
	})
	der, signed := builder.BytesOrPanic(), []byte(r.Proofs[0][:cut])
	token := []byte(r.AccessToken)
	return r, func() bool {
		sum := sha256.Sum256(signed)
		hash := sha256.Sum256(token)
		return ecdsa.VerifyASN1(&key.PublicKey, sum[:], der) && hash != [32]byte{}
	}
}

// forget drops what is in memory, so that one proof can be measured many times.
func (v *Verifier) forget() {
	for i := range v.memory.slots {
		clear(v.memory.slots[i].proofs)
	}
}

// BenchmarkVerify measures a proof at an API, with all checks, and the floor by turns: so
// the ratio of their medians holds on a busy machine too. It has to be at most 1.10.
func BenchmarkVerify(b *testing.B) {
	v := sure(NewVerifier(Config{Nonces: sure(NewNonces(secret)), RequireNonce: true, MaxAge: longestMaxAge, PerKey: defaultCapacity}))
	r, floor := benchRequest(b, v)
	b.ReportAllocs()
	var floors, whole []time.Duration
	for b.Loop() {
		start := time.Now()
		if !floor() {
			b.Fatal("the signature is wrong")
		}
		between := time.Now()
		if _, err := v.Verify(b.Context(), r); err != nil {
			b.Fatal(err)
		}
		floors, whole = append(floors, between.Sub(start)), append(whole, time.Since(between))
		v.forget()
	}
	slices.Sort(floors)
	slices.Sort(whole)
	middle := len(floors) / 2
	b.ReportMetric(float64(floors[middle]), "floor-ns")
	b.ReportMetric(float64(whole[middle]), "verify-ns")
	b.ReportMetric(float64(whole[middle])/float64(floors[middle]), "ratio")
}

// BenchmarkMemory measures the record of one proof in an almost full memory.
func BenchmarkMemory(b *testing.B) {
	m := newMemory(defaultCapacity, defaultCapacity, 90*time.Second)
	now := time.Now()
	add := func(i int) {
		_, _ = m.once(m.at(now), digestOf(fmt.Sprint(i)), digestOf(fmt.Sprint(i%100)), "app1", now.Add(time.Duration(i%80)*time.Second))
	}
	for i := range defaultCapacity / 2 {
		add(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		add(i)
	}
}

func BenchmarkProof(b *testing.B) {
	p := newProver()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Proof("GET", testURL, testToken, "nonce"); err != nil {
			b.Fatal(err)
		}
	}
}

// A check costs no more allocations than it does today.
func TestAllocations(t *testing.T) {
	v := sure(NewVerifier(Config{Nonces: sure(NewNonces(secret)), MaxAge: longestMaxAge}))
	r, _ := benchRequest(t, v)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := v.Verify(ctx, r); err != nil {
			t.Fatal(err)
		}
		v.forget()
	}); n > 38 {
		t.Errorf("Verify allocates %v times", n)
	}
	m := newMemory(defaultCapacity, defaultCapacity, time.Minute)
	now, key, i := time.Now(), digestOf("key"), 0
	if n := testing.AllocsPerRun(1000, func() {
		i++
		_, _ = m.once(m.at(now), digest{byte(i), byte(i >> 8)}, key, "app1", now)
	}); n > 0 {
		t.Errorf("the memory allocates %v times a proof", n)
	}
}
