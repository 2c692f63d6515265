package fetch

import (
	"errors"
	"net/http"
	"testing"
)

// recorder is a transport that records which requests have a token.
type recorder struct {
	answers map[string]answer // by URL
	tokens  map[string]string
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.tokens == nil {
		r.tokens = map[string]string{}
	}
	r.tokens[req.URL.String()] = req.Header.Get("Authorization")
	a := r.answers[req.URL.String()]
	if a.status == 0 {
		a.status = 404
	}
	return a.RoundTrip(req)
}

// The token goes to its origin, and to no other, whatever a document or a redirect says.
func TestBearerOfOneOrigin(t *testing.T) {
	const origin = "https://cluster.example.com"
	r := &recorder{answers: map[string]answer{
		origin + "/a": {status: 302, header: headers("Location", "/b")},
		origin + "/b": {status: 200, body: "b"},
		origin + "/c": {status: 302, header: headers("Location", "https://other.example.com/c")},
	}}
	token := "one"
	c, err := NewClient(&http.Client{Transport: r}, true).WithBearer(origin+"/some/path", func() (string, error) { return token, nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ url, want string }{
		{origin + "/x", "Bearer one"},
		{"https://CLUSTER.example.com:443/x", "Bearer one"},
		{origin + "/a", "Bearer one"},
		{origin + ":444/x", ""},
		{"http://cluster.example.com/x", ""},
		{"https://cluster.example.com.attacker.example/x", ""},
		{"https://other.example.com/x", ""},
	} {
		_, _ = c.Get(t.Context(), Request{URL: tt.url})
		if got, asked := r.tokens[tt.url]; !asked || got != tt.want {
			t.Errorf("%s got the token %q (asked: %v), want %q", tt.url, got, asked, tt.want)
		}
	}
	if got := r.tokens[origin+"/b"]; got != "Bearer one" {
		t.Errorf("a redirect on the origin got %q", got)
	}
	if _, err := c.Get(t.Context(), Request{URL: origin + "/c"}); err == nil {
		t.Error("a redirect to another host is followed")
	}
	if got, asked := r.tokens["https://other.example.com/c"]; asked {
		t.Errorf("a redirect led to another host, with %q", got)
	}
	token = "two" // it is asked for each time
	if _, _ = c.Get(t.Context(), Request{URL: origin + "/x"}); r.tokens[origin+"/x"] != "Bearer two" {
		t.Errorf("the token is %q", r.tokens[origin+"/x"])
	}
}

// Metadata is fetched with the token too.
func TestBearerForMetadata(t *testing.T) {
	const origin = "https://cluster.example.com"
	r := &recorder{answers: map[string]answer{
		origin + "/.well-known/openid-configuration": {status: 200, body: `{"issuer":"` + origin + `","jwks_uri":"https://10.0.0.1:6443/keys"}`},
	}}
	c, err := NewClient(&http.Client{Transport: r}, false).WithBearer(origin, func() (string, error) { return "one", nil })
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Metadata(t.Context(), origin, "jwks_uri")
	if err != nil {
		t.Fatal(err)
	}
	if got := r.tokens[origin+"/.well-known/openid-configuration"]; got != "Bearer one" {
		t.Errorf("the metadata was asked for with %q", got)
	}
	at, err := m.Endpoint("jwks_uri")
	if err != nil {
		t.Fatal(err)
	}
	if _, _ = c.Get(t.Context(), Request{URL: at}); r.tokens[at] != "" {
		t.Errorf("the keys elsewhere were asked for with %q", r.tokens[at])
	}
}

func TestBearerRefused(t *testing.T) {
	give := func() (string, error) { return "secret", nil }
	for _, to := range []string{"", "cluster", "http://cluster.example.com", "https://169.254.169.254"} {
		if _, err := NewClient(nil, true).WithBearer(to, give); err == nil {
			t.Errorf("%q is accepted", to)
		}
	}
	for _, to := range []string{"http://127.0.0.1:8080", "http://localhost", "https://cluster.example.com"} {
		if _, err := NewClient(nil, false).WithBearer(to, give); err != nil {
			t.Errorf("%q: %v", to, err)
		}
	}
	if _, err := (*Client)(nil).WithBearer("https://cluster.example.com", give); err == nil {
		t.Error("a nil Client has a token")
	}
	broken := errors.New("broken")
	r := &recorder{}
	c, err := NewClient(&http.Client{Transport: r}, false).WithBearer("https://cluster.example.com", func() (string, error) { return "", broken })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), Request{URL: "https://cluster.example.com/x"}); !errors.Is(err, broken) || len(r.tokens) > 0 {
		t.Errorf("without a token: %v, %d requests", err, len(r.tokens))
	}
}
