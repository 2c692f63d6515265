package jose

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
)

// The error of a skipped entry says what is wrong with it.
func TestSkippedSaysWhy(t *testing.T) {
	for says, changes := range map[string]map[string]any{
		"RS999":              {"alg": "RS999"},
		`use is "enc"`:       {"use": "enc"},
		`key_ops is ["sign`:  {"key_ops": []string{"sign"}},
		"private":            {"d": "AAAA"},
		`key type "AKP"`:     {"kty": "AKP"},
		"the key has no kty": {"kty": nil},
		"the key has no e":   {"e": ""},
		"n is not a string":  {"n": 1},
		"more than 256":      {"kid": strings.Repeat("k", 257)},
	} {
		skipped := sure(ParseSet(sure(json.Marshal(map[string]any{"keys": []any{publicMembers("RS256", changes)}})), nil)).Skipped()
		if len(skipped) != 1 || !strings.Contains(skipped[0].Err.Error(), says) || skipped[0].KeyID == "" {
			t.Errorf("%v, want one that says %q", skipped, says)
		}
	}
}

// A refresh keeps the pointers of all keys of a large set.
func TestParseSetOfAThousand(t *testing.T) { parseSetOf(t, 1000) }

func parseSetOf(t *testing.T, n int) {
	t.Helper()
	one := string(sure(json.Marshal(publicMembers("EdDSA", map[string]any{"kid": "KID"}))))
	last := fmt.Sprint("k", n-1)
	keys := make([]string, n)
	for i := range keys {
		keys[i] = strings.Replace(one, "KID", fmt.Sprint("k", i), 1)
	}
	document := []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`)
	first := sure(ParseSet(document, nil))
	again := sure(ParseSet(document, first))
	if first.Len() != n || again.Find(last, "EdDSA") == nil || again.Find(last, "EdDSA") != first.Find(last, "EdDSA") {
		t.Errorf("%d keys", first.Len())
	}
	if allocations := testing.AllocsPerRun(100, func() { again.Find(last, "EdDSA") }); allocations != 0 {
		t.Errorf("Find allocates %v times", allocations)
	}
	// Different keys have the same id: all of them are skipped.
	other := string(sure(json.Marshal(otherKeys()["EdDSA"].key.jwk())))
	same := strings.Repeat(strings.Replace(one, "KID", "k", 1)+","+strings.Replace(other, otherKeys()["EdDSA"].key.ID(), "k", 1)+",", n/2)
	if s := sure(ParseSet([]byte(`{"keys":[`+same+one+`]}`), nil)); s.Len() != 1 || s.Find("KID", "EdDSA") == nil {
		t.Errorf("%d keys", s.Len())
	}
}

// FuzzParseSetNeighbour: a valid key stays usable beside any JSON value. The exception is
// another key with the same id and algorithm.
func FuzzParseSetNeighbour(f *testing.F) {
	good := fuzzKey().key
	entry := strings.TrimSuffix(strings.TrimPrefix(string(published(good)), `{"keys":[`), `]}`)
	seeds := []string{
		`null`, `0`, `"x"`, `[]`, `{}`, `{"kid":null}`, `{"kty":"oct","k":"AAAA"}`, `{"a":1,"a":2}`, `{"kid":"\ud800"}`, "{\"kid\":\"\xff\"}",
		strings.Repeat("[", 50) + strings.Repeat("]", 50), entry, strings.Replace(entry, `"use":"sig"`, `"use":"sig","note":1`, 1),
		`{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","key_ops":[],"oth":[],"d":null}`,
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, neighbour string) {
		if !json.Valid([]byte(neighbour)) {
			return
		}
		if other, _, err := parseKey(strings.TrimSpace(neighbour)); err == nil && other.answers(good.id, good.alg.name) && !other.samePublic(good) {
			return
		}
		for _, document := range []string{
			`{"keys":[` + neighbour + "," + entry + "]}", `{"keys":[` + entry + "," + neighbour + `]}`,
			`{"x":` + neighbour + `,"keys":[` + entry + `]}`, "\ufeff" + `{"keys":[` + entry + `],"x":` + neighbour + `}`,
		} {
			s, err := ParseSet([]byte(document), nil)
			if err != nil {
				t.Fatal(err)
			}
			if key := s.Find(good.id, good.alg.name); !key.Equal(good) {
				t.Fatalf("%s: the valid key is lost: skipped %v", document, s.Skipped())
			}
		}
	})
}

