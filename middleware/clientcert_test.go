package middleware

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// newCertificate is a self-signed client certificate with its key.
func newCertificate(tb testing.TB) tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app1"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func withCertificate(r *http.Request, certificate *x509.Certificate) {
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
}

// clientCert is the header of RFC 9440.
func clientCert(certificate *x509.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(certificate.Raw) + ":"
}

// overTLS is a server that asks for any client certificate, as the application decides.
func overTLS(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// clientOf is a client of the server with these certificates.
func clientOf(t *testing.T, server *httptest.Server, version uint16, certificates ...tls.Certificate) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
		RootCAs: roots, Certificates: certificates, MinVersion: version, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(8),
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// sendTo is one request with these headers. It returns the status.
func sendTo(t *testing.T, client *http.Client, target string, header http.Header) (status int, answer http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	w, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	_, _ = io.Copy(io.Discard, w.Body)
	return w.StatusCode, w.Header
}

// Over TLS 1.2 and 1.3, on new and on resumed connections, the certificate decides.
func TestCertificateBoundTokenOverTLS(t *testing.T) {
	keys := newKeyring(t, ecKey)
	mine, other := newCertificate(t), newCertificate(t)
	a := newAPI(t, Config{Keys: keys, ClientCertificates: &ClientCertificates{}, RequireBound: true})
	server := overTLS(t, a)
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	token := sign(t, keys, payload(bindTo(x5tOf(mine.Leaf))))
	stolen := bearer(token)
	stolen["Client-Cert"] = []string{clientCert(mine.Leaf)} // anyone can write it
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		good := clientOf(t, server, version, mine)
		for range 3 {
			if status, _ := sendTo(t, good, server.URL, bearer(token)); status != http.StatusOK {
				t.Errorf("the client itself: status %d: %s", status, a.cause())
			}
			good.CloseIdleConnections() // the next connection resumes the session
		}
		if status, _ := sendTo(t, good, server.URL, stolen); status != http.StatusOK {
			t.Errorf("the client itself, with a header that does not count: status %d: %s", status, a.cause())
		}
		if status, _ := sendTo(t, good, server.URL, bearer(goodToken(t, keys))); status != http.StatusUnauthorized {
			t.Errorf("a plain token: status %d", status)
		}
		for name, client := range map[string]*http.Client{"no certificate": clientOf(t, server, version), "another certificate": clientOf(t, server, version, other)} {
			for kind, header := range map[string]http.Header{"token": bearer(token), "token and Client-Cert": stolen} {
				status, answer := sendTo(t, client, server.URL, header)
				if e := a.events[len(a.events)-1]; status != http.StatusUnauthorized || e.Reason != event.SenderConstrained || e.ClientID != "app1" || answer.Get("WWW-Authenticate") == "" {
					t.Errorf("%s: %s: status %d, %+v", name, kind, status, e)
				}
			}
		}
	}
}

