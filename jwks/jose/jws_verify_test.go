package jose

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// An HMAC whose secret is the public key, in any form, is refused.
func TestSymmetryConfusion(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		k := testKeys()[alg]
		der, err := x509.MarshalPKIXPublicKey(k.key.Public())
		if err != nil {
			t.Fatal(err)
		}
		jwk := published(k.key)
		for name, secret := range map[string][]byte{
			"DER":   der,
			"PEM":   pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
			"JWKS":  jwk,
			"JWK":   jwk[len(`{"keys":[`) : len(jwk)-2],
			"kid":   []byte(k.key.ID()),
			"empty": {},
		} {
			for _, header := range []string{`{"alg":"HS256"}`, `{"alg":"` + alg + `"}`, `{"alg":"none"}`} {
				input := encode(header) + "." + encode(`{}`)
				mac := hmac.New(sha256.New, secret)
				mac.Write([]byte(input))
				if _, err := accept(input+"."+encode(string(mac.Sum(nil))), k.key); err == nil {
					t.Errorf("%s, %s with the %s as secret was accepted", alg, header, name)
				}
			}
		}
	}
}

// A token is verified with its key's algorithm and no other, even one of the
// same key type.
func TestVerifyAlgorithm(t *testing.T) {
	for tokenAlg := range algorithms {
		token := compact(t, encode(`{"alg":"`+tokenAlg+`"}`), encode(`{}`), testKeys()[tokenAlg])
		for keyAlg := range algorithms {
			key := testKeys()[keyAlg].key
			same := keyAlg == tokenAlg
			if names := []string{"EdDSA", "Ed25519"}; !same && slices.Contains(names, keyAlg) && slices.Contains(names, tokenAlg) {
				key, same = &Key{alg: algorithms[keyAlg], public: testKeys()[tokenAlg].key.Public()}, true
			}
			if _, err := accept(token, key); (err == nil) != same {
				t.Errorf("token %s, key %s: %v", tokenAlg, keyAlg, err)
			}
		}
		if _, err := accept(token, otherKeys()[tokenAlg].key); err == nil {
			t.Errorf("%s: another key verified", tokenAlg)
		}
	}
}

// The alg of the header must be the key's, even if the signature is valid.
func TestVerifyComparesHeaderAndKey(t *testing.T) {
	for keyAlg, k := range testKeys() {
		for tokenAlg := range algorithms {
			_, err := accept(compact(t, encode(`{"alg":"`+tokenAlg+`"}`), encode(`{}`), k), k.key)
			if ok := algorithms[keyAlg].named(tokenAlg); (err == nil) != ok {
				t.Errorf("a valid signature of an %s key with the header %s: %v", keyAlg, tokenAlg, err)
			}
		}
	}
}

