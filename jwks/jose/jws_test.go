package jose

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// respell changes the unused bits of the last character, which lenient decoders
// ignore.
func respell(part string) string {
	last := strings.IndexByte(alphabet, part[len(part)-1])
	return part[:len(part)-1] + string(alphabet[last|1])
}

func pad(part string) string { return part + strings.Repeat("=", (4-len(part)%4)%4) }

func standard(part string) string { return strings.NewReplacer("-", "+", "_", "/").Replace(part) }

// One token has one spelling. The signature of each of these is valid, so it is refused
// for its form alone.
func TestParseSpelling(t *testing.T) {
	k := testKeys()["ES256"]
	// Every part ends in unused bits and holds a character of the URL alphabet.
	header := encode(`{"alg":"ES256","typ":"ÿÿ>>??","kid":"ab"}`)
	payload := encode(`{"sub":"aÿÿ>>??"}`)
	var signature string
	for !strings.ContainsAny(signature, "-_") {
		token := compact(t, header, payload, k)
		signature = token[strings.LastIndexByte(token, '.')+1:]
	}
	for _, part := range []string{header, payload, signature} {
		if len(part)%4 == 0 || respell(part) == part || standard(part) == part {
			t.Fatalf("%s has no other spelling, so nothing is tested", part)
		}
	}
	if _, err := accept(header+"."+payload+"."+signature, k.key); err != nil {
		t.Fatal(err)
	}

	spellings := map[string]func(string) string{
		"padded":            pad,
		"padding":           func(s string) string { return s + "=" },
		"standard alphabet": standard,
		"trailing bits":     respell,
		"one character off": func(s string) string { return s[:len(s)-len(s)%4+1] },
		"percent":           func(s string) string { return s[:4] + "%" + s[4:] },
		"NUL":               func(s string) string { return s + "\x00" },
		"quoted":            func(s string) string { return `"` + s + `"` },
	}
	for name, space := range map[string]string{"space": " ", "tab": "\t", "LF": "\n", "CR": "\r", "CRLF": "\r\n", "NBSP": "\u00a0"} {
		spellings[name+" before"] = func(s string) string { return space + s }
		spellings[name+" after"] = func(s string) string { return s + space }
		spellings[name+" inside"] = func(s string) string { return s[:8] + space + s[8:] }
		spellings["four of "+name] = func(s string) string { return s[:8] + strings.Repeat(space, 4) + s[8:] }
	}
	for name, spell := range spellings {
		t.Run(name, func(t *testing.T) {
			for part, token := range map[string]string{
				"header":    compact(t, spell(header), payload, k),
				"payload":   compact(t, header, spell(payload), k),
				"signature": header + "." + payload + "." + spell(signature),
			} {
				_, err := accept(token, k.key)
				if err == nil {
					t.Errorf("%s: %q was accepted", part, token)
					continue
				}
				_, misspelt := errors.AsType[base64.CorruptInputError](err)
				if !misspelt && !strings.Contains(err.Error(), "line break") {
					t.Errorf("%s: the error of %q is %v", part, token, err)
				}
			}
		})
	}
}

func TestParseForm(t *testing.T) {
	k := testKeys()["ES256"]
	token := compact(t, encode(`{"alg":"ES256"}`), encode(`{}`), k)
	parts := strings.Split(token, ".")
	h, p, s := parts[0], parts[1], parts[2]
	flattened := fmt.Sprintf(`{"protected":"%s","payload":"%s","signature":"%s"}`, h, p, s)
	general := fmt.Sprintf(`{"payload":"%s","signatures":[{"protected":"%s","signature":"%s"}]}`, p, h, s)
	for name, text := range map[string]string{
		"empty":              "",
		"one dot":            ".",
		"two dots":           "..",
		"three dots":         "...",
		"one part":           h,
		"two parts":          h + "." + p,
		"no signature":       h + "." + p + ".",
		"no payload":         h + ".." + s,
		"no header":          "." + p + "." + s,
		"only a payload":     "." + p + ".",
		"leading dot":        "." + token,
		"trailing dot":       token + ".",
		"four parts":         token + "." + s,
		"five parts, JWE":    encode(`{"alg":"dir","enc":"A128GCM"}`) + ".a.b.c.d",
		"five parts":         token + "." + h + "." + p,
		"empty inner parts":  h + "...." + s,
		"flattened JSON":     flattened,
		"general JSON":       general,
		"flattened in parts": encode(flattened) + "." + p + "." + s,
		"array":              `["` + token + `"]`,
		"Bearer":             "Bearer " + token,
		"comma":              token + "," + token,
		"two lines":          token + "\n" + token,
		"detached, RFC 7797": h + "..",
	} {
		if _, err := Parse(text, 0); err == nil {
			t.Errorf("%s: %q was accepted", name, text)
		}
	}
}

