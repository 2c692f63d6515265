package issuer

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// certificate is the certificate of a request, nothing if there is none.
type certificate struct {
	leaf  *x509.Certificate
	chain []*x509.Certificate // what the client has sent beside it
}

// maxCertificate bounds the names of a certificate, which each request over its
// connection may have compared.
const maxCertificate = 16 << 10

// of returns the certificate of a request: that of its connection, or of the header of a
// trusted proxy.
func (c *ClientCertificates) of(r *http.Request) (certificate, *Error) {
	if c == nil {
		return certificate{}, nil
	}
	header := r.Header.Values("Client-Cert")
	empty := len(present(header)) == 0
	if !pop.IsTrustedProxy(c.TrustedProxies, r.RemoteAddr) {
		if !empty {
			e := invalidRequest(event.ProxyUnknown, "the Client-Cert header is taken from trusted proxies only")
			e.cause = errUntrustedHeader
			return certificate{}, e
		}
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			return certificate{}, nil
		}
		if len(r.TLS.PeerCertificates[0].Raw) > maxCertificate {
			return certificate{}, malformed("the certificate is larger than 16 KiB")
		}
		return certificate{r.TLS.PeerCertificates[0], r.TLS.PeerCertificates[1:]}, nil
	}
	if empty && len(header) <= 1 {
		return certificate{}, nil // a proxy may send it empty for a client without a certificate
	}
	leaf, err := pop.ParseClientCert(header)
	if err != nil {
		e := malformed("the Client-Cert header is malformed")
		e.cause = err
		return certificate{}, e
	}
	if len(leaf.Raw) > maxCertificate {
		return certificate{}, malformed("the certificate is larger than 16 KiB")
	}
	return certificate{leaf: leaf}, nil
}

// validate returns an error that names the field that is wrong.
func (c *ClientCertificates) validate() error {
	if c == nil {
		return nil
	}
	for n, p := range c.TrustedProxies {
		switch {
		case !p.IsValid() || p.Addr().Is4In6():
			return fmt.Errorf(`issuer: Config.ClientCertificates.TrustedProxies[%d] is %v: write netip.MustParsePrefix("10.0.0.5/32"), or the like`, n, p)
		case p.Bits() == 0:
			return fmt.Errorf("issuer: Config.ClientCertificates.TrustedProxies[%d] is %v, which is every address: write those of the proxies", n, p)
		}
	}
	if c.Origin == "" {
		return nil
	}
	u, err := url.Parse(c.Origin)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || c.Origin != "https://"+u.Host {
		return errors.New(`issuer: Config.ClientCertificates.Origin: write https, a host and a port, without a path, such as "https://mtls.example.com"`)
	}
	return nil
}

var errUntrustedHeader = errors.New("issuer: a Client-Cert header came from an address that is not in Config.ClientCertificates.TrustedProxies")
