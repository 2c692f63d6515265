package cases

import (
	"strings"
	"testing"
)

func TestAdminRedirectAndText(t *testing.T) {
	e := adminAPI(t)
	call(e, "POST", "/admin/clients", `{"client_id":"rt","audiences":["https://api.example"]}`, "Content-Type", jsonType)
	for line := range strings.SplitSeq(strings.TrimSpace(input(t, "admin-redirect-and-text/requests.txt")), "\n") {
		method, target, _ := strings.Cut(line, " ")
		rec := call(e, method, target, "")
		if rec.Code/100 == 3 || !strings.HasPrefix(rec.Header().Get("Content-Type"), jsonType) {
			t.Errorf("%s: %d %q, Location %q", line, rec.Code, rec.Header().Get("Content-Type"), rec.Header().Get("Location"))
		}
	}
}
