//go:build rehearsal

package admin_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// A hostile client floods POST /revoke with some of its tokens and keeps the rest. The
// operator's call is still quick, and after it every token of the client is revoked.
func TestDeleteUnderFlood(t *testing.T) {
	for name, call := range map[string]struct {
		method, path, body string
		status             int
	}{
		"deleted":  {"DELETE", "/clients/hostile", "", 200},
		"disabled": {"PUT", "/clients/hostile", `{"audiences":["https://api.example.com"],"version":1,"disabled":true}`, 200},
		"stolen":   {"POST", "/clients/hostile/secrets", `{"revoke":true}`, 201},
		"removed":  {"DELETE", "/clients/hostile/secrets/SECRET?revoke=true", "", 200},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			secret, _ := o.do("POST", "/console/clients", `{"client_id":"hostile","audiences":["https://api.example.com"]}`, 201)["client_secret"].(string)
			post := func(path string, form url.Values) *httptest.ResponseRecorder {
				form.Set("client_id", "hostile")
				form.Set("client_secret", secret)
				r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				w := httptest.NewRecorder()
				o.app.ServeHTTP(w, r)
				return w
			}
			token := func() string {
				w := post("/token", url.Values{"grant_type": {"client_credentials"}})
				if w.Code != http.StatusOK {
					return ""
				}
				return strings.Split(w.Body.String(), `"`)[3]
			}
			var mu sync.Mutex
			var kept []string
			count := map[int]int{}
			stop := make(chan struct{})
			var flood sync.WaitGroup
			for range 32 {
				flood.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						one, other := token(), token()
						code := post("/revoke", url.Values{"token": {other}}).Code
						mu.Lock()
						count[code]++
						if one != "" {
							kept = append(kept, one)
						}
						mu.Unlock()
					}
				})
			}
			time.Sleep(500 * time.Millisecond)
			began := time.Now()
			o.do(call.method, "/console"+strings.Replace(call.path, "SECRET", strings.Split(secret, "_")[1], 1), call.body, call.status)
			took := time.Since(began)
			time.Sleep(300 * time.Millisecond)
			close(stop)
			flood.Wait()
			good := 0
			for _, k := range kept {
				if !o.revoked(k) {
					good++
				}
			}
			if good > 0 || len(kept) == 0 {
				t.Errorf("%d of the %d tokens that the client kept are good", good, len(kept))
			}
			if took > 3*time.Second {
				t.Errorf("the operator's call took %v", took)
			}
			t.Logf("the call took %v; %d tokens kept; /revoke was answered %v", took.Round(time.Millisecond), len(kept), count)
		})
	}
}
