package issuer

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// algs are those that an assertion may have.
const algs = `"ES256","ES384","ES512","EdDSA","Ed25519","PS256","PS384","PS512","RS256","RS384","RS512"`

// The whole document, at the path of RFC 8414, section 3.1, and the endpoints at the paths
// in it.
func TestMetadata(t *testing.T) {
	for _, tt := range []struct {
		issuer, tokenPath   string
		base                string // of the endpoints
		token, keys, wellAt string
	}{
		{"https://auth.example.com", "/token", "https://auth.example.com", "/token", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"},
		{"https://auth.example.com/", "/token", "https://auth.example.com", "/token", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"},
		{"https://auth.example.com/a", "/token", "https://auth.example.com/a", "/a/token", "/a/.well-known/jwks.json", "/.well-known/oauth-authorization-server/a"},
		{"https://auth.example.com/a/", "/token", "https://auth.example.com/a", "/a/token", "/a/.well-known/jwks.json", "/.well-known/oauth-authorization-server/a"},
		{"https://auth.example.com/a/b", "/oauth/token", "https://auth.example.com/a/b", "/a/b/oauth/token", "/a/b/.well-known/jwks.json", "/.well-known/oauth-authorization-server/a/b"},
		{"https://auth.example.com/a%20b", "/token", "https://auth.example.com/a%20b", "/a%20b/token", "/a%20b/.well-known/jwks.json", "/.well-known/oauth-authorization-server/a%20b"},
		{"https://auth.example.com/a%2Fb", "/token", "https://auth.example.com/a%2Fb", "/a%2Fb/token", "/a%2Fb/.well-known/jwks.json", "/.well-known/oauth-authorization-server/a%2Fb"},
		{"https://auth.example.com/a(b)", "/token", "https://auth.example.com/a(b)", "/a(b)/token", "/a(b)/.well-known/jwks.json", "/.well-known/oauth-authorization-server/a(b)"},
		{"http://127.0.0.1:8080", "/token", "http://127.0.0.1:8080", "/token", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"},
	} {
		t.Run(tt.issuer, func(t *testing.T) {
			s := newService(t, Config{Issuer: tt.issuer, TokenPath: tt.tokenPath})
			want := fmt.Sprintf(`{"issuer":%q,"token_endpoint":"%s%s","jwks_uri":"%s/.well-known/jwks.json","response_types_supported":[],`+
				`"grant_types_supported":["client_credentials"],"token_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post","private_key_jwt"],"token_endpoint_auth_signing_alg_values_supported":[`+algs+`],`+
				`"revocation_endpoint":"%s/revoke","revocation_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post","private_key_jwt"],"revocation_endpoint_auth_signing_alg_values_supported":[`+algs+`],`+
				`"introspection_endpoint":"%s/introspect","introspection_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post","private_key_jwt"],"introspection_endpoint_auth_signing_alg_values_supported":[`+algs+`]}`,
				tt.issuer, tt.base, tt.tokenPath, tt.base, tt.base, tt.base)
			header := http.Header{
				"Access-Control-Allow-Origin": {"*"},
				"Cache-Control":               {"public, max-age=3600"},
				"Content-Length":              {strconv.Itoa(len(want))},
				"Content-Type":                {"application/json"},
			}
			for method, body := range map[string]string{"GET": want, "HEAD": ""} {
				w := s.get(method, tt.wellAt)
				if got := w.Body.String(); w.Code != 200 || got != body {
					t.Errorf("%s: status %d, body %s, want %s", method, w.Code, got, body)
				}
				if !maps.EqualFunc(w.Header(), header, slices.Equal) {
					t.Errorf("%s: headers %v, want %v", method, w.Header(), header)
				}
			}
			if w := s.get("POST", tt.wellAt); w.Code != 405 {
				t.Errorf("POST: status %d", w.Code)
			}
			if w := s.get("GET", tt.keys); w.Code != 200 {
				t.Errorf("keys: status %d", w.Code)
			}
			r := httptest.NewRequest("POST", tt.token, strings.NewReader(appForm))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if got := s.wantToken(t, s.send(r)).claims.Issuer; got != tt.issuer {
				t.Errorf("iss %q", got)
			}
			under := strings.TrimSuffix(tt.keys, "/.well-known/jwks.json")
			for path, status := range map[string]int{under + "/revoke": 200, under + "/introspect": 200} {
				r := httptest.NewRequest("POST", path, strings.NewReader(appForm+"&token=x"))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				s.wantStatus(t, s.send(r), status)
			}
			mounted := strings.ReplaceAll(strings.Join([]string{tt.keys, tt.token, tt.wellAt, under + "/revoke", under + "/introspect", under + metadataPath}, "\n"), "%20", " ")
			for _, route := range s.app.Routes() {
				if !slices.Contains(strings.Split(mounted, "\n"), route.Path) {
					t.Errorf("there is a route %s", route.Path)
				}
			}
		})
	}
}

// The document lists the configured resources and scopes, sorted and without duplicates.
func TestMetadataResources(t *testing.T) {
	s := newService(t, Config{Resources: map[string][]string{
		ordersAPI: {"orders:write", "orders:read", "all"}, billingAPI: {"bills:read", "all"},
	}})
	want := `{"issuer":"` + testIssuer + `","token_endpoint":"` + testIssuer + `/token","jwks_uri":"` + testIssuer + `/.well-known/jwks.json",` +
		`"scopes_supported":["all","bills:read","orders:read","orders:write"],"response_types_supported":[],` +
		`"grant_types_supported":["client_credentials"],"token_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post","private_key_jwt"],"token_endpoint_auth_signing_alg_values_supported":[` + algs + `],` +
		`"revocation_endpoint":"` + testIssuer + `/revoke","revocation_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post","private_key_jwt"],"revocation_endpoint_auth_signing_alg_values_supported":[` + algs + `],` +
		`"introspection_endpoint":"` + testIssuer + `/introspect","introspection_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post","private_key_jwt"],"introspection_endpoint_auth_signing_alg_values_supported":[` + algs + `],` +
		`"protected_resources":["` + billingAPI + `","` + ordersAPI + `"]}`
	if got := s.get("GET", "/.well-known/oauth-authorization-server").Body.String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestJWKS(t *testing.T) {
	s := newService(t, Config{})
	const path = "/.well-known/jwks.json"
	w := s.get("GET", path)
	tag := w.Header().Get("ETag")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/jwk-set+json" || !strings.HasPrefix(w.Body.String(), `{"keys":[{`) || len(tag) < 10 {
		t.Errorf("status %d, headers %v, body %s", w.Code, w.Header(), w.Body)
	}
	if strings.Contains(w.Body.String(), `"d"`) {
		t.Error("a private key is published")
	}
	if head := s.get("HEAD", path); head.Code != 200 || head.Body.Len() != 0 || !maps.EqualFunc(head.Header(), w.Header(), slices.Equal) {
		t.Errorf("HEAD: status %d, headers %v, %d bytes", head.Code, head.Header(), head.Body.Len())
	}
	if same := s.get("GET", path, "If-None-Match", tag); same.Code != 304 || same.Body.Len() != 0 || same.Header().Get("ETag") != tag {
		t.Errorf("If-None-Match: status %d, headers %v", same.Code, same.Header())
	}
	if other := s.get("GET", path, "If-None-Match", `"x"`); other.Code != 200 {
		t.Errorf("If-None-Match of another: status %d", other.Code)
	}
	if w := s.get("POST", path); w.Code != 405 {
		t.Errorf("POST: status %d", w.Code)
	}
}

// The handlers work at any path, and write every answer themselves: the app's error
// handler is not called.
func TestHandlers(t *testing.T) {
	s := newService(t, Config{})
	e := echo.New()
	e.HTTPErrorHandler = func(err error, _ echo.Context) { t.Errorf("the error handler is called with %v", err) }
	e.POST("/x/token", echo.WrapHandler(s.issuer.TokenHandler()))
	e.GET("/x/keys", echo.WrapHandler(s.issuer.JWKSHandler()))
	e.GET("/x/metadata", echo.WrapHandler(s.issuer.MetadataHandler()))
	e.POST("/x/revoke", echo.WrapHandler(s.issuer.RevocationHandler()))
	e.POST("/x/introspect", echo.WrapHandler(s.issuer.IntrospectionHandler()))
	for path, status := range map[string]int{"/x/keys": 200, "/x/metadata": 200} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest("GET", path, http.NoBody))
		if w.Code != status {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	for body, status := range map[string]int{appForm: 200, "": 400, appForm + "x": 401} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", "/x/token", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		e.ServeHTTP(w, r)
		if w.Code != status {
			t.Errorf("%q: status %d", body, w.Code)
		}
	}
	for _, path := range []string{"/x/revoke", "/x/introspect"} {
		for body, status := range map[string]int{appForm + "&token=x": 200, "": 400, appForm + "x&token=x": 401} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest("POST", path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			e.ServeHTTP(w, r)
			if w.Code != status {
				t.Errorf("%s %q: status %d", path, body, w.Code)
			}
		}
	}
}