// A valid key stays usable beside a value that is nested too deep for encoding/json and
// for recursion.
func TestDeepNeighbour(t *testing.T) {
	good := testKeys()["ES256"].key
	entry := strings.TrimSuffix(strings.TrimPrefix(string(published(good)), `{"keys":[`), `]}`)
	for _, levels := range []int{33, 10_001, 5_000_000} {
		arrays := strings.Repeat("[", levels) + strings.Repeat("]", levels)
		objects := strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels)
		for _, document := range []string{
			`{"keys":[` + arrays + "," + entry + "]}", `{"keys":[` + entry + "," + objects + `]}`,
			`{"x":` + objects + `,"keys":[` + entry + `]}`, `{"keys":[` + entry + `,{"kty":"EC","x":` + arrays + `}],"x":0}`,
		} {
			s, err := ParseSet([]byte(document), nil)
			if err != nil || s.Find(good.ID(), "ES256") == nil {
				t.Errorf("%d levels: %.60s: %v", levels, document, err)
			}
		}
		if s, err := ParseSet([]byte(`{"keys":[`+entry+","+arrays[1:]+"]}"), nil); s != nil || err == nil {
			t.Errorf("%d levels, one of them not opened: %v", levels, err)
		}
	}
}

// FuzzSkip: a value can be skipped if and only if encoding/json calls it valid.
func FuzzSkip(f *testing.F) {
	for _, seed := range []string{
		``, ` `, `1`, `-`, `01`, `1.`, `1e+`, `-0.5E-7`, `"`, `"\`, `"\u12"`, `"\ud800"`, `"\ud800\u0041"`, `"\udc00\ud800"`, `"\x"`, "\"\x01\"", "\"\xff\"", `true`, `tru`, `nullx`,
		`[]`, `[ ]`, `[1,]`, `[,1]`, `[1 2]`, `[1}`, `{"a":1]`, `{}`, `{ }`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{1:2}`, ` {"a" : [ {"b" : [ [ ] , { } ] } ] , "c" : "d" } `, `[[[[`, `]`, "[\v]", "\ufeff[]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := scanner{doc: text, values: math.MaxInt, lax: true}
		s.space()
		got := s.skip()
		s.space()
		got = got && s.at == len(text)
		if want := json.Valid([]byte(text)); got != want && strings.Count(text, "[")+strings.Count(text, "{") <= 10_000 {
			t.Errorf("%q: %t, want %t", text, got, want)
		}
	})
}

func TestNewSet(t *testing.T) {
	key, again := testKeys()["ES256"].key, sure(NewKey(testKeys()["ES256"].key.public, "", ""))
	if set := sure(NewSet(key, again, key)); set.Len() != 1 || set.Find(key.ID(), "ES256") != key {
		t.Errorf("the same key three times is %d keys", set.Len())
	}
	other := sure(NewKey(otherKeys()["ES256"].key.public, "", key.ID()))
	if set, err := NewSet(key, other); set != nil || err == nil {
		t.Error("two keys with the same id and algorithm were accepted")
	}
}

// Skipped returns the kid of each skipped entry, and the reason.
func TestSkipped(t *testing.T) {
	long := strings.Repeat("k", maxKeyID+10)
	set := sure(ParseSet(sure(json.Marshal(map[string]any{"keys": []any{
		map[string]any{"kty": "oct", "k": "AAAA", "kid": "symmetric"}, 7, publicMembers("ES256", map[string]any{"kid": long}), publicMembers("ES256", nil),
	}})), nil))
	skipped := set.Skipped()
	if set.Len() != 1 || len(skipped) != 3 {
		t.Fatalf("%d keys, skipped %v", set.Len(), skipped)
	}
	for i, want := range []Skipped{{"symmetric", nil}, {"", nil}, {long[:maxKeyID], nil}} {
		if skipped[i].KeyID != want.KeyID || skipped[i].Err == nil {
			t.Errorf("%+v", skipped[i])
		}
	}
}
