package admin_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// TestRegisterHash registers a client with the hash of a secret that the caller has
// generated. The secret itself is in no request.
func TestRegisterHash(t *testing.T) {
	t.Parallel()
	store, err := registry.NewMemory()
	if err != nil {
		t.Fatal(err)
	}
	o := newOfficeOn(t, store)
	plain, secret := registry.GenerateSecret()
	body := func(id, secretID, hash string) string {
		doc, err := json.Marshal(map[string]any{"client_id": id, "audiences": []string{"https://api.example.com"}, "secret_id": secretID, "client_secret_hash": hash})
		if err != nil {
			t.Fatal(err)
		}
		return string(doc)
	}
	if answer := o.do("POST", "/console/clients", body("own", secret.ID, secret.Hash), http.StatusCreated); answer["client_secret"] != nil {
		t.Errorf("the answer has a secret: %v", answer)
	}
	if _, status := o.token("own", plain); status != http.StatusOK {
		t.Errorf("the secret is answered %d", status)
	}
	for says, doc := range map[string]string{
		"only with client_secret_hash": body("other", secret.ID, ""),
		"it is a secret":               body("other", plain, secret.Hash),
		"damaged":                      body("other", secret.ID, "sha256:00"),
		"too fast to protect a secret": body("other", "", secret.Hash),
	} {
		if said, _ := o.do("POST", "/console/clients", doc, http.StatusBadRequest)["error_description"].(string); !strings.Contains(said, says) {
			t.Errorf("it says %q, want %q", said, says)
		}
	}
}
