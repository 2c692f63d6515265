package middleware

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

var testKeys = []struct {
	alg string
	key crypto.Signer
}{{"ES256", ecKey}, {"RS256", rsaKey}, {"EdDSA", edKey}}

// jwkOf is a public key as a JWK, members in the order of RFC 7638.
func jwkOf(tb testing.TB, key crypto.PublicKey) string {
	tb.Helper()
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			tb.Fatal(err)
		}
		return fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, encode(point[1:33]), encode(point[33:]))
	case *rsa.PublicKey:
		return fmt.Sprintf(`{"e":"AQAB","kty":"RSA","n":"%s"}`, encode(k.N.Bytes()))
	case ed25519.PublicKey:
		return fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":"%s"}`, encode([]byte(k)))
	}
	tb.Fatalf("no JWK for a %T", key)
	return ""
}

// TRAPS: HS256 with the public key as secret, none in any case, unknown alg with
// an empty signature. (CVE-2026-33322, CVE-2026-39999, CVE-2026-22817, CVE-2026-23993)
func TestForgedSignatureConfusion(t *testing.T) {
	for _, tt := range testKeys {
		t.Run(tt.alg, func(t *testing.T) {
			keys := newKeyring(t, tt.key)
			a := newAPI(t, Config{Keys: keys})
			kid := kidOf(t, keys)
			header := func(alg string) string {
				return fmt.Sprintf(`{"alg":%s,"kid":"%s","typ":"at+jwt"}`, alg, kid)
			}
			a.wantServed(t, forge(t, header(strconv.Quote(tt.alg)), payload(nil), tt.key)) // the shape is right

			der, err := x509.MarshalPKIXPublicKey(tt.key.Public())
			if err != nil {
				t.Fatal(err)
			}
			secrets := map[string][]byte{
				"DER":               der,
				"PEM":               pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
				"PEM, no last line": []byte(strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))),
				"JWK":               []byte(jwkOf(t, tt.key.Public())),
				"kid":               []byte(kid),
				"empty":             nil,
			}
			if public, ok := tt.key.Public().(*rsa.PublicKey); ok {
				secrets["PKCS1 PEM"] = pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(public)})
			}
			for name, secret := range secrets {
				t.Run("HS256 with "+name, func(t *testing.T) {
					input := encode(header(`"HS256"`)) + "." + encode(payload(nil))
					mac := hmac.New(sha256.New, secret)
					mac.Write([]byte(input))
					a.wantInvalid(t, input+"."+encode(mac.Sum(nil)), "alg")
				})
			}
			signature := goodToken(t, keys)
			signature = signature[strings.LastIndexByte(signature, '.')+1:]
			for _, alg := range []string{`"none"`, `"None"`, `"NONE"`, `"nOnE"`, `"none "`, `"XX256"`, `"HS256"`, `""`, `null`, `1`, `["` + tt.alg + `"]`, `"` + strings.ToLower(tt.alg) + `x"`} {
				t.Run("alg "+alg, func(t *testing.T) {
					input := encode(header(alg)) + "." + encode(payload(nil))
					a.wantInvalid(t, input+".", "three non-empty parts")
					a.wantInvalid(t, input, "three non-empty parts")
					a.wantInvalid(t, input+"."+signature, "alg")
				})
			}
			t.Run("no alg", func(t *testing.T) {
				a.wantInvalid(t, forge(t, `{"kid":"`+kid+`","typ":"at+jwt"}`, payload(nil), tt.key), "alg")
			})
			t.Run("signed by an attacker", func(t *testing.T) {
				if tt.alg == "ES256" {
					a.wantInvalid(t, forge(t, header(`"ES256"`), payload(nil), strangeKey), "signature")
				}
			})
			t.Run("payload changed", func(t *testing.T) {
				parts := strings.Split(goodToken(t, keys), ".")
				a.wantInvalid(t, parts[0]+"."+encode(payload(map[string]string{"sub": `"admin"`}))+"."+parts[2], "signature")
			})
			t.Run("header changed", func(t *testing.T) {
				parts := strings.Split(goodToken(t, keys), ".")
				a.wantInvalid(t, encode(header(strconv.Quote(tt.alg))+" ")+"."+parts[1]+"."+parts[2], "signature")
			})
			t.Run("signature of zeros", func(t *testing.T) { // CVE-2022-21449
				input := encode(header(strconv.Quote(tt.alg))) + "." + encode(payload(nil))
				for _, n := range []int{1, 63, 64, 65, 256} {
					a.wantInvalid(t, input+"."+encode(make([]byte, n)), "signature")
				}
			})
		})
	}
}

