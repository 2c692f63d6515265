package jose

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
)

// members returns the public JWK of a key, with some members replaced. nil removes one.
func members(tb testing.TB, k *Key, changes map[string]any) []byte {
	tb.Helper()
	var jwk map[string]any
	if err := json.Unmarshal(sure(writeJWK(k.public, nil)), &jwk); err != nil {
		tb.Fatal(err)
	}
	for name, value := range changes {
		if jwk[name] = value; value == nil {
			delete(jwk, name)
		}
	}
	return sure(json.Marshal(jwk))
}

// The thumbprints are those of the RFCs and of jwx.
func TestThumbprintOfTheRFCs(t *testing.T) {
	for want, jwk := range map[string]string{
		// RFC 7638, section 3.1
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs": `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`,
		// RFC 9449, section 6.1
		"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I": `{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}`,
	} {
		k, err := ParseKey([]byte(jwk), "")
		if err != nil || k.Thumbprint() != want {
			t.Errorf("%s: %q, %v", jwk, k.Thumbprint(), err)
		}
	}
	for alg, s := range testKeys() {
		want := jwxThumbprint(s.key.public)
		named := sure(NewKey(s.key.public, alg, "another id"))
		if got := s.key.Thumbprint(); got != want || named.Thumbprint() != want || named.ID() != "another id" {
			t.Errorf("%s: %q and %q, want %q", alg, got, named.Thumbprint(), want)
		}
	}
}

