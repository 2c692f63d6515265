package admin_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// A secret that is added leaves the others valid.
func TestAddSecret(t *testing.T) {
	o := newOffice(t)
	const base = "/console/clients"
	first, _ := o.do("POST", base, `{"client_id":"app","audiences":["https://api.example.com"]}`, 201)["client_secret"].(string)
	o.events = nil
	added := o.do("POST", base+"/app/secrets/add", `{"label":"second","client_secret_expires_at":4102444800}`, 201)
	second, _ := added["client_secret"].(string)
	if e := o.one(); e.Op != event.OpAddSecret || e.Target != "app" || e.SecretID != added["secret_id"] || e.Status != 201 || e.ClientID != "alice" {
		t.Errorf("%+v", e)
	}
	for _, secret := range []string{first, second} {
		if _, status := o.token("app", secret); status != 200 {
			t.Errorf("%q: %d", secret, status)
		}
	}
	secrets, _ := o.do("GET", base+"/app", "", 200)["secrets"].([]any)
	if len(secrets) != 2 || added["client_secret_expires_at"] != 4102444800.0 || !strings.Contains(fmt.Sprint(secrets), "expires_at:2100-01-01T00:00:00Z") || !strings.Contains(fmt.Sprint(secrets), "label:second") {
		t.Errorf("%v, %v", added, secrets)
	}
	o.do("POST", base+"/nobody/secrets/add", "", 404)
}

// A hash that another system made is imported with the client or into it. The answer
// holds neither the hash nor a secret.
func TestImportSecret(t *testing.T) {
	o := newOffice(t, func(c *issuer.Config) { c.ImportedSecrets = true })
	const base = "/console/clients"
	hash := hashOf(t, "correct horse")
	registered := o.do("POST", base, `{"client_id":"app","audiences":["https://api.example.com"],"client_secret_hash":"`+hash+`"}`, 201)
	if registered["client_secret"] != nil || registered["client_secret_expires_at"] != 0.0 || strings.Contains(fmt.Sprint(registered), hash) {
		t.Errorf("%v", registered)
	}
	if _, status := o.token("app", "correct horse"); status != 200 {
		t.Errorf("the imported secret: %d", status)
	}
	got := o.do("POST", base+"/app/secrets/add", `{"secret_id":"old-1","label":"from Hydra","client_secret_hash":"`+hashOf(t, "battery")+`"}`, 201)
	if got["secret_id"] != "old-1" || got["client_secret"] != nil {
		t.Errorf("%v", got)
	}
	if _, status := o.token("app", "battery"); status != 200 {
		t.Errorf("the secret imported later: %d", status)
	}
	plain, generated := registry.GenerateSecret()
	o.do("POST", base+"/app/secrets/add", `{"secret_id":"`+generated.ID+`","client_secret_hash":"`+generated.Hash+`"}`, 201)
	if _, status := o.token("app", plain); status != 200 {
		t.Errorf("a generated secret of another store: %d", status)
	}
	o.do("POST", base+"/app/secrets/add", `{"secret_id":"old-1","client_secret_hash":"`+hash+`"}`, 409)
	for body, member := range map[string]string{
		`{"secret_id":"x"}`: "secret_id:",
		`{"secret_id":"` + plain + `","client_secret_hash":"` + hash + `"}`:                     "secret_id:",
		`{"secret_id":"..","client_secret_hash":"` + hash + `"}`:                                "secret_id:",
		`{"client_secret_hash":"plain"}`:                                                        "client_secret_hash: the hash has an unknown form: write argon2id",
		`{"client_secret_hash":"` + generated.Hash + `"}`:                                       "client_secret_hash:",
		`{"client_secret_hash":"$2b$15$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZABCDE"}`: "client_secret_hash: bcrypt cost 15, more than 14",
		`{"label":"` + strings.Repeat("x", 1025) + `"}`:                                         "label:",
		`{"client_secret_expires_at":-1}`:                                                       "client_secret_expires_at:",
		`{"client_secret_expires_at":253402300800}`:                                             "client_secret_expires_at:",
		`{"overlap":1}`: "overlap",
	} {
		refused := o.do("POST", base+"/app/secrets/add", body, 400)
		if text := fmt.Sprint(refused["error_description"]); refused["error"] != "invalid_request" || !strings.Contains(text, member) || strings.Contains(text, plain) || strings.Contains(text, "Generate") {
			t.Errorf("%s: %v", body, refused)
		}
	}
	o.do("POST", base, `{"client_id":"new","client_secret_hash":"plain"}`, 400)
	o.do("PUT", base+"/app", `{"version":1,"client_secret_hash":"`+hash+`"}`, 400)

	records, err := admin.ReadRecords([]byte(`[{"client_id":"a","client_secret_hash":"` + hash + `"}]`))
	if err != nil || len(records[0].Client.Secrets) != 1 || records[0].Client.Secrets[0].Hash != hash || records[0].Secret != "" {
		t.Errorf("%+v, %v", records, err)
	}
	for _, doc := range []string{`[{"client_id":"a","client_secret_hash":"plain"}]`, `[{"client_id":"a","client_secret":"b","client_secret_hash":"` + hash + `"}]`} {
		if _, err := admin.ReadRecords([]byte(doc)); err == nil || !strings.Contains(err.Error(), "client_secret_hash") {
			t.Errorf("%s: %v", doc, err)
		}
	}
}
