package issuer

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// clientCert returns the Client-Cert header of a certificate (RFC 9440, section 2.2).
func clientCert(c tls.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(c.Certificate[0]) + ":"
}

func prefixes(all ...string) (found []netip.Prefix) {
	for _, p := range all {
		found = append(found, netip.MustParsePrefix(p))
	}
	return found
}

// The header counts from the addresses of trusted proxies only.
func TestClientCertHeader(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	header := clientCert(ca.issue(t, nil))
	s := newService(t, Config{ClientCertificates: &ClientCertificates{CAs: ca.pool(), TrustedProxies: prefixes("10.0.0.5/32", "2001:db8::/64")}},
		app(), certified("dn", func(c *registry.Client) { c.TLSClientAuthSubjectDN = billingDN }))
	from := func(address, body string, headers ...string) *httptest.ResponseRecorder {
		r := newForm("/token", body)
		r.RemoteAddr = address
		for _, h := range headers {
			r.Header.Add("Client-Cert", h)
		}
		return s.send(r)
	}
	for _, address := range []string{"10.0.0.5:443", "[::ffff:10.0.0.5]:443", "[2001:db8::1]:443", "[2001:db8::1%eth0]:443"} {
		s.wantToken(t, from(address, named("dn"), header))
		s.wantToken(t, from(address, appForm, header))
		s.wantToken(t, from(address, appForm, ""))
		s.wantUnauthorizedFor(t, address, from(address, named("dn")), event.NoCredential)
		s.wantUnauthorizedFor(t, address, from(address, named("dn"), ""), event.NoCredential)
		for _, headers := range [][]string{
			{header, header}, {"", header}, {header, ""}, {"", ""}, {strings.Trim(header, ":")}, {header + ";a=1"}, {header + ", " + header},
			{"x"}, {":eA==:"}, {"::"}, {header[:len(header)-9] + ":"}, {" , " + header},
		} {
			for _, body := range []string{named("dn"), appForm} {
				s.wantError(t, from(address, body, headers...), 400, "invalid_request", "the Client-Cert header is malformed")
			}
		}
	}
	for _, address := range []string{
		"10.0.0.6:443", "10.0.0.5", "", "@", "[2002:a00:5::1]:443", "[64:ff9b::a00:5]:443", "[::10.0.0.5]:443", "[::ffff:0:10.0.0.5]:443",
		"[2001:db8:0:1::1]:443", "192.0.2.1:443", "10.0.0.5:443, 192.0.2.1:443", "localhost:443",
	} {
		for _, body := range []string{named("dn"), appForm} {
			s.wantError(t, from(address, body, header), 400, "invalid_request", "the Client-Cert header is taken from trusted proxies only")
			s.wantCause(t, errUntrustedHeader)
			if e := s.lastEvent(t); e.Reason != event.ProxyUnknown {
				t.Errorf("event %+v", e)
			}
		}
		s.wantToken(t, from(address, appForm))
		s.wantToken(t, from(address, appForm, "")) // as a proxy sends it for a client without a certificate
	}
}

// Over the connection of a trusted proxy, only the header counts: the proxy's own
// certificate is not its client's. Over any other, only the connection counts.
func TestCertificateOfProxy(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	billing := ca.issue(t, nil)
	other := ca.issue(t, func(c *x509.Certificate) { c.Subject.CommonName = "other" })
	client := certified("dn", func(c *registry.Client) { c.TLSClientAuthSubjectDN = billingDN })

	behind := newService(t, Config{ClientCertificates: &ClientCertificates{CAs: ca.pool(), TrustedProxies: prefixes("127.0.0.0/8", "::1/128")}}, client)
	proxied := behind.listen(t)
	behind.wantUnauthorizedFor(t, "the proxy's own", over(t, proxied, billing, "/token", named("dn")), event.NoCredential)
	behind.wantUnauthorizedFor(t, "another's", over(t, proxied, billing, "/token", named("dn"), "Client-Cert", clientCert(other)), event.WrongCertificate)
	behind.wantToken(t, over(t, proxied, other, "/token", named("dn"), "Client-Cert", clientCert(billing)))
	behind.wantToken(t, over(t, proxied, noCertificate, "/token", named("dn"), "Client-Cert", clientCert(billing)))

	direct := newService(t, Config{ClientCertificates: &ClientCertificates{CAs: ca.pool(), TrustedProxies: prefixes("192.0.2.1/32")}}, client)
	server := direct.listen(t)
	direct.wantToken(t, over(t, server, billing, "/token", named("dn")))
	for _, certificate := range []tls.Certificate{billing, other, noCertificate} {
		direct.wantError(t, over(t, server, certificate, "/token", named("dn"), "Client-Cert", clientCert(billing)), 400, "invalid_request", "the Client-Cert header is taken from trusted proxies only")
	}

	// Without the feature the header is one of many that mean nothing.
	off := newService(t, Config{}, app())
	off.wantToken(t, off.post(appForm, "Client-Cert", "x"))
}