func TestParseSize(t *testing.T) {
	k := testKeys()["EdDSA"]
	ofSize := func(n int) string {
		for kid := 1; kid < 8; kid++ {
			header := encode(`{"alg":"EdDSA","kid":"` + strings.Repeat("k", kid) + `"}`)
			left := n - len(header) - 2 - base64url.EncodedLen(64)
			if left%4 != 1 {
				return compact(t, header, encode(strings.Repeat("p", left*6/8)), k)
			}
		}
		return ""
	}
	for _, tt := range []struct {
		size, limit int
		ok          bool
	}{
		{16 << 10, 0, true},
		{16<<10 + 1, 0, false},
		{16<<10 + 1, -1, false},
		{16<<10 + 1, 16<<10 + 1, true},
		{500, 500, true},
		{501, 500, false},
		{1 << 20, 0, false},
		{1 << 20, 1 << 20, true},
	} {
		token := ofSize(tt.size)
		if len(token) != tt.size {
			t.Fatalf("made %d bytes, not %d", len(token), tt.size)
		}
		_, err := Parse(token, tt.limit)
		if ok := err == nil; ok != tt.ok {
			t.Errorf("%d bytes, limit %d: %v", tt.size, tt.limit, err)
		}
	}
}

// Junk costs the same few allocations, whatever its length.
func TestParseJunkIsCheap(t *testing.T) {
	for name, unit := range map[string]string{"dots": ".", "letters": "a", "three parts of nothing": "a.b.", "braces": "{"} {
		junk := strings.Repeat(unit, (1<<20)/len(unit))
		for _, limit := range []int{0, 2 << 20} {
			if n := testing.AllocsPerRun(10, func() {
				if _, err := Parse(junk, limit); err == nil {
					t.Fatal("accepted")
				}
			}); n > 6 {
				t.Errorf("%s, limit %d: %v allocations", name, limit, n)
			}
		}
	}
}

