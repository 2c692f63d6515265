package outbound

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

func TestInside(t *testing.T) {
	for text, want := range map[string]bool{
		"127.0.0.1": true, "::1": true, "10.1.2.3": true, "172.16.0.1": true, "192.168.0.1": true, "fd12::1": true, "100.64.0.1": true,
		"::ffff:10.0.0.1": true, "64:ff9b::a00:1": true, "2002:a00:1::": true, "fd12::1%eth0": true,
		"8.8.8.8": false, "2001:4860:4860::8888": false, "172.32.0.1": false, "100.128.0.1": false, "64:ff9b::808:808": false,
	} {
		if got := inside(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if inside(netip.Addr{}) {
		t.Error("no address is inside")
	}
}

// A name that resolves to an address of cloud metadata gets no token request, wherever the
// endpoint was named.
func TestTokenRequestsAreGuarded(t *testing.T) {
	for _, address := range []string{"169.254.169.254", "[fe80::1]", "0.0.0.0", "[64:ff9b::a9fe:a9fe]"} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+"/token", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []*discovery{{}, {issuer: "https://auth.example.com"}} { // as a name would be, after it is resolved
			if res, err := testGuard(d).RoundTrip(r); err == nil || !strings.Contains(err.Error(), "no issuer can be at") {
				t.Errorf("%s: %v, %v", address, res, err)
			}
		}
	}
}

// metadataOf is a transport that serves the metadata of an issuer on no connection, as one
// outside the network.
func metadataOf(issuer, endpoint string) http.RoundTripper {
	return roundTrip(func(*http.Request) (*http.Response, error) {
		return answerOf(200, fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q}`, issuer, endpoint)), nil
	})
}

// A token endpoint inside the network counts if the operator named it, or if the issuer is
// inside too.
func TestEndpointsInside(t *testing.T) {
	var issuer, endpoint string
	requests := 0
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "well-known") {
			fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q}`, issuer, endpoint)
			return
		}
		requests++
		fmt.Fprint(w, `{"access_token":"t","token_type":"Bearer","expires_in":60}`)
	}))
	defer web.Close()
	u, err := url.Parse(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	other := "http://localhost:" + u.Port() + "/token"
	for name, test := range map[string]struct {
		issuer, endpoint string
		outside          bool // the issuer
		change           func(c *Config)
		granted          bool
	}{
		"named":                        {"", web.URL + "/token", false, nil, true},
		"inside, of an issuer inside":  {web.URL, other, false, nil, true},
		"on the same host":             {web.URL, web.URL + "/token", false, nil, true},
		"inside, of an issuer outside": {"http://auth.example.com", web.URL + "/token", true, nil, false},
		"a name of it":                 {"http://auth.example.com", other, true, nil, false},
		"the issuer's own host":        {"http://127.0.0.1:1", web.URL + "/token", true, nil, true},
		"with a transport of the app's own": {"http://auth.example.com", web.URL + "/token", true,
			func(c *Config) { c.HTTP = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} }, true},
	} {
		issuer, endpoint, requests = test.issuer, test.endpoint, 0
		c := Config{Issuer: test.issuer, ClientID: "client", Secret: Secret(testSecret), Resources: []string{testAPI}, InsecureHTTP: true, Quiet: true}
		if test.issuer == "" {
			c.TokenURL = test.endpoint
		}
		if test.change != nil {
			test.change(&c)
		}
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		if test.outside {
			s.family.fetcher.discovery.client = fetch.NewClient(&http.Client{Transport: metadataOf(test.issuer, test.endpoint)}, true)
		}
		_, err = firstError(t.Context(), s)
		if (err == nil) != test.granted || (requests > 0) != test.granted || err != nil && !strings.Contains(err.Error(), "set Config.TokenURL") {
			t.Errorf("%s: %v after %d requests", name, err, requests)
		}
		s.Close()
	}
}

// peer is a connection to an address.
type peer struct {
	net.Conn
	at net.Addr
}

func (p peer) RemoteAddr() net.Addr { return p.at }

// An issuer is inside the network if all connections to it are.
func TestAllPeersInside(t *testing.T) {
	within, without := net.IPv4(10, 0, 0, 1), net.IPv4(203, 0, 113, 1)
	for _, test := range []struct {
		peers []net.IP
		want  bool
	}{
		{nil, false}, {[]net.IP{within}, true}, {[]net.IP{without}, false}, {[]net.IP{within, within}, true},
		{[]net.IP{within, without}, false}, {[]net.IP{without, within}, false},
	} {
		ctx, allInside := withPeers(t.Context())
		for _, ip := range test.peers {
			httptrace.ContextClientTrace(ctx).GotConn(httptrace.GotConnInfo{Conn: peer{at: &net.TCPAddr{IP: ip, Port: 443}}})
		}
		if got := allInside(); got != test.want {
			t.Errorf("%v: %v", test.peers, got)
		}
	}
}

func testGuard(d *discovery) *endpointGuard {
	anywhere, outside := guarded(d)
	return &endpointGuard{d, anywhere, outside}
}
