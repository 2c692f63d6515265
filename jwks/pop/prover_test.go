package pop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// claimsOf returns what a proof says.
func claimsOf(proof string) (header, payload map[string]any) {
	token := sure(jose.Parse(proof, 0))
	first, _, _ := strings.Cut(proof, ".")
	if err := json.Unmarshal(sure(base64.RawURLEncoding.DecodeString(first)), &header); err != nil {
		panic(err)
	}
	if err := json.Unmarshal([]byte(sure(token.UnverifiedPayload())), &payload); err != nil {
		panic(err)
	}
	return header, payload
}

// A proof has the members of RFC 9449, section 4.2, and no others.
func TestProof(t *testing.T) {
	p := newProver()
	header, bare := claimsOf(sure(p.Proof("POST", "HTTPS://Auth.Example.com:443/to~ken/%7e?a=b#c", "", "")))
	jwk := header["jwk"].(map[string]any)
	if len(header) != 3 || header["typ"] != "dpop+jwt" || header["alg"] != "ES256" || len(jwk) != 4 || jwk["kty"] != "EC" || jwk["d"] != nil {
		t.Errorf("the header is %v", header)
	}
	issued := time.Unix(int64(bare["iat"].(float64)), 0)
	if len(bare) != 4 || bare["htm"] != "POST" || bare["htu"] != "https://auth.example.com/to~ken/%7e" || time.Since(issued).Abs() > time.Minute {
		t.Errorf("the claims are %v", bare)
	}
	_, whole := claimsOf(sure(p.Proof("GET", testURL, testToken, "eyJ7S_zG.eyJH0-Z.HX4w-7v")))
	if len(whole) != 6 || whole["ath"] != tokenHash(testToken) || whole["nonce"] != "eyJ7S_zG.eyJH0-Z.HX4w-7v" {
		t.Errorf("the claims are %v", whole)
	}
	if id := bare["jti"].(string); id == whole["jti"] || len(id) < 22 {
		t.Errorf("the ids are %q and %q", id, whole["jti"])
	}
	// The ath of the example in RFC 9449, section 7.1.
	if got := tokenHash("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"); got != "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo" {
		t.Errorf("ath is %q", got)
	}
}

// Without an algorithm the prover takes one that verifiers take.
func TestNewProverAlgorithm(t *testing.T) {
	v := sure(NewVerifier(Config{}))
	for family, want := range map[string]string{"ES256": "ES256", "EdDSA": "EdDSA", "RS256": "PS256"} {
		p := sure(NewProver(testKeys()[family], ""))
		proof := sure(p.Proof("GET", testURL, "", ""))
		if header, _ := claimsOf(proof); header["alg"] != want {
			t.Errorf("%s: %v", family, header["alg"])
		}
		if got, err := v.Verify(t.Context(), request(proof)); err != nil || got.Thumbprint != p.Thumbprint() {
			t.Errorf("%s: %+v, %v", family, got, err)
		}
	}
	for name, key := range map[string]crypto.Signer{"nil": nil, "a nil pointer": (*ecdsa.PrivateKey)(nil), "a nil RSA key": (*rsa.PrivateKey)(nil), "an empty one": new(ecdsa.PrivateKey)} {
		if p, err := NewProver(key, ""); p != nil || err == nil || !strings.HasPrefix(err.Error(), "pop: NewProver: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p, err := NewProver(testKeys()["ES256"], "PS256"); p != nil || err == nil {
		t.Errorf("an algorithm of another key: %v", err)
	}
}

// What would make a proof that no server accepts is an error.
func TestProofRefuses(t *testing.T) {
	p := newProver()
	for name, c := range map[string]struct{ method, url, nonce string }{
		"no method":                   {"", testURL, ""},
		"a method of two words":       {"GET /", testURL, ""},
		"no URL":                      {"GET", "", ""},
		"a path":                      {"GET", "/v1/orders", ""},
		"another scheme":              {"GET", "ftp://a.example/", ""},
		"user information":            {"GET", "https://user@a.example/", ""},
		"a host that is not ASCII":    {"GET", "https://bücher.example/", ""},
		"a path that is not escaped":  {"GET", "https://a.example/ü", ""},
		"a space":                     {"GET", "https://a.example/a b", ""},
		"a broken escape":             {"GET", "https://a.example/%z", ""},
		"a nonce with quotes":         {"GET", testURL, `a"b`},
		"a nonce with a line break":   {"GET", testURL, "a\nb"},
		"a nonce that is not ASCII":   {"GET", testURL, "ü"},
		"a nonce of a hundred thousa": {"GET", testURL, strings.Repeat("a", 100000)},
	} {
		if proof, err := p.Proof(c.method, c.url, "", c.nonce); proof != "" || err == nil || !strings.HasPrefix(err.Error(), "pop: ") {
			t.Errorf("%s: %q, %v", name, proof, err)
		}
	}
}

// Zero values refuse everything.
func TestZeroValues(t *testing.T) {
	for _, v := range []*Verifier{nil, {}} {
		if got, err := v.Verify(t.Context(), request(newForge("ES256").sign(t))); err == nil || got != (Proof{}) || v.Algorithms() != nil {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for _, p := range []*Prover{nil, {}} {
		if got, err := p.Proof("GET", testURL, "", ""); err == nil || got != "" || p.Thumbprint() != "" {
			t.Errorf("%q, %v", got, err)
		}
	}
	for _, n := range []*Nonces{nil, {}} {
		if n.Current() != "" || n.valid("") || n.valid("a") {
			t.Error("it has nonces")
		}
	}
	if new(Error).Error() == "" || new(Error).Unwrap() != nil {
		t.Error("the zero Error says nothing")
	}
}

// A proof has the time that ProofAt is given, and a verifier judges by it.
func TestProofAt(t *testing.T) {
	v := sure(NewVerifier(Config{}))
	for offset, ok := range map[time.Duration]bool{0: true, 5 * time.Second: true, -30 * time.Second: true, 5 * time.Minute: false, -5 * time.Minute: false} {
		proof := sure(newProver().ProofAt(time.Now().Add(offset), "GET", testURL, "", ""))
		if _, err := v.Verify(t.Context(), request(proof)); (err == nil) != ok {
			t.Errorf("%v: %v", offset, err)
		}
	}
	if _, err := (&Prover{}).ProofAt(time.Now(), "GET", testURL, "", ""); err == nil {
		t.Error("a proof without a key")
	}
}