func TestParseHeader(t *testing.T) {
	k := testKeys()["ES256"]
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tt := range []struct {
		name, header string
		ok           bool
	}{
		{"least", `{"alg":"ES256"}`, true},
		{"white space", " {\n\t\"alg\" : \"ES256\" }\r\n", true},
		{"escaped", `{"\u0061lg":"\u0045S256"}`, true},
		{"unknown member", `{"alg":"ES256","x":[1,{"a":null}]}`, true},
		{"surrogate pair", `{"alg":"ES256","x":"\ud83d\ude00"}`, true},

		{"not JSON", `alg=ES256`, false},
		{"null", `null`, false},
		{"string", `"ES256"`, false},
		{"array", `[{"alg":"ES256"}]`, false},
		{"number", `1`, false},
		{"empty object", `{}`, false},
		{"cut short", `{"alg":"ES256"`, false},
		{"trailing comma", `{"alg":"ES256",}`, false},
		{"trailing object", `{"alg":"ES256"}{}`, false},
		{"trailing bracket", `{"alg":"ES256"}}`, false},
		{"trailing NUL", "{\"alg\":\"ES256\"}\x00", false},
		{"comment", `{"alg":"ES256"/**/}`, false},
		{"single quotes", `{'alg':'ES256'}`, false},
		{"BOM", "\ufeff" + `{"alg":"ES256"}`, false},
		{"UTF-16", "{\x00\"\x00a\x00", false},
		{"invalid UTF-8", "{\"alg\":\"ES256\",\"x\":\"\xff\"}", false},
		{"surrogate in UTF-8", "{\"alg\":\"ES256\",\"x\":\"\xed\xa0\x80\"}", false},
		{"lone surrogate", `{"alg":"ES256","x":"\ud800"}`, false},
		{"lone low surrogate", `{"alg":"ES256","x":"\udc00"}`, false},
		{"surrogates reversed", `{"alg":"ES256","x":"\udc00\ud800"}`, false},
		{"surrogate and letter", `{"alg":"ES256","x":"\ud800\u0061"}`, false},
		{"control byte", "{\"alg\":\"ES256\",\"x\":\"\x01\"}", false},
		{"deepest", `{"alg":"ES256","x":` + deep(maxDepth) + `}`, true},
		{"too deep", `{"alg":"ES256","x":` + deep(maxDepth+1) + `}`, false},
		{"far too deep", `{"alg":"ES256","x":` + deep(4000) + `}`, false},

		{"duplicate alg", `{"alg":"ES256","alg":"ES256"}`, false},
		{"duplicate by escape", `{"alg":"ES256","al\u0067":"RS256"}`, false},
		{"duplicate by capital escape", `{"kid":"\u004B","alg":"ES256","k\u0069d":"K"}`, false},
		{"duplicate unknown member", `{"alg":"ES256","x":1,"x":1}`, false},
		{"other case is another name", `{"alg":"ES256","ALG":"RS256"}`, true},
		{"alg in another case only", `{"ALG":"ES256"}`, false},

		{"alg missing", `{"typ":"JWT"}`, false},
		{"alg empty", `{"alg":""}`, false},
		{"alg null", `{"alg":null}`, false},
		{"alg number", `{"alg":256}`, false},
		{"alg array", `{"alg":["ES256"]}`, false},
		{"alg object", `{"alg":{"ES256":1}}`, false},
		{"alg lower case", `{"alg":"es256"}`, false},
		{"alg with a space", `{"alg":"ES256 "}`, false},
		{"alg with NUL", `{"alg":"ES256\u0000"}`, false},
		{"none", `{"alg":"none"}`, false},
		{"None", `{"alg":"None"}`, false},
		{"NONE", `{"alg":"NONE"}`, false},
		{"nOnE", `{"alg":"nOnE"}`, false},
		{"HS256", `{"alg":"HS256"}`, false},
		{"HS384", `{"alg":"HS384"}`, false},
		{"HS512", `{"alg":"HS512"}`, false},
		{"ES256K", `{"alg":"ES256K"}`, false},
		{"ES521", `{"alg":"ES521"}`, false},
		{"Ed448", `{"alg":"Ed448"}`, false},
		{"JWE alg", `{"alg":"RSA-OAEP","enc":"A128GCM"}`, false},
		{"PBES2", `{"alg":"PBES2-HS256+A128KW","p2c":2147483647}`, false},

		{"crit unknown", `{"alg":"ES256","crit":["x"],"x":1}`, false},
		{"crit known", `{"alg":"ES256","crit":["exp"],"exp":1}`, false},
		{"crit empty", `{"alg":"ES256","crit":[]}`, false},
		{"crit null", `{"alg":"ES256","crit":null}`, false},
		{"crit by escape", `{"alg":"ES256","cri\u0074":["x"]}`, false},
		{"b64 false", `{"alg":"ES256","b64":false,"crit":["b64"]}`, false},
		{"b64 false alone", `{"alg":"ES256","b64":false}`, false},
		{"b64 true", `{"alg":"ES256","b64":true}`, false},

		{"kid", `{"alg":"ES256","kid":"a"}`, true},
		{"kid with path", `{"alg":"ES256","kid":"../../dev/null"}`, true}, // a name, never opened
		{"kid with SQL", `{"alg":"ES256","kid":"' OR 1=1 --"}`, true},
		{"kid empty", `{"alg":"ES256","kid":""}`, true},
		{"kid of 256", `{"alg":"ES256","kid":"` + strings.Repeat("k", 256) + `"}`, true},
		{"kid of 257", `{"alg":"ES256","kid":"` + strings.Repeat("k", 257) + `"}`, false},
		{"kid NUL", `{"alg":"ES256","kid":"a\u0000"}`, false},
		{"kid line", `{"alg":"ES256","kid":"a\nb"}`, false},
		{"kid DEL", "{\"alg\":\"ES256\",\"kid\":\"a\x7f\"}", false},
		{"kid Unicode", `{"alg":"ES256","kid":"ключ"}`, false},
		{"kid number", `{"alg":"ES256","kid":1}`, false},
		{"kid null", `{"alg":"ES256","kid":null}`, false},
		{"kid array", `{"alg":"ES256","kid":["a"]}`, false},
		{"kid object", `{"alg":"ES256","kid":{"a":1}}`, false},
		{"kid true", `{"alg":"ES256","kid":true}`, false},

		{"typ", `{"alg":"ES256","typ":"at+jwt"}`, true},
		{"typ number", `{"alg":"ES256","typ":1}`, false},
		{"typ null", `{"alg":"ES256","typ":null}`, false},
		{"typ array", `{"alg":"ES256","typ":["at+jwt"]}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := accept(compact(t, encode(tt.header), encode(`{}`), k), k.key)
			if ok := err == nil; ok != tt.ok {
				t.Errorf("%s: %v", tt.header, err)
			}
		})
	}
}

func TestParseGives(t *testing.T) {
	k := testKeys()["PS384"]
	token := compact(t, encode(`{"typ":"AT+jwt","alg":"PS384","kid":"a/\u0062"}`), encode("not JSON"), k)
	parsed, err := Parse(token, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := parsed.Algorithm(); got != "PS384" {
		t.Errorf("alg %q", got)
	}
	if got := parsed.KeyID(); got != "a/b" {
		t.Errorf("kid %q", got)
	}
	if got := parsed.Type(); got != "AT+jwt" {
		t.Errorf("typ %q", got)
	}
	if got, err := parsed.Verify(k.key); got != "not JSON" || err != nil {
		t.Errorf("payload %q, %v", got, err)
	}
}

// Keys in a header are ignored: an attacker's key there verifies nothing, and a token
// that a known key signed is accepted with any such member.
func TestParseEmbeddedKeys(t *testing.T) {
	k, attacker := testKeys()["ES256"], otherKeys()["ES256"]
	jwk := published(attacker.key)
	jwk = jwk[len(`{"keys":[`) : len(jwk)-2]
	for name, member := range map[string]string{
		"jwk":         `"jwk":` + string(jwk),
		"jwk, broken": `"jwk":{"kty":"oct","k":""}`,
		"jku":         `"jku":"http://127.0.0.1:1/jwks.json"`,
		"jku, file":   `"jku":"file:///etc/passwd"`,
		"x5u":         `"x5u":"http://127.0.0.1:1/cert.pem"`,
		"x5c":         `"x5c":["AAAA"]`,
		"x5t":         `"x5t":1`,
	} {
		header := encode(`{"alg":"ES256","kid":"` + k.key.ID() + `",` + member + `}`)
		if _, err := accept(compact(t, header, encode(`{}`), k), k.key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := accept(compact(t, header, encode(`{}`), attacker), k.key); err == nil {
			t.Errorf("%s was followed", name)
		}
	}
}

func TestVerifyAllocations(t *testing.T) {
	for alg, most := range map[string]float64{"ES256": 18, "RS256": 12, "EdDSA": 2} {
		k := testKeys()[alg]
		token := benchmarkToken(alg)
		if n := testing.AllocsPerRun(100, func() {
			payload := sure(accept(token, k.key))
			claims := sure(ParseObject(payload))
			if !claims.Has("iss") {
				t.Fatal("no claims")
			}
		}); n > most {
			t.Errorf("%s: %v allocations, want at most %v", alg, n, most)
		}
	}
}
