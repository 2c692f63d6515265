package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"

	"strings"

	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const benchmarkClaims = `{"iss":"https://auth.example.com","sub":"app1","client_id":"app1","aud":"https://api.example.com","exp":1800000000,"iat":1799999100,"jti":"01J8ZQ4YV3N0M6T2B7K9RXW5CD","scope":"orders:read orders:write"}`

func benchmarkToken(alg string) string {
	return sure(testKeys()[alg].Sign("at+jwt", []byte(benchmarkClaims)))
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

func BenchmarkParseObject(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(benchmarkClaims)))
	for b.Loop() {
		if _, err := ParseObject(benchmarkClaims); err != nil {
			b.Fatal(err)
		}
	}
}

// floorVerify does what every verifier must do: it decodes base64 and checks the
// signature, with the standard library.
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

// BenchmarkVerify measures Parse, Verify and ParseObject, beside the floor.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		k := testKeys()[alg]
		token := benchmarkToken(alg)
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				payload, err := accept(token, k.key)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := ParseObject(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(alg+"/floor", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !floorVerify(k.key.Public(), token) {
					b.Fatal("the signature was refused")
				}
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		k := testKeys()[alg]
		payload := []byte(benchmarkClaims)
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Sign("at+jwt", payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkJunk measures requests whose credential is not a token.
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
