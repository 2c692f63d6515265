package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

func later() time.Time { return time.Now().Add(24 * time.Hour) }

// A client authenticates with its certificate. Tokens that are bound to it are sent over
// connections that show it, by HTTP/1.1 and HTTP/2.
func TestCertificate(t *testing.T) {
	for _, two := range []bool{false, true} {
		server, certificate := newStrict(t), newCertificate(t, later())
		server.know(certificate)
		base := server.transport()
		base.ForceAttemptHTTP2 = two
		s := server.source(func(c *Config) { c.Certificate, c.HTTP = Certificate(certificate), &http.Client{Transport: base} })
		wantCalls(t, s.Client(), server.URL+"/v1/orders", 2)
		wantCalls(t, &http.Client{Transport: s.Transport(base)}, server.URL+"/v1/orders", 2)
		wantCounts(t, server, map[string]int{"token": 1, "api": 4})
		res, err := s.Client().Get(server.URL + "/v1/orders")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if want := map[bool]int{false: 1, true: 2}[two]; res.ProtoMajor != want {
			t.Errorf("HTTP/%d, want %d", res.ProtoMajor, want)
		}
		if base.TLSClientConfig.GetClientCertificate != nil {
			t.Error("the transport of the app was changed")
		}
	}
}

// The certificate binds tokens of clients that authenticate in another way.
func TestCertificateBesideAnAssertion(t *testing.T) {
	server, key := newStrict(t), newKey(t, "ES256")
	server.trust("", key)
	server.demandProofs()
	s := server.source(func(c *Config) {
		c.Certificate, c.Assertion, c.DPoP = Certificate(newCertificate(t, later())), PrivateKeyJWT(key, "", ""), NewDPoPKey()
	})
	wantCalls(t, s.Client(), server.URL+"/v1/orders", 2)
	for text, bound := range server.granted {
		if bound.certificate == "" || bound.key == "" {
			t.Errorf("%s is bound to %+v", text, bound)
		}
	}
}

// Metadata may name another token endpoint for clients with certificates.
func TestMutualEndpoint(t *testing.T) {
	server, certificate, key := newStrict(t), newCertificate(t, later()), newKey(t, "ES256")
	server.alias = "/mtls/token"
	server.know(certificate)
	server.trust("", key)
	wantAny(t, server.source(func(c *Config) { c.Certificate = Certificate(certificate) }))
	wantAny(t, server.source(func(c *Config) { c.Assertion = PrivateKeyJWT(key, "", "") }))
	if got := strings.Join(server.paths, " "); got != "/mtls/token /token" {
		t.Errorf("the token endpoints were %s", got)
	}
}

