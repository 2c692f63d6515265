package fetch

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// site is a transport that serves documents by URL and keeps a log.
type site struct {
	documents map[string]string
	log       []string
}

func (s *site) RoundTrip(req *http.Request) (*http.Response, error) {
	s.log = append(s.log, req.URL.String())
	w := httptest.NewRecorder()
	if body, ok := s.documents[req.URL.String()]; ok {
		_, _ = w.WriteString(body)
	} else {
		http.NotFound(w, req)
	}
	res := w.Result()
	res.Request = req
	return res, nil
}

func TestMetadata(t *testing.T) {
	const oauth, openid = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
	const full = `{"issuer":"https://a.example","jwks_uri":"https://keys.example/set","token_endpoint":"https://a.example/token",
		"introspection_endpoint":"https://a.example/introspect","revocation_endpoint":"https://a.example/revoke","registration_endpoint":"http://a.example/register"}`
	for _, tt := range []struct {
		name, issuer string
		documents    map[string]string
		needs        []string
		found        string // address, "" when there is none
		says         string
	}{
		{"RFC 8414", "https://a.example", map[string]string{"https://a.example" + oauth: full}, []string{"jwks_uri", "token_endpoint"}, "https://a.example" + oauth, ""},
		{"OpenID Connect", "https://a.example", map[string]string{"https://a.example" + openid: full}, []string{"token_endpoint"}, "https://a.example" + openid, ""},
		{"with a path", "https://a.example/t/1", map[string]string{
			"https://a.example" + oauth + "/t/1": `{"issuer":"https://a.example/t/1"}`,
		}, nil, "https://a.example" + oauth + "/t/1", ""},
		{"second because the first lacks an endpoint", "https://a.example", map[string]string{
			"https://a.example" + oauth: `{"issuer":"https://a.example"}`, "https://a.example" + openid: full,
		}, []string{"introspection_endpoint"}, "https://a.example" + openid, ""},
		{"nothing", "https://a.example", nil, nil, "", "answered 404"},
		{"another issuer", "https://a.example", map[string]string{"https://a.example" + oauth: `{"issuer":"https://b.example"}`}, nil, "", `issuer "https://b.example"`},
		{"another issuer by a slash", "https://a.example/", map[string]string{"https://a.example" + oauth: full}, nil, "", "not of"},
		{"issuer twice", "https://a.example", map[string]string{"https://a.example" + oauth: `{"issuer":"https://b.example","issuer":"https://a.example"}`}, nil, "", "not issuer metadata"},
		{"endpoint missing", "https://a.example", map[string]string{"https://a.example" + oauth: full}, []string{"userinfo_endpoint"}, "", "no userinfo_endpoint"},
		{"endpoint over http", "https://a.example", map[string]string{"https://a.example" + oauth: full}, []string{"registration_endpoint"}, "", "not https"},
		{"query", "https://a.example?b=c", nil, nil, "", "write it without"},
		{"http", "http://a.example", nil, nil, "", "InsecureHTTP"},
	} {
		s := &site{documents: tt.documents}
		m, err := NewClient(&http.Client{Transport: s}, false).Metadata(t.Context(), tt.issuer, tt.needs...)
		if tt.says != "" {
			if m != nil || err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %v, want an error that says %q", tt.name, err, tt.says)
			}
			continue
		}
		if err != nil || m.Issuer != tt.issuer || s.log[len(s.log)-1] != tt.found {
			t.Errorf("%s: %v, requests %q", tt.name, err, s.log)
		}
	}
}

func TestEndpoint(t *testing.T) {
	s := &site{documents: map[string]string{"https://a.example/.well-known/oauth-authorization-server": `{"issuer":"https://a.example","jwks_uri":"https://keys.example/set",
		"token_endpoint":"http://127.0.0.1/token","revocation_endpoint":["https://a.example/revoke"],"introspection_endpoint":"https://169.254.169.254/","scopes_supported":["a","b"]}`}}
	m, err := NewClient(&http.Client{Transport: s}, true).Metadata(t.Context(), "https://a.example")
	if err != nil {
		t.Fatal(err)
	}
	if uri, err := m.Endpoint("jwks_uri"); uri != "https://keys.example/set" || err != nil {
		t.Errorf("%q, %v", uri, err)
	}
	for name, says := range map[string]string{"token_endpoint": "not https", "revocation_endpoint": "no revocation_endpoint", "introspection_endpoint": "no issuer can be at", "other": "no other"} {
		if uri, err := m.Endpoint(name); uri != "" || err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %q, %v", name, uri, err)
		}
	}
	if scopes, _, err := m.Object.Strings("scopes_supported"); !slices.Equal(scopes, []string{"a", "b"}) || err != nil {
		t.Errorf("%q, %v", scopes, err)
	}
}

// The second address is not asked when the caller has gone.
func TestMetadataOfACallerThatLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &site{}
	if m, err := NewClient(&http.Client{Transport: s}, false).Metadata(ctx, "https://a.example"); m != nil || err == nil || len(s.log) > 1 {
		t.Errorf("%v, %q", err, s.log)
	}
}
