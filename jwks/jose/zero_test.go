package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"testing"
)

// Zero values have no key, no member and no signature. Their methods return errors.
func TestZeroValues(t *testing.T) {
	good := testKeys()["ES256"]
	for _, k := range []*Key{nil, {}} {
		if k.Thumbprint() != "" || k.ID() != "" || k.Algorithm() != "" || k.Public() != nil || k.Equal(good.key) || good.key.Equal(k) {
			t.Errorf("%+v", k)
		}
		if _, err := NewSet(good.key, k); err == nil {
			t.Error("a set has a zero key")
		}
	}
	for _, s := range []*Signer{nil, {}} {
		if token, err := s.Sign("at+jwt", []byte("{}")); token != "" || err == nil || s.Key() != nil {
			t.Errorf("signed %q, %v", token, err)
		}
		if token, err := s.SignEmbedded("dpop+jwt", []byte("{}")); token != "" || err == nil {
			t.Errorf("signed %q, %v", token, err)
		}
		if raw, err := s.MarshalPrivate(); raw != nil || err == nil {
			t.Errorf("wrote %q, %v", raw, err)
		}
	}
	for _, private := range []crypto.Signer{nil, (*ecdsa.PrivateKey)(nil), &ecdsa.PrivateKey{}, &rsa.PrivateKey{}, ed25519.PrivateKey(nil), make(ed25519.PrivateKey, 40)} {
		if s, err := NewSigner(private, ""); s != nil || err == nil {
			t.Errorf("made a signer of %#v", private)
		}
	}
	for _, s := range []*Set{nil, {}} {
		if s.Find("a", "") != nil || s.Find("", "ES256") != nil || s.Len() != 0 || len(s.Keys()) != 0 || len(s.Skipped()) != 0 {
			t.Error("an empty set has keys")
		}
		if raw, err := s.MarshalJSON(); string(raw) != `{"keys":[]}` || err != nil {
			t.Errorf("%s, %v", raw, err)
		}
	}
	for _, j := range []*JWS{nil, {}} {
		if j.Algorithm() != "" || j.KeyID() != "" || j.Type() != "" {
			t.Errorf("%+v", j)
		}
		if payload, err := j.UnverifiedPayload(); payload != "" || err == nil {
			t.Errorf("a payload of %q", payload)
		}
		if k, err := j.EmbeddedKey(); k != nil || err == nil {
			t.Errorf("a key %+v", k)
		}
		if payload, err := j.Verify(good.key); payload != "" || err == nil {
			t.Errorf("verified %q", payload)
		}
	}
	for _, o := range []*Object{nil, {}} {
		_, ok, err := o.String("a")
		_, ok2, err2 := o.Strings("a")
		_, ok3, err3 := o.Time("a")
		if ok || ok2 || ok3 || err != nil || err2 != nil || err3 != nil || o.Has("a") {
			t.Error("an empty object has members")
		}
		if err := o.Unmarshal(&struct{}{}); err == nil {
			t.Error("an empty object was decoded")
		}
	}
	if private, err := Generate("HS256"); private != nil || err == nil {
		t.Errorf("made %v", private)
	}
}
