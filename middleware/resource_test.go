package middleware

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// The document is where RFC 9728, section 3.1, says, for each form of the identifier.
func TestResourcePath(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	for identifier, want := range map[string]string{
		"https://api.example.com":          "https://api.example.com/.well-known/oauth-protected-resource",
		"https://api.example.com/":         "https://api.example.com/.well-known/oauth-protected-resource",
		"https://api.example.com/v1":       "https://api.example.com/.well-known/oauth-protected-resource/v1",
		"https://api.example.com/v1/":      "https://api.example.com/.well-known/oauth-protected-resource/v1/",
		"https://api.example.com:8443/a/b": "https://api.example.com:8443/.well-known/oauth-protected-resource/a/b",
		"http://127.0.0.1:8080/v1":         "http://127.0.0.1:8080/.well-known/oauth-protected-resource/v1",
	} {
		a := newAPI(t, Config{Keys: keys, Resource: &Resource{URL: identifier}})
		path, h := a.auth.ResourceMetadata()
		if !strings.HasSuffix(want, path) {
			t.Errorf("%s: the path is %s", identifier, path)
		}
		mux := http.NewServeMux()
		mux.Handle(a.auth.ResourceMetadata())
		inEcho := echo.New()
		a.auth.Mount(inEcho)
		for name, served := range map[string]http.Handler{"itself": h, "ServeMux": mux, "Echo": inEcho} {
			w := ask(served, http.MethodGet, path)
			var document map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &document); w.Code != http.StatusOK || err != nil || document["resource"] != identifier {
				t.Errorf("%s: %s: %d %s", identifier, name, w.Code, w.Body)
			}
			if w := ask(served, http.MethodGet, path+"x"); w.Code != http.StatusNotFound {
				t.Errorf("%s: %s: another path: %d", identifier, name, w.Code)
			}
			if w := ask(served, http.MethodPost, path); w.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s: %s: POST: %d", identifier, name, w.Code)
			}
			if w := ask(served, http.MethodHead, path); w.Code != http.StatusOK || w.Body.Len() > 0 {
				t.Errorf("%s: %s: HEAD: %d", identifier, name, w.Code)
			}
		}
		if got := a.get("/").Header().Get("WWW-Authenticate"); got != `Bearer resource_metadata="`+want+`"` {
			t.Errorf("%s: the challenge is %s", identifier, got)
		}
	}
}

// Every challenge names the document.
func TestResourceInChallenges(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys, Realm: `a"b`, Resource: &Resource{}, DPoP: &DPoP{BaseURL: testAudience}}, "admin")
	const named = `resource_metadata="` + testAudience + `/.well-known/oauth-protected-resource"`
	for name, authorization := range map[string][]string{
		"none": nil, "invalid": {"Bearer x"}, "without the scope": {"Bearer " + goodToken(t, keys)}, "two": {"Bearer a", "Bearer b"}, "DPoP": {"DPoP x"},
	} {
		list := a.get("/", authorization...).Header().Values("WWW-Authenticate")
		if len(list) == 0 || slices.ContainsFunc(list, func(c string) bool { return strings.Count(c, named) != 1 || !strings.Contains(c, ` realm="a\"b", `) }) {
			t.Errorf("%s: %q", name, list)
		}
	}
}

func TestResourceDocument(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	config := func(issuer string) Config {
		return Config{Issuer: issuer, Audience: testAudience, Keys: keys, DPoP: &DPoP{BaseURL: testAudience}, RequireBound: true, Resource: &Resource{
			Scopes: []string{"orders:read", "orders:write"}, Name: "Orders", Documentation: "https://docs.example.com", Policy: "https://example.com/policy", TermsOfService: "https://example.com/terms",
		}}
	}
	a, b := newAPI(t, config(issuerA)).auth, newAPI(t, config(issuerB)).auth
	both, err := Any(a, b)
	if err != nil {
		t.Fatal(err)
	}
	_, h := both.ResourceMetadata()
	const want = `{"resource":"https://api.example.com","authorization_servers":["https://a.example.com","https://b.example.com"],"scopes_supported":["orders:read","orders:write"],` +
		`"bearer_methods_supported":["header"],"resource_name":"Orders","resource_documentation":"https://docs.example.com","resource_policy_uri":"https://example.com/policy","resource_tos_uri":"https://example.com/terms",` +
		`"dpop_signing_alg_values_supported":["ES256","EdDSA","Ed25519","PS256"],"dpop_bound_access_tokens_required":true}`
	if w := ask(h, http.MethodGet, wellKnown); w.Body.String() != want || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("got  %s\nwant %s", w.Body, want)
	}
}

func TestResourceRefuses(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	for _, wrong := range []Resource{
		{URL: "orders"}, {URL: "https://"}, {URL: "http://api.example.com"}, {URL: "ftp://api.example.com"}, {URL: "https://u:p@api.example.com"}, {URL: "https://api.example.com?x"},
		{URL: "https://api.example.com/?"}, {URL: "https://api.example.com#"}, {URL: "https://api.example.com//"}, {URL: "https://api.example.com/a//b"}, {URL: "https://api.example.com/../a"},
		{URL: "https://api.example.com/{a}"}, {URL: "https://api.example.com/:a"}, {URL: "https://api.example.com/*"}, {URL: "https://api.example.com/%61"}, {URL: "https://api.example.com/\r\n"},
		{Scopes: []string{"a b"}}, {Documentation: "readme"}, {Policy: "javascript:alert(1)"}, {TermsOfService: "/x"},
	} {
		if b, err := New(Config{Issuer: testIssuer, Audience: testAudience, Keys: keys, Resource: &wrong}); err == nil || b != nil || !strings.Contains(err.Error(), "Config.Resource.") {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	if _, err := New(Config{Issuer: testIssuer, Audience: "orders", Keys: keys, Resource: &Resource{}}); err == nil {
		t.Error("an audience that is no URL is published")
	}
	without := newAPI(t, Config{Keys: keys}).auth
	for _, b := range []*Bearer{nil, {}, without} {
		path, h := b.ResourceMetadata()
		if w := ask(h, http.MethodGet, path); w.Code != http.StatusNotFound {
			t.Errorf("without metadata: %d", w.Code)
		}
		e := echo.New()
		if b.Mount(e); len(e.Routes()) > 0 {
			t.Error("a route without metadata")
		}
	}
	without.Mount(nil)
}
