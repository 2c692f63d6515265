package jose

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// jwk is the public JWK.
func (k *Key) jwk() map[string]any {
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(published(k), &set); err != nil {
		panic(err)
	}
	return set.Keys[0]
}

// publicMembers returns the JWK of a test key with these members added or changed. nil
// removes a member.
func publicMembers(alg string, changes map[string]any) map[string]any {
	key := testKeys()[alg].key.jwk()
	maps.Copy(key, changes)
	maps.DeleteFunc(key, func(_ string, v any) bool { return v == nil })
	return key
}

func TestParseKey(t *testing.T) {
	// RFC 7517 Appendix A.1 and RFC 8037 Appendix A.2
	const (
		ec  = `{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"}`
		okp = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	)
	raw := func(document string) map[string]any {
		var key map[string]any
		if err := json.Unmarshal([]byte(document), &key); err != nil {
			t.Fatal(err)
		}
		return key
	}
	with := func(key map[string]any, changes map[string]any) map[string]any {
		key = maps.Clone(key)
		maps.Copy(key, changes)
		maps.DeleteFunc(key, func(_ string, v any) bool { return v == nil })
		return key
	}
	// also adds a last member: of several members that encoding/json takes for the same
	// field, the last one wins.
	also := func(key map[string]any, member string) json.RawMessage {
		text := sure(json.Marshal(key))
		return append(text[:len(text)-1], ","+member+"}"...)
	}
	long := strings.Repeat("k", maxKeyID)
	rsaOf := func(bits int) string {
		n := make([]byte, bits/8)
		n[0], n[len(n)-1] = 0x80, 1
		return base64.RawURLEncoding.EncodeToString(n)
	}
	null := json.RawMessage("null")
	for _, tt := range []struct {
		name string
		key  any
		want string // algorithm, "" when refused
	}{
		{"ES256", publicMembers("ES256", nil), "ES256"},
		{"ES256 without alg", publicMembers("ES256", map[string]any{"alg": nil}), "ES256"},
		{"ES384 without alg", publicMembers("ES384", map[string]any{"alg": nil}), "ES384"},
		{"ES512 without alg", publicMembers("ES512", map[string]any{"alg": nil}), "ES512"},
		{"RSA without alg", publicMembers("PS512", map[string]any{"alg": nil}), "RS256"},
		{"Ed25519 without alg", raw(okp), "EdDSA"},
		{"Ed25519 by its new name", with(raw(okp), map[string]any{"alg": "Ed25519"}), "Ed25519"},
		{"without use", publicMembers("RS256", map[string]any{"use": nil}), "RS256"},
		{"to verify", publicMembers("RS256", map[string]any{"use": nil, "key_ops": []string{"verify"}}), "RS256"},
		{"to sign and verify", publicMembers("RS256", map[string]any{"key_ops": []string{"sign", "verify"}}), "RS256"},
		{"longest kid", publicMembers("ES256", map[string]any{"kid": long}), "ES256"},
		{"unknown members", publicMembers("ES256", map[string]any{"ext": true, "x5t": "AAAA", "iat": 1}), "ES256"},
		{"largest RSA", publicMembers("RS256", map[string]any{"n": rsaOf(8192)}), "RS256"},

		{"for encryption", raw(ec), ""},
		{"use empty", publicMembers("ES256", map[string]any{"use": ""}), "ES256"},
		{"use in capitals", publicMembers("ES256", map[string]any{"use": "SIG"}), ""},
		{"use a list", publicMembers("ES256", map[string]any{"use": []string{"sig"}}), ""},
		{"only to sign", publicMembers("ES256", map[string]any{"key_ops": []string{"sign"}}), ""},
		{"to encrypt", publicMembers("ES256", map[string]any{"key_ops": []string{"encrypt"}}), ""},
		{"key_ops empty", publicMembers("ES256", map[string]any{"key_ops": []string{}}), "ES256"},
		{"key_ops a string", publicMembers("ES256", map[string]any{"key_ops": "verify"}), ""},
		{"kid too long", publicMembers("ES256", map[string]any{"kid": long + "k"}), ""},
		{"kid a number", publicMembers("ES256", map[string]any{"kid": 1}), ""},

		{"oct", map[string]any{"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "kid": "1"}, ""},
		{"oct with alg ES256", map[string]any{"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "alg": "ES256"}, ""},
		{"k in an EC key", publicMembers("ES256", map[string]any{"k": "AAAA"}), ""},
		{"private EC", publicMembers("ES256", map[string]any{"d": "AAAA"}), ""},
		{"private Ed25519", publicMembers("EdDSA", map[string]any{"d": base64.RawURLEncoding.EncodeToString(make([]byte, 32))}), ""},
		{"private RSA, d", publicMembers("RS256", map[string]any{"d": "AAAA"}), ""},
		{"RSA, d null", publicMembers("RS256", map[string]any{"d": null}), "RS256"},
		{"private RSA, p alone", publicMembers("RS256", map[string]any{"p": "AAAA"}), ""},
		{"private RSA, q alone", publicMembers("RS256", map[string]any{"q": "AAAA"}), ""},
		{"private RSA, dp", publicMembers("RS256", map[string]any{"dp": "AAAA"}), ""},
		{"private RSA, dq", publicMembers("RS256", map[string]any{"dq": "AAAA"}), ""},
		{"private RSA, qi", publicMembers("RS256", map[string]any{"qi": "AAAA"}), ""},
		{"RSA, oth empty", publicMembers("RS256", map[string]any{"oth": []string{}}), "RS256"},
		{"private RSA, oth", publicMembers("RS256", map[string]any{"oth": []any{map[string]any{"r": "AAAA"}}}), ""},
		{"k empty", publicMembers("RS256", map[string]any{"k": ""}), "RS256"},
		{"k an object", publicMembers("RS256", map[string]any{"k": map[string]any{"a": 1}}), ""},
		{"d false", publicMembers("RS256", map[string]any{"d": false}), ""},
		{"as .NET writes it", publicMembers("RS256", map[string]any{"key_ops": []any{}, "oth": []any{}, "x5c": []any{}, "d": null, "k": "", "crv": null}), "RS256"},
		{"all optional members null", publicMembers("ES256", map[string]any{"use": null, "key_ops": null, "alg": null, "kid": null, "x5c": null, "x5t": null, "d": null}), "ES256"},
		{"all optional members empty objects or arrays", also(publicMembers("ES256", map[string]any{"use": nil, "alg": nil, "kid": nil}), `"use":{ },"alg":{},"kid":{},"key_ops":{},"oth":[ ]`), "ES256"},
		{"n and e null in an EC key", publicMembers("ES256", map[string]any{"n": null, "e": null}), "ES256"},
		{"malformed certificates", publicMembers("ES256", map[string]any{"x5c": 7, "x5t": []int{1}, "x5u": "no URL", "x5t#S256": "nonsense"}), "ES256"},
		{"x null", publicMembers("ES256", map[string]any{"x": null}), ""},
		{"kty null", publicMembers("ES256", map[string]any{"kty": null}), ""},
		{"key_ops with null", publicMembers("ES256", map[string]any{"key_ops": []any{null}}), ""},

		{"alg HS256", publicMembers("RS256", map[string]any{"alg": "HS256"}), ""},
		{"alg none", publicMembers("RS256", map[string]any{"alg": "none"}), ""},
		{"alg of encryption", publicMembers("RS256", map[string]any{"alg": "RSA-OAEP"}), ""},
		{"alg ES521", publicMembers("ES512", map[string]any{"alg": "ES521"}), ""},
		{"alg of RSA on EC", publicMembers("ES256", map[string]any{"alg": "RS256"}), ""},
		{"alg of EC on RSA", publicMembers("RS256", map[string]any{"alg": "ES256"}), ""},
		{"alg of EC on Ed25519", publicMembers("EdDSA", map[string]any{"alg": "ES256"}), ""},
		{"P-384 labelled ES256", publicMembers("ES384", map[string]any{"alg": "ES256"}), ""},
		{"P-256 labelled ES512", publicMembers("ES256", map[string]any{"alg": "ES512"}), ""},
		{"alg a number", publicMembers("ES256", map[string]any{"alg": 256}), ""},

		{"name in another case, alg", also(publicMembers("RS256", nil), `"ALG":"RS512"`), "RS256"},
		{"name in another case, use", also(publicMembers("RS256", nil), `"USE":"enc"`), "RS256"},
		{"name in another case, key_ops", also(publicMembers("RS256", nil), `"Key_Ops":["sign"]`), "RS256"},
		{"name in another case, kid", also(publicMembers("RS256", nil), `"KID":1`), "RS256"},
		{"name in another case, k", also(publicMembers("ES256", nil), `"K":"AAAA"`), "ES256"},

		{"RSA 1024", publicMembers("RS256", map[string]any{"n": rsaOf(1024)}), ""},
		{"RSA 2040", publicMembers("RS256", map[string]any{"n": rsaOf(2040)}), ""},
		{"RSA 8200", publicMembers("RS256", map[string]any{"n": rsaOf(8200)}), ""},
		{"RSA 2048 of leading zeros", publicMembers("RS256", map[string]any{"n": base64.RawURLEncoding.EncodeToString(append(make([]byte, 128), sure(base64.RawURLEncoding.DecodeString(rsaOf(1024)))...))}), ""},
		{"RSA e = 0", publicMembers("RS256", map[string]any{"e": "AA"}), ""},
		{"RSA e = 1", publicMembers("RS256", map[string]any{"e": "AQ"}), ""},
		{"RSA e = 2", publicMembers("RS256", map[string]any{"e": "Ag"}), ""},
		{"RSA e even", publicMembers("RS256", map[string]any{"e": "AQAA"}), ""},
		{"RSA e of 65 bits", publicMembers("RS256", map[string]any{"e": base64.RawURLEncoding.EncodeToString([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1})}), ""},
		{"RSA e empty", publicMembers("RS256", map[string]any{"e": ""}), ""},
		{"RSA n missing", publicMembers("RS256", map[string]any{"n": nil}), ""},
		{"RSA n even", publicMembers("RS256", map[string]any{"n": base64.RawURLEncoding.EncodeToString(append([]byte{0x80}, make([]byte, 255)...))}), ""},
		{"off the curve", publicMembers("ES256", map[string]any{"y": publicMembers("ES256", nil)["x"]}), ""},
		{"the origin", publicMembers("ES256", map[string]any{"x": base64.RawURLEncoding.EncodeToString(make([]byte, 32)), "y": base64.RawURLEncoding.EncodeToString(make([]byte, 32))}), ""},
		{"x missing", publicMembers("ES256", map[string]any{"x": nil}), ""},
		{"x empty", publicMembers("ES256", map[string]any{"x": ""}), ""},
		{"x a number", publicMembers("ES256", map[string]any{"x": 1}), ""},
		{"crv of another curve", publicMembers("ES256", map[string]any{"crv": "P-384"}), ""},
		{"curve secp256k1", publicMembers("ES256", map[string]any{"crv": "secp256k1", "alg": "ES256K"}), ""},
		{"curve unknown", publicMembers("ES256", map[string]any{"crv": "P-257"}), ""},
		{"X25519", map[string]any{"kty": "OKP", "crv": "X25519", "x": raw(okp)["x"]}, ""},
		{"X25519 labelled EdDSA", map[string]any{"kty": "OKP", "crv": "X25519", "alg": "EdDSA", "x": raw(okp)["x"]}, ""},
		{"Ed448", map[string]any{"kty": "OKP", "crv": "Ed448", "alg": "EdDSA", "x": raw(okp)["x"]}, ""},
		{"Ed25519 cut short", with(raw(okp), map[string]any{"x": "AAAA"}), ""},
		{"Ed25519 too long", with(raw(okp), map[string]any{"x": base64.RawURLEncoding.EncodeToString(make([]byte, 33))}), ""},
		{"kty unknown", publicMembers("ES256", map[string]any{"kty": "AKP"}), ""},
		{"kty missing", publicMembers("ES256", map[string]any{"kty": nil}), ""},
		{"kty in lower case", publicMembers("ES256", map[string]any{"kty": "ec"}), ""},
		{"kty of another type", publicMembers("ES256", map[string]any{"kty": "RSA"}), ""},
		{"nothing", map[string]any{}, ""},
		{"array", []string{}, ""},
		{"null", nil, ""},
		{"string", "key", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, _, err := parseKey(string(sure(json.Marshal(tt.key))))
			got := ""
			if err == nil {
				got = key.Algorithm()
			}
			if got != tt.want {
				t.Errorf("%q: %v", got, err)
			}
		})
	}
}

// The examples of the RFCs.
func TestThumbprint(t *testing.T) {
	for jwk, want := range map[string]string{
		// RFC 7638, section 3.1
		`{"kty":"RSA","alg":"RS256","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB"}`: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
		// RFC 8037 Appendix A.3
		`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
		// other members and their order do not matter
		`{"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","use":"sig","alg":"Ed25519","crv":"Ed25519","kty":"OKP"}`: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
	} {
		key, _, err := parseKey(jwk)
		if err != nil {
			t.Fatal(err)
		}
		if key.ID() != want {
			t.Errorf("%s, want %s", key.ID(), want)
		}
		document := published(key)
		if !strings.Contains(string(document), `"kid":"`+want+`"`) {
			t.Errorf("published as %s", document)
		}
	}
	key, _, err := parseKey(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"mine"}`)
	if err != nil || key.ID() != "mine" {
		t.Errorf("the kid of the JWK became %s", key.ID())
	}
}

func TestParseSet(t *testing.T) {
	set := func(keys ...any) string { return string(sure(json.Marshal(map[string]any{"keys": keys}))) }
	with := func(key map[string]any, name string, value any) map[string]any {
		key[name] = value
		return key
	}
	named := func(alg, kid string) map[string]any { return publicMembers(alg, map[string]any{"kid": kid}) }
	other := func(alg, kid string) map[string]any { return with(otherKeys()[alg].key.jwk(), "kid", kid) }
	many := func(n int) string {
		keys := make([]any, n)
		for i := range keys {
			keys[i] = named("EdDSA", fmt.Sprint(i))
		}
		return set(keys...)
	}
	for _, tt := range []struct {
		name, document string
		kids           []string // nil when the document is refused
		skipped        int
	}{
		{"none", `{"keys":[]}`, []string{}, 0},
		{"one", set(named("ES256", "a")), []string{"a"}, 0},
		{"of every type", set(named("ES256", "a"), named("RS256", "b"), named("EdDSA", "c")), []string{"a", "b", "c"}, 0},
		{"other members", `{"x":{"keys":1},"keys":[],"iss":"https://a"}`, []string{}, 0},
		{"unusable keys among usable ones", set(
			named("ES256", "a"), map[string]any{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}, named("RS256", "b"),
			map[string]any{"kty": "oct", "k": "AAAA", "kid": "c"}, map[string]any{}, nil, 1, "x", []any{}), []string{"a", "b"}, 7},
		{"only an unusable key", set(map[string]any{"kty": "oct", "k": "AAAA"}), []string{}, 1},
		{"kid twice, two keys", set(named("ES256", "a"), other("ES256", "a"), named("EdDSA", "b")), []string{"b"}, 2},
		{"kid twice, two algorithms", set(named("RS256", "a"), named("RS512", "a"), named("ES256", "a")), []string{"a", "a", "a"}, 0},
		{"kid three times, one key twice", set(named("ES256", "a"), named("RS256", "a"), named("ES256", "a")), []string{"a", "a"}, 0},
		{"one key twice", set(named("ES256", "a"), named("ES256", "a")), []string{"a"}, 0},
		{"one key by both names of its algorithm", set(named("EdDSA", "a"), with(named("EdDSA", "a"), "alg", "Ed25519")), []string{"a"}, 0},
		{"kid three times", set(named("ES256", "a"), other("ES256", "a"), named("RS256", "a"), named("ES256", "a")), []string{"a"}, 2},
		{"two keys by both names of an algorithm", set(named("EdDSA", "a"), with(other("EdDSA", "a"), "alg", "Ed25519")), []string{}, 2},
		{"kid of an unusable key", set(named("ES256", "a"), map[string]any{"kty": "oct", "k": "AAAA", "kid": "a"}), []string{"a"}, 1},
		{"duplicate member in a key", `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"a","kid":"b"}]}`, []string{}, 1},
		{"no kid", set(publicMembers("ES256", map[string]any{"kid": nil})), []string{testKeys()["ES256"].key.ID()}, 0},
		{"kid empty", set(named("ES256", "")), []string{testKeys()["ES256"].key.ID()}, 0},
		{"no kid and its thumbprint", set(publicMembers("ES256", map[string]any{"kid": nil}), publicMembers("ES256", nil)), []string{testKeys()["ES256"].key.ID()}, 0},

		{"empty", ``, nil, 0},
		{"HTML", `<html></html>`, nil, 0},
		{"array", `[]`, nil, 0},
		{"null", `null`, nil, 0},
		{"one key", string(sure(json.Marshal(named("ES256", "a")))), nil, 0},
		{"no keys", `{}`, nil, 0},
		{"keys null", `{"keys":null}`, nil, 0},
		{"keys an object", `{"keys":{}}`, nil, 0},
		{"keys a string", `{"keys":"[]"}`, nil, 0},
		{"keys twice", `{"keys":[],"keys":[]}`, nil, 0},
		{"keys in capitals", `{"KEYS":[]}`, nil, 0},
		{"keys and KEYS", `{"keys":[],"KEYS":` + set(named("ES256", "a"))[len(`{"keys":`):], []string{}, 0},
		{"cut short", `{"keys":[]`, nil, 0},
		{"trailing", `{"keys":[]}{}`, nil, 0},
		{"too many", `{"keys":[` + strings.Repeat("0,", maxKeys) + `0]}`, nil, 0},
		{"half a name", `{"keys":[],"a`, nil, 0},
		{"two byte order marks", "\ufeff\ufeff" + `{"keys":[]}`, nil, 0},

		{"byte order mark", "\ufeff" + set(named("ES256", "a")), []string{"a"}, 0},
		{"keys with an escape", strings.Replace(set(named("ES256", "a")), "keys", `\u006bey\u0073`, 1), []string{"a"}, 0},
		{"invalid UTF-8 beside the keys", `{"x":"` + "\xff" + `",` + set(named("ES256", "a"))[1:], []string{"a"}, 0},
		{"a name twice beside the keys", `{"x":1,"x":2,` + set(named("ES256", "a"))[1:], []string{"a"}, 0},
		{"invalid UTF-8 in a neighbour", strings.Replace(set(named("ES256", "a")), "[", "[{\"kid\":\"\xff\"},", 1), []string{"a"}, 1},
		{"half a surrogate pair in a neighbour", strings.Replace(set(named("ES256", "a")), "[", `[{"kid":"\ud800"},`, 1), []string{"a"}, 1},
		{"a deep neighbour", strings.Replace(set(named("ES256", "a")), "[", `[{"x":`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+`},`, 1), []string{"a"}, 1},
		{"a wide neighbour", strings.Replace(set(named("ES256", "a")), "[", `[{`+strings.Repeat(`"":0,`, 9000)+`"":0},`, 1), []string{"a"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ParseSet([]byte(tt.document), nil)
			if (err == nil) != (tt.kids != nil) || (err != nil) != (s == nil) {
				t.Fatalf("%v", err)
			}
			if err != nil {
				if !strings.HasPrefix(err.Error(), "jose: ") {
					t.Errorf("%v", err)
				}
				return
			}
			var kids []string
			for _, key := range s.Keys() {
				kids = append(kids, key.ID())
				if found := s.Find(key.ID(), key.Algorithm()); found != key {
					t.Errorf("%q is not found", key.ID())
				}
			}
			slices.Sort(kids)
			if !slices.Equal(kids, tt.kids) || len(s.Skipped()) != tt.skipped || s.Len() != len(kids) {
				t.Errorf("keys %q, skipped %v", kids, s.Skipped())
			}
		})
	}
	for _, n := range []int{1, indexedKeys - 1, indexedKeys, indexedKeys + 1, 257} {
		s, err := ParseSet([]byte(many(n)), nil)
		if err != nil || s.Len() != n {
			t.Fatalf("%d keys: %d, %v", n, s.Len(), err)
		}
		for i := range n {
			if key := s.Find(fmt.Sprint(i), "EdDSA"); key == nil || key != s.Find(fmt.Sprint(i), "Ed25519") || key != s.Find(fmt.Sprint(i), "") {
				t.Errorf("of %d keys, key %d is not found", n, i)
			}
		}
		if s.Find(fmt.Sprint(n), "EdDSA") != nil || s.Find("0", "ES256") != nil {
			t.Errorf("of %d keys, one more is found", n)
		}
	}
}

// A key keeps its pointer while it is unchanged.
func TestParseSetKeepsPointers(t *testing.T) {
	document := func(changes map[string]any) []byte {
		return sure(json.Marshal(map[string]any{"keys": []any{
			publicMembers("RS256", changes), publicMembers("EdDSA", map[string]any{"kid": "other"})}}))
	}
	kid := testKeys()["RS256"].key.ID()
	first := sure(ParseSet(document(nil), nil))
	for _, tt := range []struct {
		name    string
		changes map[string]any
		kid     string
		same    bool
	}{
		{"nothing", nil, kid, true},
		{"an unknown member", map[string]any{"x": 1}, kid, true},
		{"no alg, which is the default", map[string]any{"alg": nil}, kid, true},
		{"no kid, which is the thumbprint", map[string]any{"kid": nil}, kid, true},
		{"alg", map[string]any{"alg": "PS256"}, kid, false},
		{"kid", map[string]any{"kid": "new"}, "new", false},
		{"key", map[string]any{"n": otherKeys()["RS256"].key.jwk()["n"]}, kid, false},
	} {
		next := sure(ParseSet(document(tt.changes), first))
		if next.Find("other", "EdDSA") != first.Find("other", "EdDSA") {
			t.Errorf("%s: the other key's pointer changed", tt.name)
		}
		if key := next.Find(tt.kid, ""); key == nil || (key == first.Find(kid, "")) != tt.same {
			t.Errorf("%s: pointer kept is not %t", tt.name, tt.same)
		}
		if last := sure(ParseSet(document(tt.changes), next)); last.Find(tt.kid, "") != next.Find(tt.kid, "") {
			t.Errorf("%s: the next refresh changed the pointer", tt.name)
		}
	}
	gone := sure(ParseSet([]byte(`{"keys":[]}`), first))
	if back := sure(ParseSet(document(nil), gone)); back.Find(kid, "") == first.Find(kid, "") {
		t.Error("a key that was removed came back with its old pointer")
	}
}

func TestPublicSet(t *testing.T) {
	want := map[string][]string{
		"EC":  {"alg", "crv", "kid", "kty", "use", "x", "y"},
		"OKP": {"alg", "crv", "kid", "kty", "use", "x"},
		"RSA": {"alg", "e", "kid", "kty", "n", "use"},
	}
	var keys []*Key
	for _, alg := range slices.Sorted(maps.Keys(algorithms)) {
		keys = append(keys, testKeys()[alg].key)
	}
	document := published(keys...)
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(document, &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != len(keys) {
		t.Fatalf("%d keys", len(set.Keys))
	}
	for i, key := range set.Keys {
		if names := slices.Sorted(maps.Keys(key)); !slices.Equal(names, want[key["kty"]]) {
			t.Errorf("%s has the members %q", key["alg"], names)
		}
		if key["kid"] != sure(thumbprint(keys[i].Public())) || key["alg"] != keys[i].Algorithm() || key["use"] != "sig" {
			t.Errorf("key %d is published as %v", i, key)
		}
		if again, _, _ := parseKey(string(sure(json.Marshal(key)))); !again.Equal(keys[i]) {
			t.Errorf("%s is lost", key["alg"])
		}
	}
	if again := published(keys...); string(again) != string(document) {
		t.Error("the same keys give another document")
	}
	if empty := published(); string(empty) != `{"keys":[]}` {
		t.Errorf("the empty set is %s", empty)
	}
}

// An EC coordinate has the full width of its curve, leading zeros included (RFC 7518,
// section 6.2.1.2).
func TestPublicSetCoordinates(t *testing.T) {
	widths := map[string]int{"ES256": 43, "ES384": 64, "ES512": 88}
	for alg, width := range widths {
		zeros := 0
		for i := 0; i < 2000 && zeros < 2; i++ {
			key := sure(NewSigner(sure(algorithms[alg].generate()), alg))
			var set struct{ Keys []map[string]string }
			if err := json.Unmarshal(published(key.key), &set); err != nil {
				t.Fatal(err)
			}
			x, y := set.Keys[0]["x"], set.Keys[0]["y"]
			if len(x) != width || len(y) != width {
				t.Fatalf("%s: x has %d characters, y %d", alg, len(x), len(y))
			}
			if strings.HasPrefix(x, "AA") || strings.HasPrefix(y, "AA") {
				zeros++
			}
		}
	}
}

func FuzzParseSet(f *testing.F) {
	seeds := [][]byte{
		published(fuzzKey().key),
		[]byte(`{"keys":[]}`),
		[]byte(`{"keys":null}`),
		[]byte(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","kid":"1"}]}`),
		[]byte(`{"keys":[{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","kid":"a"},{"kid":"a"}]}`),
		[]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","key_ops":["verify"]}]}`),
		[]byte(`{"keys":[{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`),
		[]byte(`{"keys":[{"kty":"EC","crv":"P-521","x":"","y":""}]}`),
		[]byte(`[]`), []byte(`<html>`), {},
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		s, err := ParseSet(document, nil)
		if err != nil {
			if s != nil {
				t.Fatal("an error and a value")
			}
			return
		}
		if s.Len() > maxKeys {
			t.Fatalf("%d keys", s.Len())
		}
		var keys []*Key
		for _, key := range s.Keys() {
			if kid := key.ID(); kid == "" || len(kid) > maxKeyID || s.Find(kid, key.Algorithm()) != key {
				t.Fatalf("%q is not found", kid)
			}
			if err := key.alg.fits(key.Public()); err != nil {
				t.Fatal(err)
			}
			if err := key.alg.verify(key.Public(), nil, make([]byte, ed25519.SignatureSize)); err == nil {
				t.Fatal("a signature of zeros was accepted")
			}
			keys = append(keys, key)
		}
		again, err := ParseSet(published(keys...), s)
		if err != nil || again.Len() != s.Len() || len(again.Skipped()) != 0 {
			t.Fatalf("%d keys became %d, %d skipped: %v", s.Len(), again.Len(), len(again.Skipped()), err)
		}
		for _, key := range again.Keys() {
			if s.Find(key.ID(), key.Algorithm()) != key {
				t.Fatalf("%q is another key now", key.ID())
			}
		}
	})
}

// One kid may name keys of several algorithms. EdDSA and Ed25519 are the same algorithm.
func TestFind(t *testing.T) {
	named := func(alg string) *Key { return sure(NewKey(testKeys()[alg].key.public, alg, "a")) }
	rs256, rs512, ed := named("RS256"), named("RS512"), named("EdDSA")
	lone := sure(NewKey(testKeys()["ES256"].key.public, "", "b"))
	set := sure(NewSet(rs256, rs512, ed, lone))
	for _, tt := range []struct {
		kid, alg string
		want     *Key
	}{
		{"a", "RS256", rs256}, {"a", "RS512", rs512}, {"a", "EdDSA", ed}, {"a", "Ed25519", ed},
		{"a", "ES256", nil}, {"a", "RS384", nil}, {"a", "HS256", nil}, {"a", "none", nil}, {"a", "", nil},
		{"b", "ES256", lone}, {"b", "", lone}, {"b", "RS256", nil},
		{"", "ES256", nil}, {"", "", nil}, {"c", "", nil}, {"A", "RS256", nil},
	} {
		if got := set.Find(tt.kid, tt.alg); got != tt.want {
			t.Errorf("%q, %q: %v", tt.kid, tt.alg, got)
		}
	}
}
