package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"io"
	"maps"
	"math/big"
	"slices"
	"testing"
)

func TestAlgorithms(t *testing.T) {
	want := []string{"ES256", "ES384", "ES512", "Ed25519", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
	if got := slices.Sorted(maps.Keys(algorithms)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for name, a := range algorithms {
		if a.name != name || (a.hash == 0) != (a.kind == 'O') || (a.curve == nil) != (a.kind != 'E') {
			t.Errorf("%s: %+v", name, a)
		}
		for _, other := range append(want, "", "none", "HS256", "eddsa", "Ed448", "ES256K") {
			same := other == name || a.kind == 'O' && (other == "EdDSA" || other == "Ed25519")
			if a.named(other) != same {
				t.Errorf("%s is named %q: %t", name, other, !same)
			}
		}
	}
}

func TestAlgorithmFits(t *testing.T) {
	public := func(alg string) crypto.PublicKey { return testKeys()[alg].key.Public() }
	p256 := public("ES256").(*ecdsa.PublicKey)
	raw := sure(p256.Bytes())
	x, y := new(big.Int).SetBytes(raw[1:33]), new(big.Int).SetBytes(raw[33:])
	point := func(x, y *big.Int) *ecdsa.PublicKey {
		//lint:ignore SA1019 nothing else makes a bad key
		return &ecdsa.PublicKey{Curve: elliptic.P256(), X: x, Y: y} //nolint:staticcheck // SA1019: nothing else makes a bad key
	}
	n := public("RS256").(*rsa.PublicKey).N
	for _, tt := range []struct {
		name   string
		public crypto.PublicKey
		fits   []string
	}{
		{"P-256", p256, []string{"ES256"}},
		{"P-384", public("ES384"), []string{"ES384"}},
		{"P-521", public("ES512"), []string{"ES512"}},
		{"Ed25519", public("EdDSA"), []string{"Ed25519", "EdDSA"}},
		{"RSA", public("RS256"), []string{"PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}},
		{"RSA, e = 3", &rsa.PublicKey{N: n, E: 3}, []string{"PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}},

		{"nil", nil, nil},
		{"secret", []byte("secret"), nil},
		{"private", testKeys()["ES256"].private, nil},
		{"P-224", &sure(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)).PublicKey, nil},
		{"nil EC", (*ecdsa.PublicKey)(nil), nil},
		{"zero EC", &ecdsa.PublicKey{}, nil},
		{"EC without a point", &ecdsa.PublicKey{Curve: elliptic.P256()}, nil},
		{"off the curve", point(x, x), nil},
		{"negative", point(new(big.Int).Neg(x), y), nil},
		{"coordinate + p", point(new(big.Int).Add(x, p256.Params().P), y), nil},
		{"infinity", point(new(big.Int), new(big.Int)), nil},
		{"a value, no pointer", *p256, nil},
		{"short Ed25519", ed25519.PublicKey(make([]byte, 31)), nil},
		{"nil Ed25519", ed25519.PublicKey(nil), nil},
		{"nil RSA", (*rsa.PublicKey)(nil), nil},
		{"zero RSA", &rsa.PublicKey{}, nil},
		{"RSA of 2047 bits", &rsa.PublicKey{N: new(big.Int).Rsh(n, 1), E: 65537}, nil},
		{"RSA of 8193 bits", &rsa.PublicKey{N: new(big.Int).Lsh(n, 8193-2048), E: 65537}, nil},
		{"RSA negative", &rsa.PublicKey{N: new(big.Int).Neg(n), E: 65537}, nil},
		{"RSA even", &rsa.PublicKey{N: new(big.Int).Add(n, big.NewInt(1)), E: 65537}, nil},
		{"RSA, e = 1", &rsa.PublicKey{N: n, E: 1}, nil},
		{"RSA, e = 0", &rsa.PublicKey{N: n}, nil},
		{"RSA, e = -3", &rsa.PublicKey{N: n, E: -3}, nil},
		{"RSA, e even", &rsa.PublicKey{N: n, E: 65536}, nil},
		{"RSA, e too large", &rsa.PublicKey{N: n, E: 1<<31 + 1}, nil},
	} {
		var fits []string
		for _, name := range slices.Sorted(maps.Keys(algorithms)) {
			if algorithms[name].fits(tt.public) == nil {
				fits = append(fits, name)
			}
		}
		if !slices.Equal(fits, tt.fits) {
			t.Errorf("%s fits %q", tt.name, fits)
		}
		_, err := newKey(tt.public, "", "")
		if (err == nil) != (tt.fits != nil) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A signature always has the length of its algorithm, whatever r and s are. It verifies
// with jwx and with the standard library alone. Signatures of jwx verify here.
func TestAlgorithmSigns(t *testing.T) {
	for alg, size := range map[string]int{"ES256": 64, "ES384": 96, "ES512": 132, "EdDSA": 64, "Ed25519": 64, "RS256": 256, "RS384": 256, "RS512": 256, "PS256": 256, "PS384": 256, "PS512": 256} {
		k := testKeys()[alg]
		shortFound := false // r or s begins with a zero, as in one signature of 128
		for i := 0; i < 8 || (k.key.alg.kind == 'E' && !shortFound && i < 2000); i++ {
			input := []byte{byte(i), byte(i >> 8)}
			signature, err := k.key.alg.sign(k.private, input)
			if err != nil {
				t.Fatal(err)
			}
			if len(signature) != size {
				t.Fatalf("%s: %d bytes", alg, len(signature))
			}
			short := signature[0] == 0 && signature[1] < 0x80 || signature[size/2] == 0 && signature[size/2+1] < 0x80
			if i >= 8 && !short {
				continue // verifying takes far longer than signing
			}
			shortFound = shortFound || short
			if err := k.key.alg.verify(k.key.Public(), input, signature); err != nil {
				t.Fatalf("%s: %x: %v", alg, signature, err)
			}
			if !standardVerify(k.key.alg, k.key.Public(), input, signature) {
				t.Fatalf("%s: %x: the standard library refuses it", alg, signature)
			}
			if err := jwxVerify(alg, input, signature, k.key.Public()); err != nil {
				t.Fatalf("%s: %x: jwx refuses it: %v", alg, signature, err)
			}
			if theirs := jwxSign(alg, input, k.private); k.key.alg.verify(k.key.Public(), input, theirs) != nil {
				t.Fatalf("%s: %x of jwx does not verify", alg, theirs)
			}
			if err := k.key.alg.verify(k.key.Public(), append(input, 0), signature); err == nil {
				t.Fatalf("%s: another message verified", alg)
			}
			if err := k.key.alg.verify(otherKeys()[alg].key.Public(), input, signature); err == nil {
				t.Fatalf("%s: verified with another key", alg)
			}
		}
	}
}

// derSigner is a crypto.Signer that returns any bytes, as one of a KMS could.
type derSigner struct {
	crypto.Signer
	answer []byte
}

func (s derSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return s.answer, nil }

func TestSignerAnswers(t *testing.T) {
	type integers struct{ R, S *big.Int }
	k := testKeys()["ES256"]
	der := func(r, s *big.Int) []byte { return sure(asn1.Marshal(integers{r, s})) }
	small, large := big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 255)
	for _, tt := range []struct {
		name   string
		answer []byte
		want   []byte // nil: an error
	}{
		{"small", der(small, small), slices.Concat(make([]byte, 31), []byte{1}, make([]byte, 31), []byte{1})},
		{"large", der(large, large), slices.Concat([]byte{0x80}, make([]byte, 31), []byte{0x80}, make([]byte, 31))},
		{"nothing", nil, nil},
		{"empty", []byte{}, nil},
		{"not ASN.1", make([]byte, 64), nil},
		{"negative", der(big.NewInt(-1), small), nil},
		{"too long", der(new(big.Int).Lsh(large, 1), small), nil},
		{"trailing byte", append(der(small, small), 0), nil},
		{"three numbers", sure(asn1.Marshal([]int{1, 1, 1})), nil},
		{"one number", sure(asn1.Marshal([]int{1})), nil},
		{"not minimal", []byte{0x30, 0x07, 0x02, 0x02, 0, 1, 0x02, 0x01, 1}, nil},
		{"cut short", der(large, large)[:40], nil},
	} {
		signature, err := k.key.alg.sign(derSigner{k.private, tt.answer}, []byte("a"))
		if (err == nil) != (tt.want != nil) || !bytes.Equal(signature, tt.want) {
			t.Errorf("%s: %x, %v", tt.name, signature, err)
		}
		if tt.want == nil {
			continue
		}
		if again, err := k.key.alg.toASN1(tt.want); err != nil || !bytes.Equal(again, tt.answer) {
			t.Errorf("%s: written as %x, not %x", tt.name, again, tt.answer)
		}
	}
}

// toASN1 writes the same bytes as encoding/asn1, for all pairs of lengths of r and s.
func TestASN1(t *testing.T) {
	for _, name := range []string{"ES256", "ES384", "ES512"} {
		a := algorithms[name]
		size := a.scalarSize()
		number := func(bits int) *big.Int { return new(big.Int).Lsh(big.NewInt(1), uint(bits)) }
		lengths := []int{0, 1, 6, 7} // in bits, less one: around the end of each byte
		for bits := 15; bits < 8*size; bits += 8 {
			lengths = append(lengths, bits-1, bits)
		}
		for _, i := range lengths {
			for _, k := range lengths {
				r, s := number(i), number(k)
				want := sure(asn1.Marshal(struct{ R, S *big.Int }{r, s}))
				raw := append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
				got, err := a.toASN1(raw)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%s: %x as %x, not %x", name, raw, got, want)
				}
				if back, err := a.fromASN1(got); err != nil || !bytes.Equal(back, raw) {
					t.Fatalf("%s: %x came back as %x, %v", name, raw, back, err)
				}
			}
		}
	}
}

// standardVerify verifies with the standard library alone.
func standardVerify(a *algorithm, public crypto.PublicKey, input, signature []byte) bool {
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[a.name[2:]]
	sum := func() []byte {
		if hash == crypto.SHA256 {
			sum := sha256.Sum256(input)
			return sum[:]
		}
		h := hash.New()
		h.Write(input)
		return h.Sum(nil)
	}
	switch key := public.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(key, input, signature)
	case *ecdsa.PublicKey:
		half := len(signature) / 2
		return ecdsa.Verify(key, sum(), new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
	case *rsa.PublicKey:
		if a.kind == 'P' {
			return rsa.VerifyPSS(key, hash, sum(), signature, &rsa.PSSOptions{SaltLength: hash.Size()}) == nil
		}
		return rsa.VerifyPKCS1v15(key, hash, sum(), signature) == nil
	}
	return false
}

// The salt of a PSS signature is as long as its hash. Any other length is refused
// (RFC 7518, section 3.5).
func TestPSSSalt(t *testing.T) {
	k := testKeys()["PS256"]
	sum := sha256.Sum256([]byte("a"))
	for salt, ok := range map[int]bool{rsa.PSSSaltLengthAuto: false, 1: false, 31: false, 32: true, 33: false, rsa.PSSSaltLengthEqualsHash: true} {
		signature, err := k.private.Sign(rand.Reader, sum[:], &rsa.PSSOptions{SaltLength: salt, Hash: crypto.SHA256})
		if err != nil {
			t.Fatal(err)
		}
		if err := k.key.alg.verify(k.key.Public(), []byte("a"), signature); (err == nil) != ok {
			t.Errorf("salt %d: %v", salt, err)
		}
	}
	if err := k.key.alg.verify(testKeys()["ES256"].key.Public(), []byte("a"), make([]byte, 256)); err == nil {
		t.Error("an EC key verified a PSS signature")
	}
}

// The examples of the RFCs.
func TestRFCSignatures(t *testing.T) {
	const payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	for _, tt := range []struct{ name, jwk, token string }{
		{"RFC 7515 A.3", `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
			"eyJhbGciOiJFUzI1NiJ9." + payload + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
		{"RFC 8037 A.4", `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
	} {
		key, _, err := parseKey(tt.jwk)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := accept(tt.token, key); err != nil || got == "" {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
