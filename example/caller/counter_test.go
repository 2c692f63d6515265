package main

import (
	"cmp"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

// Requests that were sent to the token endpoint are counted, whatever it answers. Metadata,
// and what was never sent, is not.
func TestCounter(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for name, tt := range map[string]struct {
		issuer, endpoint string // "" for the server's own
		token            string // what the token endpoint answers; "" for nothing
		status           int
		want             uint64
	}{
		"no issuer":         {closed.URL, "", "", 0, 0},
		"no token endpoint": {"", closed.URL + "/token", "", 0, 0},
		"a token":           {"", "", `{"access_token":"t","token_type":"Bearer","expires_in":60}`, http.StatusOK, 1},
		"a refusal":         {"", "", `{"error":"invalid_client"}`, http.StatusUnauthorized, 1},
		"no answer":         {"", "", "", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var server *httptest.Server
			server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				switch {
				case r.Method == http.MethodGet:
					_, _ = w.Write([]byte(`{"issuer":"` + server.URL + `","token_endpoint":"` + cmp.Or(tt.endpoint, server.URL+"/token") + `"}`))
				case tt.token == "":
					panic(http.ErrAbortHandler)
				default:
					w.WriteHeader(tt.status)
					_, _ = w.Write([]byte(tt.token))
				}
			}))
			defer server.Close()
			set := service.Caller{Issuer: cmp.Or(tt.issuer, server.URL), API: server.URL, ClientID: "worker", Secret: "secret"}
			tokens := newCounter()
			ctx, cancel := context.WithCancel(t.Context())
			source, err := newSource(ctx, set, tokens, func(context.Context, outbound.Event) { cancel() }) // one fetch is enough
			if err != nil {
				t.Fatal(err)
			}
			_, _ = source.Token(ctx) // the count is what matters
			<-ctx.Done()
			_ = source.Close()
			if got := tokens.sent.Load(); got != tt.want {
				t.Errorf("%d requests were sent, want %d", got, tt.want)
			}
		})
	}
}