// TRAPS: alg of another key. A key is found by kid and alg, and has one algorithm.
func TestForgedAlgOfAnotherKey(t *testing.T) {
	keys := newKeyring(t, rsaKey, ecKey, edKey)
	a := newAPI(t, Config{Keys: keys})
	kids := map[string]string{}
	for _, k := range testKeys {
		kids[k.alg] = kidOf(t, newKeyring(t, k.key))
	}
	for _, signer := range testKeys {
		for _, other := range testKeys {
			if signer.alg == other.alg {
				continue
			}
			t.Run(signer.alg+" under the kid of "+other.alg, func(t *testing.T) {
				header := fmt.Sprintf(`{"alg":"%s","kid":"%s","typ":"at+jwt"}`, signer.alg, kids[other.alg])
				a.wantInvalid(t, forge(t, header, payload(nil), signer.key), "unknown key")
				header = fmt.Sprintf(`{"alg":"%s","kid":"%s","typ":"at+jwt"}`, other.alg, kids[other.alg])
				a.wantInvalid(t, forge(t, header, payload(nil), signer.key), "signature")
			})
		}
	}
	t.Run("PS256 by the RS256 key", func(t *testing.T) {
		input := encode(fmt.Sprintf(`{"alg":"PS256","kid":"%s","typ":"at+jwt"}`, kids["RS256"])) + "." + encode(payload(nil))
		sum := sha256.Sum256([]byte(input))
		signature, err := rsa.SignPSS(rand.Reader, rsaKey, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		if err != nil {
			t.Fatal(err)
		}
		a.wantInvalid(t, input+"."+encode(signature), "unknown key")
	})
}

// TRAPS: embedded jwk, jku, x5u, x5c are never followed.
func TestForgedEmbeddedKeys(t *testing.T) {
	fetched := 0
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched++
		fmt.Fprintf(w, `{"keys":[%s]}`, jwkOf(t, strangeKey.Public()))
	}))
	defer evil.Close()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, strangeKey.Public(), strangeKey)
	if err != nil {
		t.Fatal(err)
	}
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	good, strange := kidOf(t, keys), kidOf(t, newKeyring(t, strangeKey))
	for name, member := range map[string]string{
		"jwk": `"jwk":` + jwkOf(t, strangeKey.Public()),
		"jku": `"jku":"` + evil.URL + `"`,
		"x5u": `"x5u":"` + evil.URL + `"`,
		"x5c": `"x5c":["` + base64.StdEncoding.EncodeToString(certificate) + `"]`,
	} {
		t.Run(name, func(t *testing.T) {
			header := func(kid string) string { return `{"alg":"ES256",` + kid + member + `,"typ":"at+jwt"}` }
			a.wantInvalid(t, forge(t, header(`"kid":"`+good+`",`), payload(nil), strangeKey), "signature")
			a.wantInvalid(t, forge(t, header(`"kid":"`+strange+`",`), payload(nil), strangeKey), "unknown key")
			a.wantInvalid(t, forge(t, header(""), payload(nil), strangeKey), "unknown key")
		})
	}
	if fetched > 0 {
		t.Errorf("the address in the header was fetched %d times", fetched)
	}
}