// An issuer with http on the loopback has an https token endpoint for clients with
// certificates. Without it, no certificate could be shown, and nothing is sent.
func TestMutualEndpointOfAPlainIssuer(t *testing.T) {
	server, certificate := newStrict(t), newCertificate(t, later())
	server.know(certificate)
	for aliases, works := range map[string]bool{
		fmt.Sprintf(`,"mtls_endpoint_aliases":{"token_endpoint":%q}`, server.URL+"/mtls/token"): true,
		`,"mtls_endpoint_aliases":{"token_endpoint":"http://127.0.0.1:1/token"}`:                false,
		"": false,
	} {
		var asked atomic.Int32 // requests for tokens without a certificate
		var plain *httptest.Server
		plain = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				asked.Add(1)
			}
			fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q%s}`, plain.URL, plain.URL+"/token", aliases)
		}))
		t.Cleanup(plain.Close)
		fetched := make(chan error, 1) // of the first fetch; a call waits for more
		s := server.source(func(c *Config) {
			c.Issuer, c.Certificate = plain.URL, Certificate(certificate)
			c.Observe = func(_ context.Context, e Event) {
				select {
				case fetched <- e.Err:
				default:
				}
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = s.Token(ctx) }() // the event has the error
		err := <-fetched
		cancel()
		if works != (err == nil) || err != nil && !strings.Contains(err.Error(), "mtls_endpoint_aliases") || asked.Load() != 0 {
			t.Errorf("%q: %v, %d requests over http", aliases, err, asked.Load())
		}
	}
}

// A renewed certificate is used from the next token on. Tokens of the former one are sent
// with that one, so no call fails.
func TestCertificateIsRenewed(t *testing.T) {
	server := newStrict(t)
	first, second, third := newCertificate(t, later()), newCertificate(t, later()), newCertificate(t, later())
	server.know(first, second, third)
	folder := t.TempDir()
	certificatePath, keyPath := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	writePair(t, first, certificatePath, keyPath)
	s := server.source(func(c *Config) { c.Certificate = CertificateFiles(certificatePath, keyPath) })
	client, other := s.Client(), s.For("", "other").Client()
	wantCalls(t, client, server.URL+"/v1/orders", 1)
	writePair(t, second, certificatePath, keyPath)
	wantCalls(t, other, server.URL+"/v1/orders", 1)
	wantCalls(t, client, server.URL+"/v1/orders", 1) // a token of the first certificate
	wantCalls(t, other, server.URL+"/v1/orders", 1)
	server.mu.Lock()
	server.granted = map[string]binding{}
	server.mu.Unlock()
	writePair(t, third, certificatePath, keyPath)
	wantCalls(t, client, server.URL+"/v1/orders", 1)
	wantCalls(t, other, server.URL+"/v1/orders", 1)
	wantCounts(t, server, map[string]int{"token": 4, "api invalid_token": 2, "api": 6})
	bound := map[string]bool{}
	for _, b := range server.granted {
		bound[b.certificate] = true
	}
	if len(bound) != 1 {
		t.Errorf("the latest tokens are bound to %v", bound)
	}
}

// While the files are not a pair, the last one is used, and an event tells.
func TestCertificateFilesThatAreNoPair(t *testing.T) {
	server := newStrict(t)
	first, second := newCertificate(t, later()), newCertificate(t, later())
	server.know(first, second)
	folder := t.TempDir()
	certificatePath, keyPath := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	writePair(t, first, certificatePath, keyPath)
	var events []Event
	s := server.source(func(c *Config) {
		c.Certificate = CertificateFiles(certificatePath, keyPath)
		c.Observe = func(_ context.Context, e Event) { events = append(events, e) }
	})
	wantToken(t, s, "token-1")
	key, err := os.ReadFile(keyPath)
	if err != nil {
		t.Fatal(err)
	}
	writePair(t, second, certificatePath, keyPath)
	if err := os.WriteFile(keyPath, key, 0o600); err != nil {
		t.Fatal(err)
	}
	wantToken(t, s.For("", "a"), "token-2")
	if err := os.Remove(certificatePath); err != nil {
		t.Fatal(err)
	}
	wantToken(t, s.For("", "b"), "token-3")
	writePair(t, second, certificatePath, keyPath)
	wantToken(t, s.For("", "c"), "token-4")
	writePair(t, newCertificate(t, later()), certificatePath, keyPath) // the server does not know it yet
	wantAny(t, s.For("", "d"))
	s.Close()
	var reasons []string
	for _, e := range events {
		reasons = append(reasons, string(e.Reason))
	}
	want := []string{"", string(event.SecretUnreadable), string(event.SecretUnreadable), "", string(event.CredentialRefused)}
	if strings.Join(reasons, ",") != strings.Join(want, ",") {
		t.Errorf("the reasons are %q, want %q", reasons, want)
	}
}

func TestCertificatesThatCannotBeUsed(t *testing.T) {
	folder := t.TempDir()
	certificatePath, keyPath, other := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key"), filepath.Join(folder, "other.key")
	writePair(t, newCertificate(t, later()), filepath.Join(folder, "other.crt"), other)
	writePair(t, newCertificate(t, later()), certificatePath, keyPath)
	for say, certificate := range map[string]CertificateFunc{
		"expired at":                     Certificate(newCertificate(t, time.Date(1999, 12, 1, 0, 0, 0, 0, time.UTC))), // synctest begins in 2000
		"has no private key":             Certificate(tls.Certificate{}),
		"is empty":                       func(context.Context) (*tls.Certificate, error) { return nil, nil }, //nolint:nilnil // what a func of an app may do
		"no such file":                   CertificateFiles(filepath.Join(folder, "missing"), keyPath),
		"is not that of the certificate": CertificateFiles(certificatePath, other),
		"the key is not in PEM":          CertificateFiles(certificatePath, textFile(t, "x")),
		"there is no certificate in PEM": CertificateFiles(keyPath, keyPath),
	} {
		synctest.Test(t, func(t *testing.T) {
			dials := 0
			base := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				dials++
				return nil, errors.New("a request was sent")
			}}
			s, err := New(Config{TokenURL: testTokenURL, ClientID: "reporter", Certificate: certificate, HTTP: &http.Client{Transport: base}, Quiet: true})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, err = s.Token(t.Context())
			if wantUnavailable(t, err); !strings.Contains(err.Error(), say) || dials > 0 {
				t.Errorf("%v, want %s; %d dials", err, say, dials)
			}
		})
	}
}

// A token is not used beyond the end of the certificate that it may be bound to.
func TestTokenEndsWithItsCertificate(t *testing.T) {
	server := newStrict(t)
	ends := time.Now().Add(2 * time.Minute)
	certificate := newCertificate(t, ends)
	server.know(certificate)
	token, err := server.source(func(c *Config) { c.Certificate = Certificate(certificate) }).Token(t.Context())
	if got := token.Expires().Sub(ends); err != nil || got.Abs() > 2*time.Second {
		t.Errorf("it ends %v after the certificate, %v", got, err)
	}
}

// A RoundTripper that cannot show the certificate sends nothing.
func TestBasesThatCannotShowACertificate(t *testing.T) {
	server, certificate := newStrict(t), newCertificate(t, later())
	server.know(certificate)
	s := server.source(func(c *Config) { c.Certificate = Certificate(certificate) })
	orders := &api{}
	own := server.transport()
	own.TLSClientConfig.Certificates = []tls.Certificate{newCertificate(t, later())}
	dials := server.transport()
	dials.DialTLSContext = (&tls.Dialer{}).DialContext
	for say, base := range map[string]http.RoundTripper{"is not an *http.Transport": orders, "has a certificate of its own": own, "has a TLS dialer": dials} {
		if res, err := (&http.Client{Transport: s.Transport(base)}).Get(server.URL + "/v1/orders"); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%v, %v, want %s", res, err, say)
		}
		if s, err := New(Config{
			TokenURL: testTokenURL, ClientID: "reporter", Certificate: Certificate(certificate), HTTP: &http.Client{Transport: base},
		}); s != nil || err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("New: %v, want %s", err, say)
		}
	}
	if orders.requests > 0 || server.count("api") > 0 {
		t.Error("something was sent")
	}
	if _, err := s.For("http://127.0.0.1:1", "a").Token(t.Context()); err == nil || !strings.Contains(err.Error(), "over https only") {
		t.Errorf("a resource on http: %v", err)
	}
}

// Close closes the connections that show a certificate: no one else can.
func TestCloseClosesConnections(t *testing.T) {
	server, certificate := newStrict(t), newCertificate(t, later())
	server.know(certificate)
	s := server.source(func(c *Config) { c.Certificate = Certificate(certificate) })
	wantCalls(t, s.Client(), server.URL+"/v1/orders", 1)
	s.Close()
	for range 2 { // of the token endpoint, and of the API
		select {
		case <-server.closed:
		case <-time.After(30 * time.Second):
			t.Fatal("a connection is open")
		}
	}
}

// A TLS session that began with one certificate is not resumed with another: the server
// would take it for the former.
func TestSessionsAreNotResumedWithAnotherCertificate(t *testing.T) {
	server := newStrict(t)
	first, second := newCertificate(t, later()), newCertificate(t, later())
	server.know(first, second)
	current := first
	base := server.transport()
	base.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	base.DisableKeepAlives = true
	s := server.source(func(c *Config) {
		c.HTTP = &http.Client{Transport: base}
		c.Certificate = func(context.Context) (*tls.Certificate, error) { return &current, nil }
	})
	wantCalls(t, s.Client(), server.URL+"/v1/orders", 3)
	current = second
	wantCalls(t, s.For("", "other").Client(), server.URL+"/v1/orders", 3)
	bound := map[string]bool{}
	for _, b := range server.granted {
		bound[b.certificate] = true
	}
	if len(bound) != 2 {
		t.Errorf("the tokens are bound to %v", bound)
	}
}

// The default transports show the certificate too. The test's server is not trusted by them,
// so the handshake is what is seen.
func TestDefaultTransportsShowTheCertificate(t *testing.T) {
	certificate := newCertificate(t, later())
	c := Config{TokenURL: testTokenURL, ClientID: "a", Certificate: Certificate(certificate), Resources: []string{testAPI}}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	id, err := newIdentity(&certificate)
	if err != nil {
		t.Fatal(err)
	}
	guard, ok := s.family.fetcher.transport(id).(*endpointGuard)
	if !ok {
		t.Fatal("the default transport is not guarded")
	}
	for _, transport := range []*http.Transport{guard.anywhere, guard.outside, s.family.api.with(id)} {
		shown, err := transport.TLSClientConfig.GetClientCertificate(nil)
		if err != nil || shown != id.certificate || !transport.ForceAttemptHTTP2 {
			t.Errorf("%v, %v", shown, err)
		}
	}
	if http.DefaultTransport.(*http.Transport).TLSClientConfig != nil && http.DefaultTransport.(*http.Transport).TLSClientConfig.GetClientCertificate != nil {
		t.Error("http.DefaultTransport was changed")
	}
}

// A platform's token is read anew. A half-written file costs nothing, and a new token that
// the server does not take yet neither.
func TestWorkloadToken(t *testing.T) {
	server := newStrict(t)
	server.workloads = map[string]bool{"a.b.c": true, "d.e.f": true}
	path := textFile(t, "a.b.c\n")
	s := server.source(func(c *Config) { c.Assertion = WorkloadToken(path) })
	wantToken(t, s, "token-1")
	for _, change := range []struct{ scope, text string }{{"half", "d.e"}, {"empty", ""}, {"broken", "d.e.f\x00"}, {"ahead", "g.h.i"}, {"new", "d.e.f"}} {
		write(t, path, change.text)
		wantAny(t, s.For("", change.scope))
	}
	if got := server.counts(); got["token"] != 6 || got["token invalid_client"] != 1 {
		t.Errorf("%v", got)
	}
	server.workloads = nil
	_, err := s.For("", "last").Token(t.Context())
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != "invalid_client" {
		t.Errorf("%v", err)
	}
}

func TestWorkloadTokenThatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{}
		s := newSource(t, auth, func(c *Config) { c.Secret, c.Assertion = nil, WorkloadToken(filepath.Join(t.TempDir(), "missing")) })
		_, err := s.Token(t.Context())
		if wantUnavailable(t, err); !strings.Contains(err.Error(), "no such file") || auth.count() > 0 {
			t.Errorf("%v, %d requests", err, auth.count())
		}
	})
}

// textFile returns the path of a file.
func textFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, text)
	return path
}
