package fetch

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
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
		{"below the issuer's path", "https://a.example/t/1", map[string]string{
			"https://a.example/t/1" + oauth: `{"issuer":"https://a.example/t/1"}`,
		}, nil, "https://a.example/t/1" + oauth, ""},
		{"with a byte order mark", "https://a.example", map[string]string{"https://a.example" + oauth: "\ufeff" + full}, nil, "https://a.example" + oauth, ""},
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
		"token_endpoint":"http://127.0.0.1/token","revocation_endpoint":["https://a.example/revoke"],"introspection_endpoint":"https://169.254.169.254/","scopes_supported":["a","b"],
		"long":"https://a.example/%zz` + strings.Repeat("x", maxURL) + `"}`}}
	m, err := NewClient(&http.Client{Transport: s}, true).Metadata(t.Context(), "https://a.example")
	if err != nil {
		t.Fatal(err)
	}
	if uri, err := m.Endpoint("jwks_uri"); uri != "https://keys.example/set" || err != nil {
		t.Errorf("%q, %v", uri, err)
	}
	for name, says := range map[string]string{"token_endpoint": "not https", "revocation_endpoint": "no revocation_endpoint", "introspection_endpoint": "no issuer can be at", "other": "no other", "long": "more than 8192 bytes"} {
		if uri, err := m.Endpoint(name); uri != "" || err == nil || len(err.Error()) > 300 || !strings.Contains(err.Error(), says) {
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

// slow answers at each address after so long, and never where nothing is said.
type slow struct {
	after map[string]time.Duration
	began time.Time
	mu    sync.Mutex
	asked map[string]time.Duration // when
}

func (s *slow) RoundTrip(req *http.Request) (*http.Response, error) {
	address := req.URL.String()
	s.mu.Lock()
	s.asked[address] = time.Since(s.began)
	s.mu.Unlock()
	wait, ok := s.after[address]
	if !ok {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	select {
	case <-time.After(wait):
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	w := httptest.NewRecorder()
	_, _ = w.WriteString(`{"issuer":"https://a.example/t"}`)
	res := w.Result()
	res.Request = req
	return res, nil
}

// An address that hangs leaves time for the next one. One that is only slow still
// counts: the next one is asked beside it.
func TestMetadataOfAddressesThatHang(t *testing.T) {
	const first, second = "https://a.example/.well-known/oauth-authorization-server/t", "https://a.example/t/.well-known/openid-configuration"
	const third = "https://a.example/t/.well-known/oauth-authorization-server"
	for _, tt := range []struct {
		after map[string]time.Duration
		takes time.Duration // 0: there is none
		asked int
	}{
		{map[string]time.Duration{first: time.Second}, time.Second, 1},
		{map[string]time.Duration{second: 0}, 2 * time.Second, 2},
		{map[string]time.Duration{third: 0}, 4 * time.Second, 3},
		{map[string]time.Duration{first: 7 * time.Second}, 7 * time.Second, 3},
		{map[string]time.Duration{first: 3 * time.Second, second: 4 * time.Second}, 3 * time.Second, 2},
		{nil, 0, 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &slow{after: tt.after, began: time.Now(), asked: map[string]time.Duration{}}
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			defer cancel()
			m, err := NewClient(&http.Client{Transport: s}, false).Metadata(ctx, "https://a.example/t")
			if took := time.Since(s.began); (err == nil) != (tt.takes > 0) || (m == nil) != (err != nil) || err == nil && took != tt.takes || err != nil && took != 8*time.Second {
				t.Errorf("%v: %v after %v", tt.after, err, took)
			}
			if len(s.asked) != tt.asked {
				t.Errorf("%v: asked %v", tt.after, s.asked)
			}
		})
	}
}
