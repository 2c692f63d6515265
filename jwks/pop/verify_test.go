package pop

import (
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// A proof of each algorithm that is accepted, by our prover, with all it can have.
func TestVerify(t *testing.T) {
	v := sure(NewVerifier(Config{Algorithms: jose.Algorithms()}))
	for alg, key := range testKeys() {
		p := sure(NewProver(key, alg))
		r := request(sure(p.Proof("GET", testURL+"?page=1#top", testToken, "")))
		r.AccessToken, r.Thumbprint, r.Client = testToken, p.Thumbprint(), "app1"
		got, err := v.Verify(t.Context(), r)
		if err != nil || got != (Proof{Thumbprint: p.Thumbprint()}) {
			t.Errorf("%s: %+v, %v", alg, got, err)
		}
		if _, err := v.Verify(t.Context(), r); refusal(t, alg, err).Code != "invalid_dpop_proof" {
			t.Errorf("%s: %v the second time", alg, err)
		}
	}
}

// The proof of RFC 9449, section 4.1, at the time of that proof.
func TestVerifyTheProofOfTheRFC(t *testing.T) {
	const sample = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik" +
		"VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR" +
		"nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE" +
		"QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIj" +
		"oiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwia" +
		"WF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg" +
		"4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1562262616, 0)))
		v := sure(NewVerifier(Config{}))
		got, err := v.Verify(t.Context(), Request{Proofs: []string{sample}, Method: "POST", URL: "https://server.example.com/token"})
		if err != nil || got.Thumbprint != "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// Every fault of a proof is refused as invalid_dpop_proof, and costs no memory.
func TestVerifyRefuses(t *testing.T) {
	good := newForge("ES256")
	whole := good.sign(t)
	parts := strings.Split(whole, ".")
	private := jwkOf(good.signer.Key())
	private["d"] = encode(strings.Repeat("d", 32))
	other := sure(jose.NewSigner(sure(jose.Generate("ES256")), ""))
	type change func(f *forge)
	header := func(name string, value any) change {
		return func(f *forge) {
			if f.header[name] = value; value == nil {
				delete(f.header, name)
			}
		}
	}
	claim := func(name string, value any) change {
		return func(f *forge) {
			if f.claims[name] = value; value == nil {
				delete(f.claims, name)
			}
		}
	}
	jwk := func(name string, value any) change {
		return func(f *forge) { f.header["jwk"].(map[string]any)[name] = value }
	}
	now := time.Now().Unix()
	faults := map[string]change{
		"no typ":                 header("typ", nil),
		"typ JWT":                header("typ", "JWT"),
		"typ at+jwt":             header("typ", "at+jwt"),
		"typ in capitals":        header("typ", "DPOP+JWT"),
		"typ with application/":  header("typ", "application/dpop+jwt"),
		"alg none":               header("alg", "none"),
		"alg HS256":              header("alg", "HS256"),
		"alg of another curve":   header("alg", "ES384"),
		"alg not accepted":       header("alg", "RS256"),
		"alg of another type":    header("alg", "EdDSA"),
		"no alg":                 header("alg", nil),
		"crit":                   header("crit", []string{"exp"}),
		"crit that is empty":     header("crit", []string{}),
		"b64":                    header("b64", false),
		"no jwk":                 header("jwk", nil),
		"jwk a string":           header("jwk", "{}"),
		"jwk an array":           header("jwk", []any{jwkOf(good.signer.Key())}),
		"jwk of null":            func(f *forge) { f.header["jwk"] = nil },
		"jwk empty":              header("jwk", map[string]any{}),
		"jwk private":            header("jwk", private),
		"jwk symmetric":          header("jwk", map[string]any{"kty": "oct", "k": "AAAA"}),
		"jwk of another":         header("jwk", jwkOf(other.Key())),
		"jwk with another alg":   jwk("alg", "ES384"),
		"jwk with another curve": jwk("crv", "P-384"),
		"jwk for encryption":     jwk("use", "enc"),
		"jwk with k":             jwk("k", "AAAA"),
		"no jti":                 claim("jti", nil),
		"jti empty":              claim("jti", ""),
		"jti a number":           claim("jti", 1),
		"jti huge":               claim("jti", strings.Repeat("j", maxID+1)),
		"no htm":                 claim("htm", nil),
		"htm of another method":  claim("htm", "POST"),
		"htm in lower case":      claim("htm", "get"),
		"htm an array":           claim("htm", []string{"GET"}),
		"no htu":                 claim("htu", nil),
		"htu of another path":    claim("htu", "https://api.example.com/v1/order"),
		"htu of another host":    claim("htu", "https://api.example.org/v1/orders"),
		"htu a path":             claim("htu", "/v1/orders"),
		"htu an array":           claim("htu", []string{testURL}),
		"no iat":                 claim("iat", nil),
		"iat a string":           claim("iat", "1"),
		"iat null":               func(f *forge) { f.claims["iat"] = nil },
		"iat negative":           claim("iat", -1),
		"iat 0":                  claim("iat", 0),
		"iat huge":               claim("iat", 1e30),
		"iat in milliseconds":    claim("iat", now*1000),
		"iat an hour ago":        claim("iat", now-3600),
		"iat in an hour":         claim("iat", now+3600),
		"exp in the past":        claim("exp", now-3600),
		"exp a string":           claim("exp", "1"),
		"nbf in the future":      claim("nbf", now+3600),
		"nbf a string":           claim("nbf", "1"),
		"nonce a number":         claim("nonce", 1),
		"nonce empty":            claim("nonce", ""),
		"nonce huge":             claim("nonce", strings.Repeat("n", maxNonce+1)),
		"ath a number":           claim("ath", 1),
		"ath empty":              claim("ath", ""),
	}
	proofs := map[string][]string{
		"none":                  nil,
		"an empty one":          {""},
		"an empty one first":    {"", whole},
		"an empty one last":     {whole, ""},
		"two":                   {whole, whole},
		"two in one header":     {whole + "," + whole},
		"white space around it": {" " + whole},
		"a line break in it":    {parts[0] + ".\n" + parts[1] + "." + parts[2]},
		"padding":               {whole + "=="},
		"two parts":             {parts[0] + "." + parts[1]},
		"no signature":          {parts[0] + "." + parts[1] + "."},
		"the signature cut":     {whole[:len(whole)-4]},
		"the signature zero":    {parts[0] + "." + parts[1] + "." + encode(strings.Repeat("\x00", 64))},
		"of another's claims":   {parts[0] + "." + encode(`{"jti":"2","htm":"GET","htu":"`+testURL+`","iat":1}`) + "." + parts[2]},
		"a megabyte":            {strings.Repeat("a.", 1<<19)},
		"claims an array":       {good.signText(t, string(sure(base64.RawURLEncoding.DecodeString(parts[0]))), `[]`)},
		"claims with two jti":   {good.signText(t, string(sure(base64.RawURLEncoding.DecodeString(parts[0]))), fmt.Sprintf(`{"jti":"1","jti":"2","htm":"GET","htu":%q,"iat":%d}`, testURL, now))},
		"a header with two jwk": {good.signText(t, strings.Replace(string(sure(base64.RawURLEncoding.DecodeString(parts[0]))), `{`, `{"jwk":{},`, 1), `{}`)},
	}
	for name, change := range faults {
		f := newForge("ES256")
		change(f)
		proofs[name] = []string{f.sign(t)}
	}
	v := sure(NewVerifier(Config{}))
	for name, values := range proofs {
		got, err := v.Verify(t.Context(), request(values...))
		if refused := refusal(t, name, err); refused.Code != "invalid_dpop_proof" || got != (Proof{}) || refused.Nonce != "" {
			t.Errorf("%s: %+v, %+v", name, got, refused)
		}
	}
	if len(v.memory.slots) != 0 {
		t.Errorf("refused proofs are in memory: %+v", v.memory.slots)
	}
	if _, err := v.Verify(t.Context(), request(whole)); err != nil {
		t.Errorf("the proof that all others are made of: %v", err)
	}
}

// What a proof may have besides, and in which spellings.
func TestVerifyTakes(t *testing.T) {
	v := sure(NewVerifier(Config{}))
	now := time.Now().Unix()
	for name, change := range map[string]func(f *forge){
		"unknown header members": func(f *forge) { f.header["kid"], f.header["x5c"] = "a", []string{"AAAA"} },
		"unknown claims":         func(f *forge) { f.claims["sub"], f.claims["aud"] = "app1", []string{"a"} },
		"unknown jwk members": func(f *forge) {
			jwk := f.header["jwk"].(map[string]any)
			jwk["kid"], jwk["alg"], jwk["use"], jwk["x5t"] = "b", "ES256", "sig", 1
		},
		"iat with a fraction":        func(f *forge) { f.claims["iat"] = float64(now) + 0.5 },
		"exp and nbf":                func(f *forge) { f.claims["exp"], f.claims["nbf"] = now+60, now },
		"an ath that nobody asks":    func(f *forge) { f.claims["ath"] = "a" },
		"a nonce that nobody asks":   func(f *forge) { f.claims["nonce"] = "of another server" },
		"a jti of control and emoji": func(f *forge) { f.claims["jti"] = "\x00\n😀" },
	} {
		f := newForge("ES256")
		f.claims["jti"] = name
		change(f)
		if got, err := v.Verify(t.Context(), request(f.sign(t))); err != nil || got.Thumbprint != f.signer.Key().Thumbprint() {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// (r, n−s) is a second valid signature of the same proof, and no second proof.
func TestVerifyTheOtherSignature(t *testing.T) {
	v := sure(NewVerifier(Config{}))
	whole := newForge("ES256").sign(t)
	cut := strings.LastIndexByte(whole, '.') + 1
	raw := sure(base64.RawURLEncoding.DecodeString(whole[cut:]))
	other := whole[:cut] + base64.RawURLEncoding.EncodeToString(otherSignature(raw, elliptic.P256().Params().N))
	if _, err := v.Verify(t.Context(), request(other)); err != nil {
		t.Fatalf("the other signature is not valid, so this tests nothing: %v", err)
	}
	if _, err := v.Verify(t.Context(), request(whole)); refusal(t, "a replay", err).Description != "the DPoP proof was used before" || !refusal(t, "a replay", err).Replayed {
		t.Error(err)
	}
}

// The hash of the access token and the binding are checked at an API.
func TestVerifyAccessToken(t *testing.T) {
	v, p := sure(NewVerifier(Config{})), newProver()
	ask := func(proof, token, thumbprint string) error {
		r := request(proof)
		r.AccessToken, r.Thumbprint = token, thumbprint
		_, err := v.Verify(t.Context(), r)
		return err
	}
	bare := sure(p.Proof("GET", testURL, "", ""))
	for name, err := range map[string]error{
		"no ath":               ask(bare, testToken, p.Thumbprint()),
		"ath of another token": ask(sure(p.Proof("GET", testURL, testToken+"2", "")), testToken, p.Thumbprint()),
	} {
		if refused := refusal(t, name, err); refused.Code != "invalid_dpop_proof" {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := sure(p.Proof("GET", testURL, testToken, ""))
	err := ask(good, testToken, "") // a token with an empty jkt, or with none
	if refused := refusal(t, "no binding", err); refused.Code != "invalid_token" {
		t.Error(err)
	}
	err = ask(good, testToken, newProver().Thumbprint())
	if refused := refusal(t, "another key", err); refused.Code != "invalid_token" {
		t.Error(err)
	}
	if err := ask(good, testToken, p.Thumbprint()); err != nil {
		t.Errorf("a proof that was refused before cannot be used: %v", err)
	}
}

// A proof is accepted from Leeway before its iat to MaxAge + Leeway after it.
func TestVerifyTime(t *testing.T) {
	for _, c := range []struct {
		config Config
		age    time.Duration
		ok     bool
	}{
		{Config{}, -11 * time.Second, false},
		{Config{}, -10 * time.Second, true}, // FAPI 2.0 Security Profile, section 5.3.2.1
		{Config{}, 69 * time.Second, true},
		{Config{}, 70 * time.Second, false},
		{Config{MaxAge: time.Second, Leeway: time.Second}, 2 * time.Second, false},
		{Config{MaxAge: time.Second, Leeway: time.Second}, time.Second, true},
		{Config{MaxAge: 10 * time.Minute, Leeway: time.Minute}, 659 * time.Second, true},
		{Config{MaxAge: 10 * time.Minute, Leeway: time.Minute}, 660 * time.Second, false},
		{Config{MaxAge: 10 * time.Minute, Leeway: time.Minute}, -60 * time.Second, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newForge("EdDSA")
			f.claims["iat"] = time.Now().Add(-c.age).Unix()
			_, err := sure(NewVerifier(c.config)).Verify(t.Context(), request(f.sign(t)))
			if (err == nil) != c.ok {
				t.Errorf("%+v: at an age of %v: %v", c.config, c.age, err)
			}
		})
	}
}

// A Config that contradicts itself is refused, and the error names the field.
func TestNewVerifierRefuses(t *testing.T) {
	nonces := sure(NewNonces(make([]byte, 32)))
	for field, configs := range map[string][]Config{
		"MaxAge":       {{MaxAge: -1}, {MaxAge: time.Millisecond}, {MaxAge: time.Hour}},
		"Leeway":       {{Leeway: -1}, {Leeway: time.Hour}},
		"RequireNonce": {{RequireNonce: true}},
		"Nonces":       {{Nonces: new(Nonces)}},
		"Capacity":     {{Capacity: -1}, {Capacity: 1, Replay: never}, {PerKey: 1, Replay: never}},
		"PerKey":       {{PerKey: -1}, {Capacity: 1, PerKey: 2}},
		"Algorithms":   {{Algorithms: []string{}}, {Algorithms: []string{"none"}}, {Algorithms: []string{"ES256", "HS256"}}},
	} {
		for _, c := range configs {
			if v, err := NewVerifier(c); v != nil || err == nil || !strings.HasPrefix(err.Error(), "pop: Config."+field+": ") {
				t.Errorf("%+v: %v", c, err)
			}
		}
	}
	for _, c := range []Config{{}, {Nonces: nonces, RequireNonce: true}, {Capacity: 1}, {Replay: never}} {
		if v, err := NewVerifier(c); v == nil || err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// The Verifier has its own copy of the algorithms.
func TestVerifierAlgorithms(t *testing.T) {
	mine := []string{"ES256"}
	v := sure(NewVerifier(Config{Algorithms: mine}))
	mine[0] = "RS256"
	v.Algorithms()[0] = "RS256"
	if got := v.Algorithms(); !slices.Equal(got, []string{"ES256"}) {
		t.Errorf("%q", got)
	}
	if got := sure(NewVerifier(Config{})).Algorithms(); !slices.Equal(got, []string{"ES256", "EdDSA", "Ed25519", "PS256"}) {
		t.Errorf("%q", got)
	}
	if _, err := v.Verify(t.Context(), request(newForge("PS256").sign(t))); refusal(t, "PS256", err).Code != "invalid_dpop_proof" {
		t.Error(err)
	}
}

// A key that is costly to verify with is refused before its signature is checked.
func TestVerifyCostlyKeys(t *testing.T) {
	v := sure(NewVerifier(Config{}))
	for name, change := range map[string]func(jwk map[string]any){
		"8192 bits":                func(jwk map[string]any) { jwk["n"] = encode("\xff" + strings.Repeat("\x01", 1023)) },
		"an exponent of 31 bits":   func(jwk map[string]any) { jwk["e"] = encode("\x7f\xff\xff\xff") },
		"an exponent of 2^16 + 3":  func(jwk map[string]any) { jwk["e"] = encode("\x01\x00\x03") },
		"a modulus of 1024 bits":   func(jwk map[string]any) { jwk["n"] = encode("\xff" + strings.Repeat("\x01", 127)) },
		"a modulus of 100000 bits": func(jwk map[string]any) { jwk["n"] = encode("\xff" + strings.Repeat("\x01", 12499)) },
	} {
		f := newForge("PS256")
		change(f.header["jwk"].(map[string]any))
		_, err := v.Verify(t.Context(), request(f.sign(t)))
		if refused := refusal(t, name, err); refused.Description == "the signature of the DPoP proof is wrong" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Errors quote nothing of the token.
func TestErrorQuotesNoToken(t *testing.T) {
	v, p := sure(NewVerifier(Config{})), newProver()
	r := request(sure(p.Proof("GET", testURL, "secret1", "")))
	r.AccessToken = "secret2"
	_, err := v.Verify(t.Context(), r)
	if refusal(t, "another token", err); strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), r.Proofs[0][:20]) {
		t.Error(err)
	}
	cause := errors.New("cause")
	if e := refuse("a", cause); !errors.Is(e, cause) || e.Error() != "pop: invalid_dpop_proof: a: cause" {
		t.Error(e)
	}
}