// The header counts if it comes from a trusted proxy, and only then. What the proxy itself
// has for a certificate never counts.
func TestClientCertHeader(t *testing.T) {
	keys := newKeyring(t, ecKey)
	mine, other := newCertificate(t).Leaf, newCertificate(t).Leaf
	a := newAPI(t, Config{Keys: keys, ClientCertificates: &ClientCertificates{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::7/128")}}})
	token := "Bearer " + sign(t, keys, payload(bindTo(x5tOf(mine))))
	good, wrong := clientCert(mine), clientCert(other)
	for _, tt := range []struct {
		name, remote string
		header       []string
		connection   *x509.Certificate
		status       int
	}{
		{"from the proxy", "10.1.2.3:4000", []string{good}, nil, 200},
		{"from the proxy, which has a certificate of its own", "10.1.2.3:4000", []string{good}, other, 200},
		{"from the proxy by IPv6", "[fd00::7]:4000", []string{good}, nil, 200},
		{"from the proxy by IPv4 in IPv6", "[::ffff:10.1.2.3]:4000", []string{good}, nil, 200},
		{"another client's, from the proxy", "10.1.2.3:4000", []string{wrong}, nil, 401},
		{"the token is bound to the proxy's certificate", "10.1.2.3:4000", nil, mine, 401},
		{"the same, and another client's", "10.1.2.3:4000", []string{wrong}, mine, 401},
		{"the proxy passed the client's own header on", "10.1.2.3:4000", []string{good, wrong}, nil, 401},
		{"the same, first", "10.1.2.3:4000", []string{wrong, good}, nil, 401},
		{"the same, joined", "10.1.2.3:4000", []string{good + ", " + wrong}, nil, 401},
		{"an empty header beside", "10.1.2.3:4000", []string{"", good}, nil, 401},
		{"empty", "10.1.2.3:4000", []string{""}, nil, 401},
		{"no base64", "10.1.2.3:4000", []string{":%:"}, nil, 401},
		{"PEM in a URL, as another header has it", "10.1.2.3:4000", []string{"-----BEGIN%20CERTIFICATE-----"}, nil, 401},
		{"parameters", "10.1.2.3:4000", []string{good + ";a"}, nil, 401},
		{"from another address", "10.2.0.1:4000", []string{good}, nil, 401},
		{"from another address, with a certificate", "10.2.0.1:4000", []string{good}, other, 401},
		{"from another address, with the right certificate", "10.2.0.1:4000", []string{wrong}, mine, 200},
		{"an address without a port, as a header gives it", "10.1.2.3", []string{good}, nil, 401},
		{"a list of addresses", "10.1.2.3, 10.2.0.1:4000", []string{good}, nil, 401},
		{"a socket", "@", []string{good}, nil, 401},
		{"none", "", []string{good}, nil, 401},
	} {
		r := request("GET", "/", token)
		r.RemoteAddr = tt.remote
		if r.Header["Client-Cert"] = tt.header; tt.connection != nil {
			withCertificate(r, tt.connection)
		}
		a.wantStatus(t, tt.name, r, tt.status)
	}
	r := request("GET", "/", token)
	r.RemoteAddr, r.Header["Client-Cert"] = "10.2.0.1:4000", []string{good}
	a.wantRefused(t, "from another address", r, codeInvalidToken, event.SenderConstrained)
	if !strings.Contains(a.cause(), "TrustedProxies") {
		t.Errorf("the event does not say why the header does not count: %s", a.cause())
	}
}

// A proxy ends TLS, and replaces the header of the client with its own.
func TestCertificateBehindAProxy(t *testing.T) {
	keys := newKeyring(t, ecKey)
	mine, other := newCertificate(t), newCertificate(t)
	a := newAPI(t, Config{Keys: keys, RequireBound: true, ClientCertificates: &ClientCertificates{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}})
	behind := httptest.NewServer(a)
	defer behind.Close()
	target, err := url.Parse(behind.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	proxy := overTLS(t, &httputil.ReverseProxy{Transport: transport, ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(target)
		p.Out.Header.Del("Client-Cert")
		if certificates := p.In.TLS.PeerCertificates; len(certificates) > 0 {
			p.Out.Header.Set("Client-Cert", clientCert(certificates[0]))
		}
	}})
	header := http.Header{"Authorization": {"Bearer " + sign(t, keys, payload(bindTo(x5tOf(mine.Leaf))))}, "Client-Cert": {clientCert(mine.Leaf)}}
	for name, want := range map[string]int{"mine": 200, "other": 401, "none": 401} {
		client := clientOf(t, proxy, tls.VersionTLS13, map[string][]tls.Certificate{"mine": {mine}, "other": {other}}[name]...)
		if status, _ := sendTo(t, client, proxy.URL, header); status != want {
			t.Errorf("%s: status %d, want %d: %s", name, status, want, a.cause())
		}
	}
}
