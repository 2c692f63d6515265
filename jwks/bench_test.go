package jwks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const benchmarkClaims = `{"iss":"https://auth.example.com","sub":"app1","client_id":"app1","aud":"https://api.example.com","exp":1800000000,"iat":1799999100,"jti":"01J8ZQ4YV3N0M6T2B7K9RXW5CD","scope":"orders:read orders:write"}`

func benchmarkToken(alg string) string {
	return string(sure(testKeys()[alg].appendSign(nil, "at+jwt", []byte(benchmarkClaims))))
}

func BenchmarkParse(b *testing.B) {
	token := benchmarkToken("ES256")
	b.ReportAllocs()
	b.SetBytes(int64(len(token)))
	for b.Loop() {
		if _, err := Parse(token, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseClaims(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(benchmarkClaims)))
	for b.Loop() {
		if _, err := ParseClaims(benchmarkClaims); err != nil {
			b.Fatal(err)
		}
	}
}

// floorVerify is what no verifier can do without: base64 and the signature, by
// the standard library.
func floorVerify(public crypto.PublicKey, token string) bool {
	dot := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		return false
	}
	if _, err := base64.RawURLEncoding.DecodeString(token[strings.IndexByte(token, '.')+1 : dot]); err != nil {
		return false
	}
	sum := sha256.Sum256([]byte(token[:dot]))
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		var builder cryptobyte.Builder
		builder.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1BigInt(new(big.Int).SetBytes(signature[:32]))
			b.AddASN1BigInt(new(big.Int).SetBytes(signature[32:]))
		})
		return ecdsa.VerifyASN1(key, sum[:], builder.BytesOrPanic())
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(key, []byte(token[:dot]), signature)
	}
	return false
}

// BenchmarkVerify is Parse, Verify and ParseClaims, beside its floor.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		k := testKeys()[alg]
		token := benchmarkToken(alg)
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				payload, err := accept(token, k.Key)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := ParseClaims(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(alg+"/floor", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !floorVerify(k.Public(), token) {
					b.Fatal("no")
				}
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		r := sure(Static(testKeys()[alg].private))
		payload := []byte(benchmarkClaims)
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Sign(b.Context(), "at+jwt", payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkJunk is what a request costs that carries no token.
func BenchmarkJunk(b *testing.B) {
	for _, bb := range []struct{ name, junk string }{
		{"letters", strings.Repeat("a", 8<<10)},
		{"dots", strings.Repeat(".", 8<<10)},
		{"three parts", strings.Repeat("a", 4<<10) + "." + strings.Repeat("a", 4<<10) + ".a"},
		{"header of braces", encode(strings.Repeat("{", 4<<10)) + ".a.a"},
		{"header of names", encode(`{"a":"`+strings.Repeat(`\u0061`, 1<<10)+`"}`) + ".a.a"},
		{"1 MB", strings.Repeat("a.", 1<<19)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(bb.junk, 0); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

// BenchmarkReaderStall is the longest that a reader waits, at p99.99, while keys
// rotate, sets are refreshed and the JWKS document is remade all the time.
func BenchmarkReaderStall(b *testing.B) {
	store := &shelf{}
	r := sure(Open(b.Context(), store, Policy{}))
	defer r.Close()
	kid := signedByB(b, r)
	server := httptest.NewServer(r)
	defer server.Close()
	remote := NewRemote(server.URL, RemoteConfig{})
	defer remote.Close()
	sure(remote.Key(b.Context(), kid))
	for name, source := range map[string]Source{"keyring": r, "remote": remote} {
		b.Run(name, func(b *testing.B) {
			stop := make(chan struct{})
			var churn sync.WaitGroup
			churn.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
					}
					_ = r.update(b.Context(), r.plan)
					v := r.view.Load()
					_ = r.show(&v.state, nil, v.loaded) // a new view, as after a rotation
					remote.mu.Lock()
					remote.begin(b.Context(), time.Now(), true)
					remote.mu.Unlock()
				}
			})
			waits := make([]time.Duration, 0, b.N)
			for b.Loop() {
				began := time.Now()
				if _, err := source.Key(b.Context(), kid); err != nil {
					b.Fatal(err)
				}
				waits = append(waits, time.Since(began))
			}
			close(stop)
			churn.Wait()
			slices.Sort(waits)
			b.ReportMetric(float64(waits[len(waits)*9999/10000].Nanoseconds()), "p99.99-ns")
		})
	}
}

func signedByB(b *testing.B, r *Keyring) string {
	b.Helper()
	parsed := sure(Parse(sure(r.Sign(b.Context(), "at+jwt", []byte("{}"))), 0))
	return parsed.KeyID()
}
