package middleware

import (
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TRAPS: one token, many accepted spellings. Only one is.
func TestForgedSpelling(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	good := goodToken(t, keys)
	for !strings.ContainsAny(good, "-_") {
		good = goodToken(t, keys)
	}
	a.wantServed(t, good)
	p := strings.Split(good, ".")
	// 64 bytes are 86 characters, the last of which has four bits to spare.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, good[len(good)-1])
	spare := good[:len(good)-1] + string(alphabet[last|1])

	for name, token := range map[string]string{
		"padded signature":    good + "==",
		"padded header":       p[0] + "=." + p[1] + "." + p[2],
		"standard alphabet":   strings.NewReplacer("-", "+", "_", "/").Replace(good),
		"spare bits":          spare,
		"newline inside":      good[:len(good)-4] + "\n" + good[len(good)-4:],
		"CRLF at the end":     good + "\r\n",
		"tab before":          "\t" + good,
		"tab after":           good + "\t",
		"NUL after":           good + "\x00",
		"percent":             strings.Replace(good, ".", "%2E", 1),
		"dot after":           good + ".",
		"dot before":          "." + good,
		"two dots":            p[0] + ".." + p[1] + "." + p[2],
		"no header":           "." + p[1] + "." + p[2],
		"no payload":          p[0] + ".." + p[2],
		"no signature":        p[0] + "." + p[1] + ".",
		"two parts":           p[0] + "." + p[1],
		"one part":            p[0],
		"JWE":                 good + "." + p[1] + "." + p[2],
		"JWE with p2c":        encode(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483647}`) + ".AA.AA.AA.AA",
		"unencoded":           `{"alg":"ES256"}.{}.x`,
		"opaque":              "2YotnFZFEjr1zCsicMWpAA",
		"JSON, no comma":      `{"payload":"` + p[1] + `"}`,
		"white space in JSON": encode(` `+decode(t, p[0])) + "." + p[1] + "." + p[2],
	} {
		t.Run(name, func(t *testing.T) { a.wantInvalid(t, token, "jose: ") })
	}
	t.Run("JSON serialisation", func(t *testing.T) { // its commas make it no credential at all
		w := a.get("/", `Bearer {"protected":"`+p[0]+`","payload":"`+p[1]+`","signature":"`+p[2]+`"}`)
		if w.Code != http.StatusBadRequest {
			t.Errorf("status %d", w.Code)
		}
	})
}

func decode(tb testing.TB, part string) string {
	tb.Helper()
	plain, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		tb.Fatal(err)
	}
	return string(plain)
}

// TRAPS: (r, n−s) is as good a signature as (r, s), so nothing may depend on
// a token's bytes: what is revoked is (iss, jti), in either spelling.
func TestForgedMirroredSignature(t *testing.T) {
	revoked := map[string]bool{}
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys, Revoked: func(_ context.Context, jti, _ string, _ time.Time) (bool, error) {
		return revoked[jti], nil
	}})
	token := goodToken(t, keys)
	dot := strings.LastIndexByte(token, '.')
	signature := []byte(decode(t, token[dot+1:]))
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	mirrored := token[:dot+1] + encode(signature)

	first, second := a.wantServed(t, token), a.wantServed(t, mirrored)
	if first.ID != second.ID {
		t.Errorf("one token, two identities: %q and %q", first.ID, second.ID)
	}
	revoked[first.ID] = true
	a.wantInvalid(t, token, "revoked")
	a.wantInvalid(t, mirrored, "revoked")
}

// TRAPS: a megabyte of dots must cost O(1). (CVE-2025-30204, CVE-2025-27144)
// Below the bound on length too, nothing may be made of every dot.
func TestForgedSize(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	for _, filler := range []string{".", "a", "a.", "\x00", "="} {
		a.wantInvalid(t, strings.Repeat(filler, (1<<20)/len(filler)), "more than 16384")
		a.wantInvalid(t, strings.Repeat(filler, (16<<10)/len(filler)), "jose: ")
	}
	cost := func(token string) float64 {
		return testing.AllocsPerRun(10, func() {
			if _, e := a.auth.verify(caller{bearer: a.auth, request: request(http.MethodGet, "/")}, token); e == nil {
				t.Error("accepted")
			}
		})
	}
	if few, many := cost("..."), cost(strings.Repeat(".", 16<<10)); many > few {
		t.Errorf("%v allocations for three dots, %v for 16384", few, many)
	}
	big := sign(t, keys, payload(map[string]string{"x": `"` + strings.Repeat("x", 20000) + `"`}))
	a.wantInvalid(t, big, "more than 16384")
	newAPI(t, Config{Keys: keys, MaxTokenBytes: 64 << 10}).wantServed(t, big)
	newAPI(t, Config{Keys: keys, MaxTokenBytes: 100}).wantInvalid(t, goodToken(t, keys), "more than 100")
}

// TRAPS: expired and bad signature at once reports one and hides the other
// (CVE-2024-51744). The signature comes first, and what an unsigned text says of
// its expiry is not even read.
func TestForgedAndExpired(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	header := `{"alg":"ES256","kid":"` + kidOf(t, keys) + `","typ":"at+jwt"}`
	a.wantInvalid(t, forge(t, header, payload(map[string]string{"exp": "1"}), strangeKey), "signature")
	if last := a.events[len(a.events)-1]; last.ClientID != "" || last.TokenID != "" {
		t.Errorf("an unverified token named %q and %q in an event", last.ClientID, last.TokenID)
	}
}
