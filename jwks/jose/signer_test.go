package jose

import (
	"encoding/json"
	"strings"
	"testing"
)

// A private key that is read from its JWK makes signatures that the first key verifies.
func TestSignerRoundTrip(t *testing.T) {
	for _, alg := range Algorithms() {
		first := testKeys()[alg]
		again, err := ParseSigner(sure(first.MarshalPrivate()))
		if err != nil || !again.Key().Equal(first.Key()) {
			t.Fatalf("%s: %v", alg, err)
		}
		token := sure(again.Sign("at+jwt", []byte(`{}`)))
		if payload, err := accept(token, first.Key()); payload != "{}" || err != nil {
			t.Errorf("%s: %q, %v", alg, payload, err)
		}
	}
}

// A private key that does not fit its public key is refused. No error quotes it.
func TestParseSignerRefuses(t *testing.T) {
	raw := sure(testKeys()["ES256"].MarshalPrivate())
	with := func(name string, value any) []byte {
		var members map[string]any
		if err := json.Unmarshal(raw, &members); err != nil {
			t.Fatal(err)
		}
		members[name] = value
		return sure(json.Marshal(members))
	}
	var strange map[string]any
	if err := json.Unmarshal(sure(otherKeys()["ES256"].MarshalPrivate()), &strange); err != nil {
		t.Fatal(err)
	}
	for name, jwk := range map[string][]byte{
		"nothing": nil, "not JSON": []byte("a"), "null": []byte("null"), "array": []byte("[]"), "public": published(testKeys()["ES256"].key)[9:],
		"symmetric": []byte(`{"kty":"oct","k":"AAAA"}`), "kid": with("kid", "other"), "no kid": with("kid", ""),
		"alg": with("alg", "ES384"), "none": with("alg", "none"), "d of another": with("d", strange["d"]), "x of another": with("x", strange["x"]),
	} {
		s, err := ParseSigner(jwk)
		if s != nil || err == nil || strings.Contains(err.Error(), strange["d"].(string)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A named key signs under its name, and has the thumbprint that it had.
func TestSignerNamed(t *testing.T) {
	first := testKeys()["ES256"]
	named := sure(first.Named("key 1/orders"))
	token := sure(Parse(sure(named.Sign("JWT", []byte(`{}`))), 0))
	if token.KeyID() != "key 1/orders" || named.Key().Thumbprint() != first.Key().Thumbprint() {
		t.Errorf("kid %q, thumbprint %q", token.KeyID(), named.Key().Thumbprint())
	}
	if payload, err := token.Verify(first.Key()); payload != "{}" || err != nil {
		t.Errorf("%q, %v", payload, err)
	}
	for _, kid := range []string{"", `a"b`, `a\b`, "a\nb", "\u00e9", strings.Repeat("k", 257)} {
		if s, err := first.Named(kid); s != nil || err == nil {
			t.Errorf("%q is taken", kid)
		}
	}
	if s, err := new(Signer).Named("a"); s != nil || err == nil {
		t.Error("the zero Signer is named")
	}
}