// Headers of similar names have no certificate.
func TestCertificateHeadersOfOthers(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	s := newService(t, Config{ClientCertificates: &ClientCertificates{CAs: ca.pool(), TrustedProxies: prefixes("192.0.2.1/32")}},
		certified("dn", func(c *registry.Client) { c.TLSClientAuthSubjectDN = billingDN }))
	header := clientCert(ca.issue(t, nil))
	for _, name := range []string{"Client_cert", "X-Client-Cert", "X-Forwarded-Client-Cert", "Client-Cert-Chain", "X-Ssl-Client-Cert"} {
		r := newForm("/token", named("dn"), name, header)
		r.RemoteAddr = "192.0.2.1:443"
		s.wantUnauthorizedFor(t, name, s.send(r), event.NoCredential)
	}
}

// The error says what to write.
func TestClientCertificatesConfig(t *testing.T) {
	for want, c := range map[string]ClientCertificates{
		"TrustedProxies[0] is 0.0.0.0/0, which is every": {TrustedProxies: prefixes("0.0.0.0/0")},
		"TrustedProxies[1] is ::/0, which is every":      {TrustedProxies: prefixes("10.0.0.5/32", "::/0")},
		"TrustedProxies[0] is invalid Prefix":            {TrustedProxies: []netip.Prefix{{}}},
		"TrustedProxies[0] is ::ffff:10.0.0.5/128":       {TrustedProxies: prefixes("::ffff:10.0.0.5/128")},
		"Origin":                      {Origin: "http://mtls.example.com"},
		"Origin: ":                    {Origin: "https://mtls.example.com/"},
		"Origin: write":               {Origin: "https://user@mtls.example.com"},
		"Origin: write https":         {Origin: "https://"},
		"Origin: write https,":        {Origin: "mtls.example.com"},
		"Origin: write https, a host": {Origin: "https://mtls.example.com?x"},
	} {
		_, err := New(Config{Issuer: testIssuer, Keys: newKeyring(t, ecKey), Store: newStore(t, app()), ClientCertificates: &c})
		if err == nil || !strings.Contains(err.Error(), "issuer: Config.ClientCertificates."+want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
}

// A later change of the config's proxies changes nothing.
func TestTrustedProxiesAreCopied(t *testing.T) {
	config := &ClientCertificates{TrustedProxies: prefixes("192.0.2.1/32")}
	s := newService(t, Config{ClientCertificates: config}, app())
	config.TrustedProxies[0] = netip.MustParsePrefix("203.0.113.0/24")
	r := newForm("/token", appForm, "Client-Cert", "x")
	r.RemoteAddr = "203.0.113.9:443"
	if w := s.send(r); !strings.Contains(w.Body.String(), "trusted proxies only") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A certificate with very many names is refused, because comparing them takes long.
func TestLargeCertificate(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	large := ca.issue(t, func(c *x509.Certificate) {
		for range 600 {
			c.DNSNames = append(c.DNSNames, "a-rather-long-name.example.com")
		}
	})
	direct := newService(t, Config{ClientCertificates: &ClientCertificates{CAs: ca.pool()}}, certified("dn", func(c *registry.Client) { c.TLSClientAuthSubjectDN = billingDN }))
	direct.wantError(t, over(t, direct.listen(t), large, "/token", named("dn")), 400, "invalid_request", "the certificate is larger than 16 KiB")
	proxied := newService(t, Config{ClientCertificates: &ClientCertificates{CAs: ca.pool(), TrustedProxies: prefixes("192.0.2.1/32")}}, app())
	r := newForm("/token", appForm, "Client-Cert", clientCert(large))
	if w := proxied.send(r); w.Code != 400 || !strings.Contains(w.Body.String(), "larger than 16 KiB") {
		t.Errorf("from a proxy: %d %s", w.Code, w.Body)
	}
}

// A CA that the program adds to its pool later does not count.
func TestCAsAreCopied(t *testing.T) {
	first, later := newAuthority(t, "ca", nil), newAuthority(t, "later", nil)
	pool := first.pool()
	s := newService(t, Config{ClientCertificates: &ClientCertificates{CAs: pool}}, certified("dn", func(c *registry.Client) { c.TLSClientAuthSubjectDN = billingDN }))
	pool.AddCert(later.certificate)
	server := s.listen(t)
	s.wantToken(t, over(t, server, first.issue(t, nil), "/token", named("dn")))
	s.wantUnauthorizedFor(t, "later", over(t, server, later.issue(t, nil), "/token", named("dn")), event.WrongCertificate)
}
