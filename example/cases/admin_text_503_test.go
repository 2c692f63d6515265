package cases

import (
	"strings"
	"testing"
)

func TestAdminLongName(t *testing.T) {
	body := `{"client_id":"n2","client_name":"` + strings.Repeat("x", 1025) + `","audiences":["https://api.example"]}`
	if rec := call(adminAPI(t), "POST", "/admin/clients", body, "Content-Type", jsonType); rec.Code != 400 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
