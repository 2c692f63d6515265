package admin_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// TestHashOfAChosenSecret passes a hash of a chosen secret off as that of a generated
// one, which is checked quickly and as often as one likes. The secret is never accepted.
func TestHashOfAChosenSecret(t *testing.T) {
	t.Parallel()
	store, err := registry.NewMemory()
	if err != nil {
		t.Fatal(err)
	}
	o := newOfficeOn(t, store)
	_, generated := registry.GenerateSecret()
	for n, chosen := range []string{"password", "m2m_password", generated.ID, "m2m_" + generated.ID + "_password"} {
		sum := sha256.Sum256([]byte(chosen))
		id := "client" + string(rune('a'+n))
		doc := fmt.Sprintf(`{"client_id":%q,"audiences":["https://api.example.com"],"secret_id":%q,"client_secret_hash":"sha256:%x"}`, id, generated.ID, sum)
		o.do("POST", "/console/clients", doc, http.StatusCreated)
		if _, status := o.token(id, chosen); status != http.StatusUnauthorized {
			t.Errorf("%q is answered %d", chosen, status)
		}
	}
}

// TestCostlyHashes refuses hashes whose check would cost the issuer much.
func TestCostlyHashes(t *testing.T) {
	t.Parallel()
	store, err := registry.NewMemory()
	if err != nil {
		t.Fatal(err)
	}
	o := newOfficeOn(t, store)
	o.do("POST", "/console/clients", `{"client_id":"a","audiences":["https://api.example.com"]}`, http.StatusCreated)
	const tail = "$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA"
	for _, hash := range []string{
		"$2b$15$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", "$2b$31$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"$argon2id$v=19$m=262145,t=1,p=1" + tail, "$argon2id$v=19$m=4294967295,t=1,p=1" + tail, "$argon2id$v=19$m=65536,t=17,p=1" + tail,
		"$argon2id$v=19$m=65536,t=1,p=255" + tail, "$argon2id$v=19$m=65536,t=1,p=0" + tail, "$argon2id$v=19$m=65536,t=4294967297,p=1" + tail,
		"$argon2i$v=19$m=65536,t=1,p=1" + tail, "$argon2id$v=16$m=65536,t=1,p=1" + tail,
		"$argon2id$v=19$m=65536,t=1,p=1$c2FsdA$" + strings.Repeat("A", 1000), "$6$salt$hash", "plain", "",
	} {
		doc := fmt.Sprintf(`{"secret_id":"b","client_secret_hash":%q}`, hash)
		o.do("POST", "/console/clients/a/secrets/add", doc, http.StatusBadRequest)
	}
	if c, err := store.Client(t.Context(), "a"); err != nil || len(c.Secrets) != 1 {
		t.Errorf("%v, %v", c, err)
	}
}