// A coordinate that begins with zeros has all its bytes in the thumbprint.
func TestThumbprintOfAShortCoordinate(t *testing.T) {
	for {
		private := sure(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		if point := sure(private.PublicKey.Bytes()); point[1] != 0 && point[33] != 0 {
			continue
		}
		k := sure(NewKey(&private.PublicKey, "", ""))
		if want := jwxThumbprint(k.public); k.Thumbprint() != want {
			t.Errorf("%q, want %q", k.Thumbprint(), want)
		}
		if read, err := ParseKey(members(t, k, nil), "ES256"); err != nil || !read.Equal(k) {
			t.Errorf("%v, %v", read, err)
		}
		return
	}
}

// What is read here is what jwx reads.
func TestCanonicalKeysAsJWXReadsThem(t *testing.T) {
	for alg, s := range testKeys() {
		raw := members(t, s.key, nil)
		object := sure(ParseObject(string(raw)))
		here := object.canonical()
		if point := object.canonicalEC(); point != nil {
			here = point
		}
		other := sure(readPublic(raw))
		if here == nil || jwxThumbprint(here) != jwxThumbprint(other) {
			t.Errorf("%s: %v, want %v", alg, here, other)
		}
		k, err := ParseKey(raw, alg)
		if err != nil || !k.samePublic(s.key) || k.Algorithm() != alg {
			t.Errorf("%s: %+v, %v", alg, k, err)
		}
	}
}

// ParseKey refuses what ParseSet skips, and a key for another algorithm.
func TestParseKeyRefuses(t *testing.T) {
	ec, okp, rsa := testKeys()["ES256"].key, testKeys()["EdDSA"].key, testKeys()["PS256"].key
	off := new(big.Int).Sub(elliptic.P256().Params().P, big.NewInt(1)).FillBytes(make([]byte, 32))
	for name, c := range map[string]struct {
		jwk []byte
		alg string
	}{
		"nothing":                  {nil, "ES256"},
		"null":                     {[]byte("null"), "ES256"},
		"a string":                 {[]byte(`"key"`), "ES256"},
		"a set":                    {published(ec), "ES256"},
		"a member twice":           {[]byte(strings.Replace(string(members(t, ec, nil)), `{`, `{"kty":"EC",`, 1)), "ES256"},
		"symmetric":                {[]byte(`{"kty":"oct","k":"AAAA"}`), "ES256"},
		"symmetric as EC":          {members(t, ec, map[string]any{"k": "AAAA"}), "ES256"},
		"private":                  {sure(testKeys()["ES256"].MarshalPrivate()), "ES256"},
		"private Ed25519":          {sure(testKeys()["EdDSA"].MarshalPrivate()), "EdDSA"},
		"private RSA":              {sure(testKeys()["PS256"].MarshalPrivate()), "PS256"},
		"one private member":       {members(t, rsa, map[string]any{"qi": "AQ"}), "PS256"},
		"another curve":            {members(t, ec, nil), "ES384"},
		"another type":             {members(t, ec, nil), "PS256"},
		"a curve of another name":  {members(t, ec, map[string]any{"crv": "P-384"}), "ES256"},
		"secp256k1":                {members(t, ec, map[string]any{"crv": "secp256k1"}), "ES256"},
		"Ed448":                    {members(t, okp, map[string]any{"crv": "Ed448"}), "EdDSA"},
		"X25519":                   {members(t, okp, map[string]any{"crv": "X25519"}), "EdDSA"},
		"its alg is another":       {members(t, rsa, map[string]any{"alg": "RS256"}), "PS256"},
		"its alg is unknown":       {members(t, ec, map[string]any{"alg": "none"}), "ES256"},
		"for encryption":           {members(t, ec, map[string]any{"use": "enc"}), "ES256"},
		"for signing alone":        {members(t, ec, map[string]any{"key_ops": []string{"sign"}}), "ES256"},
		"no x":                     {members(t, ec, map[string]any{"x": nil}), "ES256"},
		"x a number":               {members(t, ec, map[string]any{"x": 1}), "ES256"},
		"not on the curve":         {members(t, ec, map[string]any{"x": encode(string(off))}), "ES256"},
		"the point at infinity":    {members(t, ec, map[string]any{"x": encode(string(make([]byte, 32))), "y": encode(string(make([]byte, 32)))}), "ES256"},
		"a modulus of 1024 bits":   {members(t, rsa, map[string]any{"n": encode("\x81" + strings.Repeat("\x01", 127))}), "PS256"},
		"an even modulus":          {members(t, rsa, map[string]any{"n": encode("\x81" + strings.Repeat("\x02", 255))}), "PS256"},
		"an exponent of 1":         {members(t, rsa, map[string]any{"e": "AQ"}), "PS256"},
		"an exponent of 64 bits":   {members(t, rsa, map[string]any{"e": encode("\x01\x00\x00\x00\x00\x00\x00\x01")}), "PS256"},
		"the algorithm HS256":      {members(t, ec, nil), "HS256"},
		"the algorithm none":       {members(t, ec, nil), "none"},
		"a kid of many bytes":      {members(t, ec, map[string]any{"kid": strings.Repeat("a", 300)}), "ES256"},
		"something after the key":  {append(members(t, ec, nil), '1'), "ES256"},
		"a coordinate of 31 bytes": {members(t, okp, map[string]any{"x": encode(strings.Repeat("a", 31))}), "EdDSA"},
	} {
		if k, err := ParseKey(c.jwk, c.alg); k != nil || err == nil {
			t.Errorf("%s: %+v", name, k)
		} else if !strings.HasPrefix(err.Error(), "jose: key: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Members that say nothing about the key are no obstacle.
func TestParseKeyTakes(t *testing.T) {
	k := testKeys()["ES256"].key
	for name, changes := range map[string]map[string]any{
		"its kid":         {"kid": "a"},
		"its use":         {"use": "sig", "alg": "ES256", "key_ops": []string{"verify"}},
		"unknown members": {"x5c": []string{"AAAA"}, "x5t": 1, "ext": true, "iat": nil},
	} {
		if got, err := ParseKey(members(t, k, changes), "ES256"); err != nil || !got.samePublic(k) || got.Thumbprint() != k.Thumbprint() {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if got, err := ParseKey(members(t, testKeys()["EdDSA"].key, map[string]any{"alg": "EdDSA"}), "Ed25519"); err != nil || got.Algorithm() != "Ed25519" {
		t.Errorf("two names of one algorithm: %+v, %v", got, err)
	}
}

// A signer with the key in the header is verified with that key, and the header has no kid.
func TestSignEmbedded(t *testing.T) {
	for alg, s := range testKeys() {
		token := sure(s.SignEmbedded("dpop+jwt", []byte(`{"a":1}`)))
		parsed := sure(Parse(token, 0))
		header, _, _ := strings.Cut(token, ".")
		members := sure(ParseObject(string(sure(base64url.DecodeString(header)))))
		k, err := parsed.EmbeddedKey()
		if err != nil || !k.Equal(s.key) {
			t.Fatalf("%s: %+v, %v", alg, k, err)
		}
		payload, err := parsed.Verify(k)
		unverified, err2 := parsed.UnverifiedPayload()
		if payload != `{"a":1}` || unverified != payload || err != nil || err2 != nil || parsed.KeyID() != "" || parsed.Type() != "dpop+jwt" || members.Has("kid") {
			t.Errorf("%s: %q, %q, %v, %v", alg, payload, unverified, err, err2)
		}
		// The two headers of one signer do not mix.
		if plain := sure(Parse(sure(s.Sign("dpop+jwt", []byte(`{}`))), 0)); plain.KeyID() != s.key.id {
			t.Errorf("%s: the kid is %q", alg, plain.KeyID())
		}
	}
	if token, err := testKeys()["ES256"].SignEmbedded("a\"b", nil); token != "" || err == nil {
		t.Errorf("%q, %v", token, err)
	}
}

// A header without a usable key has none.
func TestEmbeddedKeyRefuses(t *testing.T) {
	s := testKeys()["ES256"]
	public := string(members(t, s.key, nil))
	for name, header := range map[string]string{
		"none":              `{"alg":"ES256"}`,
		"null":              `{"alg":"ES256","jwk":null}`,
		"a string":          `{"alg":"ES256","jwk":"a"}`,
		"private":           `{"alg":"ES256","jwk":` + string(sure(s.MarshalPrivate())) + `}`,
		"for another alg":   `{"alg":"ES384","jwk":` + public + `}`,
		"of another member": `{"alg":"ES256","jku":` + public + `}`,
	} {
		parsed := sure(Parse(compact(t, encode(header), encode("{}"), s), 0))
		if k, err := parsed.EmbeddedKey(); k != nil || err == nil || !strings.HasPrefix(err.Error(), "jose: ") {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
}

// A payload that cannot be decoded is no payload.
func TestUnverifiedPayloadRefuses(t *testing.T) {
	token := compact(t, encode(`{"alg":"ES256"}`), "e3=", testKeys()["ES256"])
	parsed := sure(Parse(token, 0))
	if payload, err := parsed.UnverifiedPayload(); payload != "" || err == nil {
		t.Errorf("%q, %v", payload, err)
	}
}

func BenchmarkParseKey(b *testing.B) {
	for _, alg := range []string{"ES256", "PS256", "EdDSA"} {
		raw := members(b, testKeys()[alg].key, nil)
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if k, err := ParseKey(raw, alg); err != nil || k.Thumbprint() == "" {
					b.Fatal(err)
				}
			}
		})
	}
}
