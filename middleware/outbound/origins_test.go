package outbound

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A host that net/http would map to another name gets no token: the capital I with a dot
// is not an i, whatever a lower-case func makes of it.
func TestNoTokenForHostsThatAreNotASCII(t *testing.T) {
	t.Parallel()
	s, err := New(Config{TokenURL: "https://auth.example.com/token", ClientID: "c", Secret: Secret("s"), Resources: []string{"https://api.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sent := errors.New("sent")
	client := &http.Client{Transport: s.Transport(roundTrip(func(*http.Request) (*http.Response, error) { return nil, sent }))}
	for _, to := range []string{"https://ap\u0130.example.com/", "https://ap%C4%B0.example.com/", "https://api.example.com\u3002/", "https://\uff41pi.example.com/"} {
		if _, err := client.Get(to); err == nil || errors.Is(err, sent) || !strings.Contains(err.Error(), "no token is sent") {
			t.Errorf("%q: %v", to, err)
		}
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		if all := s.want.origins; all.allowHost(u) {
			t.Errorf("gRPC: a token for %q", to)
		}
	}
	if _, err := New(Config{TokenURL: "https://auth.example.com/token", ClientID: "c", Secret: Secret("s"), Origins: []string{"https://ap\u0131.example.com"}}); err == nil {
		t.Error("an origin that is not ASCII was taken")
	}
}

// With one https origin gRPC asks for TLS, though http is allowed.
func TestTLSForHTTPSOrigins(t *testing.T) {
	t.Parallel()
	for want, origins := range map[bool][]string{true: {"http://api.example.com", "https://api.example.com"}, false: {"http://api.example.com"}} {
		s, err := New(Config{TokenURL: "http://auth.example.com/token", ClientID: "c", Secret: Secret("s"), InsecureHTTP: true, Origins: origins})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.PerRPC().RequireTransportSecurity(); got != want {
			t.Errorf("%v: RequireTransportSecurity is %v", origins, got)
		}
		_ = s.Close()
	}
}