// TRAPS: kid with path, SQL, NUL, a megabyte, wrong JSON type. (GHSA-869p-cjfg-cm3x)
func TestForgedKid(t *testing.T) {
	keys := newKeyring(t, ecKey)
	good := kidOf(t, keys)
	a := newAPI(t, Config{Keys: keys})
	for name, tt := range map[string]struct{ member, cause string }{
		"path":      {`"kid":"../../../../dev/null",`, "unknown key"},
		"SQL":       {`"kid":"x' UNION SELECT 'secret'--",`, "unknown key"},
		"NUL":       {`"kid":"` + good + `\u0000",`, "kid"},
		"newline":   {`"kid":"` + good + `\n",`, "kid"},
		"unicode":   {`"kid":"` + good + `é",`, "kid"},
		"long":      {`"kid":"` + strings.Repeat("a", 8000) + `",`, "kid"},
		"empty":     {`"kid":"",`, "unknown key"},
		"missing":   {``, "unknown key"},
		"number":    {`"kid":0,`, "kid"},
		"null":      {`"kid":null,`, "kid"},
		"array":     {`"kid":["` + good + `"],`, "kid"},
		"object":    {`"kid":{"a":"` + good + `"},`, "kid"},
		"two":       {`"kid":"` + good + `","kid":"` + good + `",`, "unique"},
		"two, case": {`"KID":"` + good + `",`, "unknown key"},
		"prefix":    {`"kid":"` + good[:10] + `",`, "unknown key"},
		"case":      {`"kid":"` + swapCase(good) + `",`, "unknown key"},
	} {
		t.Run(name, func(t *testing.T) {
			a.wantInvalid(t, forge(t, `{"alg":"ES256",`+tt.member+`"typ":"at+jwt"}`, payload(nil), ecKey), tt.cause)
		})
	}
}

func swapCase(s string) string {
	if upper := strings.ToUpper(s); upper != s {
		return upper
	}
	return strings.ToLower(s)
}

// TRAPS: crit unknown, empty, known; b64. (CVE-2025-59420, CVE-2026-35042)
// And typ: RFC 9068, section 4, takes at+jwt alone, so no ID token, logout token or client
// assertion passes for an access token.
func TestForgedHeaders(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	start := `{"alg":"ES256","kid":"` + kidOf(t, keys) + `"`
	for _, typ := range []string{"at+jwt", "AT+JWT", "at+JWT", "application/at+jwt", "Application/AT+jwt"} {
		t.Run("accepted typ "+typ, func(t *testing.T) {
			a.wantServed(t, forge(t, start+`,"typ":"`+typ+`"}`, payload(nil), ecKey))
		})
	}
	for member, cause := range map[string]string{
		`,"typ":"at+jwt","crit":["exp"]`:             "crit",
		`,"typ":"at+jwt","crit":["x"],"x":1`:         "crit",
		`,"typ":"at+jwt","crit":[]`:                  "crit",
		`,"typ":"at+jwt","crit":null`:                "crit",
		`,"typ":"at+jwt","crit":"exp"`:               "crit",
		`,"typ":"at+jwt","crit":["b64"],"b64":false`: "crit",
		`,"typ":"at+jwt","b64":false`:                "b64",
		`,"typ":"at+jwt","b64":true`:                 "b64",
		`,"typ":"at+jwt","alg":"ES256"`:              "unique",
		`,"typ":"at+jwt","typ":"at+jwt"`:             "unique",
		``:                                           "typ",
		`,"typ":""`:                                  "typ",
		`,"typ":null`:                                "typ",
		`,"typ":1`:                                   "typ",
		`,"typ":["at+jwt"]`:                          "typ",
		`,"typ":"JWT"`:                               "typ",
		`,"typ":"jwt"`:                               "typ",
		`,"typ":"logout+jwt"`:                        "typ",
		`,"typ":"dpop+jwt"`:                          "typ",
		`,"typ":"client-authentication+jwt"`:         "typ",
		`,"typ":"at+jwt "`:                           "typ",
		`,"typ":"at+jwt;v=1"`:                        "typ",
		`,"typ":"application/jwt"`:                   "typ",
		`,"typ":"text/at+jwt"`:                       "typ",
		`,"typ":"application/application/at+jwt"`:    "typ",
	} {
		t.Run(member, func(t *testing.T) {
			a.wantInvalid(t, forge(t, start+member+"}", payload(nil), ecKey), cause)
		})
	}
}
