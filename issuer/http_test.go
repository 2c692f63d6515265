package issuer

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// Without Echo the endpoints are at the same paths and give the same answers.
func TestHandler(t *testing.T) {
	for _, issuer := range []string{testIssuer, "https://auth.example.com/eu", "https://auth.example.com/a%2Fb", "https://auth.example.com/a(b)/"} {
		t.Run(issuer, func(t *testing.T) {
			s := newService(t, Config{Issuer: issuer})
			handler := s.issuer.Handler()
			ask := func(method, path, body string) *httptest.ResponseRecorder {
				r := newForm(path, body)
				r.Method = method
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				return w
			}
			p := s.issuer.paths()
			s.wantToken(t, ask("POST", p.token, appForm))
			s.wantBody(t, ask("POST", p.revocation, appForm+"&token=x"), "{}")
			s.wantBody(t, ask("POST", p.introspection, appForm+"&token=x"), inactiveBody)
			s.wantError(t, ask("POST", p.token, appForm+"x"), 401, "invalid_client", "client authentication failed")
			for _, path := range []string{p.token, p.revocation, p.introspection} {
				for _, method := range []string{"GET", "HEAD", "PUT", "OPTIONS"} {
					s.wantError(t, ask(method, path, ""), 405, "invalid_request", "this endpoint takes POST")
				}
			}
			for _, path := range append([]string{p.keys}, p.metadata...) {
				get, head := ask("GET", path, ""), ask("HEAD", path, "")
				mounted := s.get("GET", path)
				if get.Code != 200 || get.Body.String() != mounted.Body.String() || !maps.EqualFunc(get.Header(), mounted.Header(), slices.Equal) {
					t.Errorf("%s: %d %s, want what Echo serves", path, get.Code, get.Body)
				}
				if head.Code != 200 || head.Body.Len() != 0 {
					t.Errorf("HEAD %s: %d %s", path, head.Code, head.Body)
				}
				w := ask("POST", path, "")
				if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" || w.Body.String() != `{"error":"invalid_request","error_description":"this endpoint takes GET"}` {
					t.Errorf("POST %s: %d %v %s", path, w.Code, w.Header(), w.Body)
				}
			}
			for _, path := range []string{"/", "/x", p.token + "/", "/" + p.token, strings.ToUpper(p.token), p.token + "/..", "/clients"} {
				if w := ask("POST", path, appForm); w.Code != 404 || w.Body.String() != `{"error":"not_found","error_description":"there is no such endpoint"}` {
					t.Errorf("%s: %d %s", path, w.Code, w.Body)
				}
			}
		})
	}
}

// Config.ClientIP decides where a request comes from, with Echo and without. Echo's
// IPExtractor is then not called.
func TestClientIP(t *testing.T) {
	config := Config{ImportedSecrets: true, FailedAttempts: 2, ClientIP: func(r *http.Request) string { return r.Header.Get("From") }}
	for name, serve := range map[string]func(*service) http.Handler{
		"Echo":         func(s *service) http.Handler { return s.app },
		"net/http":     func(s *service) http.Handler { return s.issuer.Handler() },
		"one endpoint": func(s *service) http.Handler { return s.issuer.TokenHandler() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, config, chosen(t, "app"))
			s.app.IPExtractor = func(*http.Request) string { t.Error("IPExtractor is called"); return "" }
			handler := serve(s)
			tried := map[string]int{}
			for n := range 2*networkFactor + 5 {
				for _, from := range []string{"192.0.2.1", "203.0.113.1:7", "no address"} {
					w := httptest.NewRecorder()
					handler.ServeHTTP(w, newForm("/token", "grant_type=client_credentials", "From", from, "Authorization", basic(fmt.Sprint("nobody", n, from), "wrong")))
					if w.Code == 401 {
						tried[from]++
					}
				}
			}
			// Callers without an IP address have no network, so no limit per network.
			for from, want := range map[string]int{"192.0.2.1": 2 * networkFactor, "203.0.113.1:7": 2 * networkFactor, "no address": 2*networkFactor + 5} {
				if n := tried[from]; n != want {
					t.Errorf("%d attempts from %q, want %d", n, from, want)
				}
			}
		})
	}
}

// The methods of an issuer that New did not make return errors; its handlers
// answer 500. None panics.
func TestZeroIssuer(t *testing.T) {
	for _, i := range []*Issuer{nil, {}} {
		e := echo.New()
		i.Mount(e)
		for name, handler := range map[string]http.Handler{
			"Echo": e, "all": i.Handler(), "token": i.TokenHandler(), "revocation": i.RevocationHandler(),
			"introspection": i.IntrospectionHandler(), "keys": i.JWKSHandler(), "metadata": i.MetadataHandler(),
		} {
			for _, path := range []string{"/token", "/revoke", "/introspect", jwksPath, metadataPath} {
				method := http.MethodPost
				if strings.HasPrefix(path, "/.well-known") {
					method = http.MethodGet
				}
				r := newForm(path, appForm)
				r.Method = method
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				if w.Code != 500 || w.Body.String() != `{"error":"server_error","error_description":"the issuer is not set up"}` || w.Header().Get("Content-Type") != "application/json" {
					t.Errorf("%s %s: %d %s", name, path, w.Code, w.Body)
				}
			}
		}
		_, revoked := i.Revoked(t.Context(), "a", "app", app().CreatedAt)
		for name, err := range map[string]error{
			"Revoked": revoked, "RevokeToken": i.RevokeToken(t.Context(), "a", app().CreatedAt), "RevokeClient": i.RevokeClient(t.Context(), "app"),
			"Sync": i.Sync(t.Context()), "Close": i.Close(),
		} {
			if err == nil || !strings.HasPrefix(err.Error(), "issuer: ") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("New makes an issuer of nothing")
	}
	var none *Error
	if none.Error() == "" || none.Unwrap() != nil || new(Error).Error() == "" {
		t.Error("a zero Error")
	}
}
