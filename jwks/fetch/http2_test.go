package fetch

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// An issuer that speaks nothing but HTTP/2, and one that has never heard of it.
func TestClientSpeaksHTTP2(t *testing.T) {
	for _, protocol := range []string{"h2", "http/1.1"} {
		var served string
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			served = r.Proto
			w.Header().Set("ETag", `"1"`)
			_, _ = io.WriteString(w, "{}")
		}))
		server.EnableHTTP2 = protocol == "h2"
		server.TLS = &tls.Config{NextProtos: []string{protocol}}
		server.StartTLS()
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		transport := newTransport(&net.Dialer{}, nil)
		transport.Proxy = nil // whatever the environment of the test is
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
		c := NewClient(&http.Client{Transport: transport}, false)
		for range 2 {
			doc, err := c.Get(t.Context(), Request{URL: server.URL})
			if err != nil || string(doc.Body) != "{}" || doc.ETag != `"1"` {
				t.Fatalf("%s: %v", protocol, err)
			}
		}
		if want := map[string]string{"h2": "HTTP/2.0", "http/1.1": "HTTP/1.1"}[protocol]; served != want {
			t.Errorf("%s: served by %s", protocol, served)
		}
		server.Close() // blocks until all connections have ended
	}
}

// The guard is in the dialer, so HTTP/2 does not get round it.
func TestHTTP2IsGuarded(t *testing.T) {
	transport := newTransport(&net.Dialer{}, nil)
	transport.Proxy = nil
	request := httptest.NewRequest(http.MethodGet, "https://169.254.169.254/", http.NoBody)
	request.RequestURI = ""
	res, err := transport.RoundTrip(request)
	if err == nil {
		_ = res.Body.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "no issuer can be at") {
		t.Errorf("%v", err)
	}
}
