package issuer

import (
	"encoding/base64"
	"math"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// parseTokenID returns what newTokenID got. A jti of another form has the number 0.
func TestTokenIDRoundTrip(t *testing.T) {
	for _, id := range []tokenID{{}, {1, 0}, {1785000000000000, 1 << 31}, {math.MaxInt64, math.MaxUint32}} {
		jti := newTokenID(id)
		if got := parseTokenID(jti); got != id || len(jti) != 38 {
			t.Errorf("%+v became %q, which is %+v", id, jti, got)
		}
	}
	if got := parseTokenID(newTokenID(tokenID{-1, 7})); got != (tokenID{0, 7}) {
		t.Errorf("a negative number became %+v", got)
	}
	jti := newTokenID(tokenID{math.MaxInt64, 7})
	for name, other := range map[string]string{
		"empty":         "",
		"earlier":       "AAAAAAAAAAAAAAAAAAAAAA",
		"short":         jti[1:],
		"long":          jti + "A",
		"padded":        jti + "==",
		"trailing bits": jti[:37] + "B",
		"not base64url": "+" + jti[1:],
		"line end":      jti[:37] + "\n",
		"too large":     base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 28))),
		"text":          strings.Repeat("é", 19),
	} {
		if got := parseTokenID(other); got != (tokenID{}) {
			t.Errorf("%s: %q is %+v", name, other, got)
		}
	}
}

// Different secrets have different tags.
func TestSecretTag(t *testing.T) {
	seen := map[uint32]string{secretTag(""): ""}
	if secretTag("") != 0 {
		t.Error("no secret has a tag")
	}
	for range 100 {
		_, s := registry.GenerateSecret()
		if other, twice := seen[secretTag(s.ID)]; twice {
			t.Errorf("%q has the tag of %q", s.ID, other)
		}
		seen[secretTag(s.ID)] = s.ID
	}
}

// FuzzTokenID checks that a value has only one jti that is parsed.
func FuzzTokenID(f *testing.F) {
	seeded(f, []string{"", newTokenID(tokenID{1, 2}), newTokenID(tokenID{math.MaxInt64, math.MaxUint32}), "AAAAAAAAAAAAAAAAAAAAAA"}, func(s string) { f.Add(s) })
	f.Fuzz(func(t *testing.T, jti string) {
		id := parseTokenID(jti)
		if id == (tokenID{}) {
			return
		}
		raw, err := base64.RawURLEncoding.DecodeString(jti)
		if err != nil || base64.RawURLEncoding.EncodeToString(raw) != jti || id.number < 0 {
			t.Errorf("%q is %+v, %v", jti, id, err)
		}
	})
}