// A signature has two numbers of the curve's length. An extra zero
// would be another spelling of the token.
func TestVerifySignatureLength(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "ES512"} {
		k := testKeys()[alg]
		input := encode(`{"alg":"`+alg+`"}`) + "." + encode(`{}`)
		signature := sure(k.key.alg.sign(k.private, []byte(input)))
		half := len(signature) / 2
		r, s, zero := signature[:half], signature[half:], []byte{0}
		for name, changed := range map[string][]byte{
			"before r": slices.Concat(zero, r, s), "between": slices.Concat(r, zero, s), "after s": slices.Concat(r, s, zero),
			"both longer": slices.Concat(zero, r, zero, s), "both shorter": slices.Concat(r[1:], s[1:]), "empty": {},
		} {
			if k.key.alg.verify(k.key.Public(), []byte(input), changed) == nil {
				t.Errorf("%s, %s: verified", alg, name)
			}
		}
		if err := k.key.alg.verify(k.key.Public(), []byte(input), signature); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func TestVerifyTampered(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "EdDSA"} {
		k := testKeys()[alg]
		token := compact(t, encode(`{"alg":"`+alg+`"}`), encode(`{"sub":"a"}`), k)
		for i := range len(token) {
			if token[i] == '.' {
				continue
			}
			other := alphabet[(strings.IndexByte(alphabet, token[i])+1)%64]
			if _, err := accept(token[:i]+string(other)+token[i+1:], k.key); err == nil {
				t.Fatalf("%s: accepted with byte %d changed", alg, i)
			}
		}
		if _, err := accept(token, k.key); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func TestVerifySignatureForm(t *testing.T) {
	k := testKeys()["ES256"]
	token := compact(t, encode(`{"alg":"ES256"}`), encode(`{}`), k)
	input := token[:strings.LastIndexByte(token, '.')]
	signature, err := base64.RawURLEncoding.DecodeString(token[len(input)+1:])
	if err != nil {
		t.Fatal(err)
	}
	r, s := signature[:32], signature[32:]
	n := k.key.Public().(*ecdsa.PublicKey).Params().N
	add := func(x []byte, y *big.Int) []byte { return y.Add(y, new(big.Int).SetBytes(x)).Bytes() }
	other := new(big.Int).Sub(n, new(big.Int).SetBytes(s)).FillBytes(make([]byte, 32))
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)})
	if err != nil {
		t.Fatal(err)
	}
	zero := make([]byte, 32)
	for _, tt := range []struct {
		name      string
		signature []byte
		ok        bool
	}{
		{"as signed", signature, true},
		{"(r, n-s)", slices.Concat(r, other), true}, // so the bytes of a token do not identify it
		{"DER", der, false},
		{"one byte short", signature[:63], false},
		{"one byte long", append(slices.Clone(signature), 0), false},
		{"zero before", append([]byte{0}, signature...), false},
		{"twice", slices.Concat(signature, signature), false},
		{"one byte", []byte{1}, false},
		{"zeros", make([]byte, 64), false},
		{"r = 0", slices.Concat(zero, s), false},
		{"s = 0", slices.Concat(r, zero), false},
		{"r = s = n", slices.Concat(n.Bytes(), n.Bytes()), false},
		{"s + n", slices.Concat([]byte{0}, r, add(s, new(big.Int).Set(n))), false},
		{"of ES384", make([]byte, 96), false},
	} {
		if _, err := accept(input+"."+encode(string(tt.signature)), k.key); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestVerifyWithoutKey(t *testing.T) {
	k := testKeys()["EdDSA"]
	parsed, err := Parse(compact(t, encode(`{"alg":"EdDSA"}`), encode(`{}`), k), 0)
	if err != nil {
		t.Fatal(err)
	}
	var none JWS
	for name, f := range map[string]func() (string, error){
		"nil key":             func() (string, error) { return parsed.Verify(nil) },
		"zero key":            func() (string, error) { return parsed.Verify(&Key{}) },
		"zero token":          func() (string, error) { return none.Verify(k.key) },
		"zero token and key":  func() (string, error) { return none.Verify(&Key{}) },
		"zero token, nil key": func() (string, error) { return none.Verify(nil) },
	} {
		if payload, err := f(); err == nil || payload != "" {
			t.Errorf("%s: %q, %v", name, payload, err)
		}
	}
}

// TestKeyVerify checks signatures of messages that are no tokens.
func TestKeyVerify(t *testing.T) {
	for alg, k := range testKeys() {
		message := []byte("not a token")
		signature := sure(k.key.alg.sign(k.private, message))
		if err := k.key.Verify(message, signature); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		for name, err := range map[string]error{
			"another message": k.key.Verify([]byte("not a  token"), signature),
			"another key":     otherKeys()[alg].key.Verify(message, signature),
			"no signature":    k.key.Verify(message, nil),
			"the zero key":    new(Key).Verify(message, signature),
			"a nil key":       (*Key)(nil).Verify(message, signature),
		} {
			if err == nil {
				t.Errorf("%s: verified with %s", alg, name)
			}
		}
	}
}

func TestSignRefusesTyp(t *testing.T) {
	k := testKeys()["ES256"]
	for typ, ok := range map[string]bool{
		"at+jwt": true, "dpop+jwt": true, "application/at+jwt": true, "JWT": true, "a.b_c-1": true,
		`a"`: false, `a","alg":"none`: false, "a b": false, "a\\": false, "a\n": false, "a\x00": false, "é": false, "a@": false, "[": false, "`": false, "{": false,
	} {
		token, err := k.Sign(typ, []byte(`{}`))
		if (err == nil) != ok {
			t.Errorf("typ %q: %v", typ, err)
		}
		if !ok {
			continue
		}
		var header struct{ Alg, Kid, Typ string }
		decoded, _ := base64.RawURLEncoding.DecodeString(token[:strings.IndexByte(token, '.')])
		if err := json.Unmarshal(decoded, &header); err != nil || header.Typ != typ || header.Alg != "ES256" || header.Kid != testKeys()["ES256"].key.ID() {
			t.Errorf("typ %q: header %s", typ, decoded)
		}
	}
}

// An accepted token is canonical: its parts, decoded and encoded again, are the same
// bytes. Another key never verifies it.
func FuzzParse(f *testing.F) {
	k := fuzzKey()
	good := compact(f, encode(`{"alg":"EdDSA","kid":"a","typ":"at+jwt"}`), encode(`{"sub":"a"}`), k)
	seeds := []string{
		good, good + "=", good + "\n", " " + good, good[:len(good)-1], respell(good), "", "..", "a.b.c", "....",
		compact(f, encode(`{"alg":"Ed25519"}`), encode("x"), k),
		compact(f, encode(`{"alg":"none"}`), encode("x"), k),
		compact(f, encode(`{"alg":"EdDSA","crit":[]}`), encode("x"), k),
		compact(f, encode(`{"alg":"EdDSA","alg":"EdDSA"}`), encode("x"), k),
		compact(f, encode(`{"alg":"ES256","jwk":{"kty":"oct"}}`), encode("x"), k),
		compact(f, pad(encode(`{"alg":"EdDSA" }`)), encode("x"), k),
		compact(f, encode(`{"alg":"EdDSA"}`), respell(encode("x")), k),
		`{"protected":"","payload":"","signature":""}`,
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	strange := otherKeys()["EdDSA"].key
	f.Fuzz(func(t *testing.T, token string) {
		parsed, err := Parse(token, 0)
		if err != nil {
			if parsed != (JWS{}) {
				t.Fatal("an error and a value")
			}
			return
		}
		header, _ := base64.RawURLEncoding.DecodeString(token[:strings.IndexByte(token, '.')])
		if !strings.HasPrefix(token, encode(string(header))+".") {
			t.Fatal("the header is not canonical")
		}
		if _, err := parsed.Verify(strange); err == nil {
			t.Fatal("another key verified it")
		}
		payload, err := parsed.Verify(k.key)
		if err != nil {
			return
		}
		signature, _ := base64.RawURLEncoding.DecodeString(token[strings.LastIndexByte(token, '.')+1:])
		if encode(string(header))+"."+encode(payload)+"."+encode(string(signature)) != token {
			t.Fatal("accepted and not canonical")
		}
	})
}
