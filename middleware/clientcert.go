package middleware

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/echo-m2m/m2m/jwks/pop"
)

// ClientCertificates accepts access tokens that are bound to a certificate of the client
// (RFC 8705, section 3). The certificate is that of the TLS connection, so the server must
// ask for one: tls.Config.ClientAuth is tls.RequestClientCert or more.
//
// Not checked: who has issued the certificate, its dates, and its use. The issuer did
// that when it bound the token, and TLS proves that the client has the private key.
type ClientCertificates struct {
	// TrustedProxies are the addresses of the proxies that end TLS here, and pass the
	// certificate on in the header Client-Cert (RFC 9440). The header is read only if the
	// connection (http.Request.RemoteAddr) comes from one of them, and then alone: the
	// certificate of that connection is the proxy's. The proxy must remove the header from
	// the requests of its clients. No middleware in front of the guard may write
	// RemoteAddr from a header. Default none.
	TrustedProxies []netip.Prefix
}

func (c *ClientCertificates) validate() error {
	for _, p := range c.TrustedProxies {
		if !p.IsValid() || p.Bits() == 0 || p.Addr().Is4In6() {
			return fmt.Errorf("middleware: Config.ClientCertificates.TrustedProxies has %v: write the addresses of your proxies alone, such as 10.0.0.7/32", p)
		}
	}
	return nil
}

// check compares the certificate of a request with the thumbprint in its token.
func (c *ClientCertificates) check(r *http.Request, thumbprint string) *Error {
	certificate, err := c.of(r)
	if err == nil && pop.CertificateThumbprint(certificate) != thumbprint {
		err = errors.New("it is not the one that the token is bound to")
	}
	if err != nil {
		return unproven("the access token is bound to a client certificate, which the request does not have", fmt.Errorf("middleware: client certificate: %w", err))
	}
	return nil
}

// of returns the certificate of the client that sent a request.
func (c *ClientCertificates) of(r *http.Request) (*x509.Certificate, error) {
	header := r.Header["Client-Cert"]
	if pop.IsTrustedProxy(c.TrustedProxies, r.RemoteAddr) {
		if len(header) == 0 {
			return nil, errors.New("the proxy sent no Client-Cert header")
		}
		return pop.ParseClientCert(header)
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		if len(header) > 0 {
			return nil, fmt.Errorf("the connection has none, and its Client-Cert header does not count: %.60q is not in ClientCertificates.TrustedProxies", r.RemoteAddr)
		}
		return nil, errors.New("the connection has none: the server has to ask for it (tls.Config.ClientAuth)")
	}
	return r.TLS.PeerCertificates[0], nil
}
