package issuertest

import (
	"encoding/json"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// A client that authenticates in another way gets no secret, by record and in the store.
func TestRegisterWithoutSecret(t *testing.T) {
	t.Parallel()
	signer, err := jose.Generate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	key, err := jose.NewKey(signer.Public(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	set, err := jose.NewSet(key)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	i := New(t)
	for id, tt := range map[string]struct {
		client registry.Client
		secret bool
	}{
		"plain":                      {registry.Client{}, true},
		"basic":                      {registry.Client{AuthMethod: registry.ClientSecretBasic}, true},
		"keys":                       {registry.Client{JWKS: keys}, false},
		"keys-by-url":                {registry.Client{JWKSURI: "https://client.test/keys"}, false},
		"keys-and-method":            {registry.Client{JWKS: keys, AuthMethod: registry.PrivateKeyJWT}, false},
		"keys-during-a-migration":    {registry.Client{JWKS: keys, AuthMethod: registry.ClientSecretPost}, true},
		"subject":                    {registry.Client{TLSClientAuthSANDNS: "client.test"}, false},
		"certificate-of-its-own":     {registry.Client{JWKS: keys, AuthMethod: registry.SelfSignedTLSClientAuth}, false},
		"bound-but-without-a-method": {registry.Client{DPoPBoundTokens: true}, true},
	} {
		tt.client.ID = id
		secret := i.Register(t, tt.client)
		stored, err := i.Clients().Client(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if (secret != "") != tt.secret || (len(stored.Secrets) > 0) != tt.secret {
			t.Errorf("%s: secret %q, %d stored", id, secret, len(stored.Secrets))
		}
	}
}
