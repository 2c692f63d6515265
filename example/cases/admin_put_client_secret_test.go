package cases

import "testing"

func TestAdminPutSecret(t *testing.T) {
	e := adminAPI(t)
	call(e, "POST", "/admin/clients", `{"client_id":"rt","audiences":["https://api.example"]}`, "Content-Type", jsonType)
	got := call(e, "GET", "/admin/clients/rt", "").Body.String()
	if rec := call(e, "PUT", "/admin/clients/rt", `{"audiences":["https://api.example"],"version":1,"client_secret":"mine"}`, "Content-Type", jsonType); rec.Code != 400 {
		t.Errorf("a secret in PUT: %d %s", rec.Code, rec.Body)
	}
	if rec := call(e, "PUT", "/admin/clients/rt", got, "Content-Type", jsonType); rec.Code != 200 && rec.Code != 409 {
		t.Errorf("what GET gave: %d %s", rec.Code, rec.Body)
	}
}
