package admin_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// A client is registered with the label and the expiry of its secret, generated or
// imported. The answer has the expiry, and the store has both. An expiry in the past is
// accepted, as by /secrets/add. Such a secret gets no token.
func TestRegisterWithLabelAndExpiry(t *testing.T) {
	store, err := registry.NewMemory()
	if err != nil {
		t.Fatal(err)
	}
	o := newOfficeOn(t, store)
	const base = "/console/clients"
	ahead := time.Now().Add(time.Hour).Unix()
	for n, c := range []struct {
		members, label string
		expires        int64
		status         int // of a token request
	}{
		{``, "", 0, 200},
		{`,"label":null,"client_secret_expires_at":null`, "", 0, 200},
		{`,"label":"","client_secret_expires_at":0`, "", 0, 200},
		{`,"label":"spring"`, "spring", 0, 200},
		{fmt.Sprintf(`,"client_secret_expires_at":%d`, ahead), "", ahead, 200},
		{fmt.Sprintf(`,"label":"ü","client_secret_expires_at":%d.0`, ahead), "ü", ahead, 200},
		{`,"client_secret_expires_at":253402300799`, "", 253402300799, 200},
		{`,"label":"past","client_secret_expires_at":1`, "past", 1, 401},
	} {
		for _, imported := range []bool{false, true} {
			id, members := fmt.Sprintf("c%d-%t", n, imported), c.members
			plain, secret := registry.GenerateSecret()
			if imported {
				members += `,"secret_id":"` + secret.ID + `","client_secret_hash":"` + secret.Hash + `"`
			}
			answer := o.do("POST", base, `{"client_id":"`+id+`","audiences":["https://api.example.com"]`+members+`}`, http.StatusCreated)
			shown, hasSecret := answer["client_secret"].(string)
			if answer["client_secret_expires_at"] != float64(c.expires) || hasSecret == imported || answer["label"] != nil {
				t.Errorf("%s: %v", members, answer)
			}
			if hasSecret {
				plain = shown
			}
			stored, err := store.Client(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			var want time.Time
			if c.expires != 0 {
				want = time.Unix(c.expires, 0)
			}
			if len(stored.Secrets) != 1 || stored.Secrets[0].Label != c.label || !stored.Secrets[0].ExpiresAt.Equal(want) || !stored.Secrets[0].Matches(plain) {
				t.Errorf("%s: the store has %+v", members, stored.Secrets)
			}
			if _, status := o.token(id, plain); status != c.status {
				t.Errorf("%s: a token request is answered %d, want %d", members, status, c.status)
			}
		}
	}

	// A refused registration stores nothing.
	for _, members := range []string{`"client_secret_expires_at":-1`, `"client_secret_expires_at":253402300800`, `"client_secret_expires_at":1.5`, `"label":"a\u0000"`, `"label":1`} {
		if refused := o.do("POST", base, `{"client_id":"refused",`+members+`}`, http.StatusBadRequest); refused["error"] != "invalid_request" {
			t.Errorf("%s: %v", members, refused)
		}
		if _, err := store.Client(t.Context(), "refused"); err == nil {
			t.Errorf("%s: the client was stored", members)
		}
	}
}
