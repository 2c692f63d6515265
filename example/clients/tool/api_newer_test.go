package tool

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
)

// TestAPINewer changes clients of an issuer whose release is newer than the tool. A PUT
// clears what it leaves out, so the tool sends the members back that it does not know.
func TestAPINewer(t *testing.T) {
	t.Parallel()
	const workload = `[{"issuer":"https://a.example","subject":"b","audience":"c","newer":[1.50]}]`
	const client = `{"client_id":"a","audiences":["https://a.example"],"grant_types":["client_credentials"],"version":7,"client_id_issued_at":5,"newer":{"x":1.50},"workload":` + workload + `}`
	for name, c := range map[string]struct {
		args []string
		want string // the body of the PUT
	}{
		"name":     {[]string{"set", "a", "-name", "b"}, `{"client_id":"a","client_name":"b","audiences":["https://a.example"],"version":7,"newer":{"x":1.50},"workload":` + workload + `}`},
		"disable":  {[]string{"disable", "a"}, `{"client_id":"a","disabled":true,"audiences":["https://a.example"],"version":7,"newer":{"x":1.50},"workload":` + workload + `}`},
		"workload": {[]string{"set", "a", "-workload", "https://a.example d c"}, `{"client_id":"a","audiences":["https://a.example"],"version":7,"newer":{"x":1.50},"workload":[{"issuer":"https://a.example","subject":"d","audience":"c"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var put []byte
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := client
				switch {
				case r.Method == http.MethodPut:
					put, _ = io.ReadAll(r.Body)
				case r.URL.Path == "/clients":
					answer = `{"clients":[` + client + `]}`
				}
				_, _ = w.Write([]byte(answer))
			}))
			defer server.Close()
			b := newBench(t)
			b.env = map[string]string{"ACCESS_TOKEN": "hunter2", "ADMIN_URL": server.URL}
			b.do(c.args...)
			var got, want map[string]any
			if err := json.Unmarshal(put, &got); err != nil || json.Unmarshal([]byte(c.want), &want) != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("the PUT is %s, %v, want %s", put, err, c.want)
			}
		})
	}
}
