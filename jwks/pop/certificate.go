package pop

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// maxClientCert is the longest Client-Cert header, in bytes.
const maxClientCert = 32 << 10

// CertificateThumbprint returns the x5t#S256 of a certificate (RFC 8705, section 3.1):
// the name under which a token is bound to it. It is "" for nil.
//
// Not checked: that the other side of the connection has the private key. TLS does
// that.
func CertificateThumbprint(certificate *x509.Certificate) string {
	if certificate == nil || len(certificate.Raw) == 0 {
		return ""
	}
	sum := sha256.Sum256(certificate.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// ParseClientCert reads the Client-Cert header (RFC 9440, section 2.2), in which a proxy
// that ends TLS passes on the certificate of its client. values are all values of the
// header; there must be exactly one. It is a structured field (RFC 8941): base64 between
// colons, here in its canonical spelling and without parameters.
//
// THE HEADER PROVES NOTHING BY ITSELF: any client can send one. Read it only if the
// connection comes from a proxy that you trust, which removes the header from the
// requests of its clients.
//
// Not checked: who has issued the certificate, its dates, and its use.
func ParseClientCert(values []string) (*x509.Certificate, error) {
	if len(values) != 1 {
		return nil, fmt.Errorf("pop: %d Client-Cert headers, not one", len(values))
	}
	text := strings.Trim(values[0], " ")
	if len(text) > maxClientCert {
		return nil, fmt.Errorf("pop: a Client-Cert header of %d bytes, more than %d", len(text), maxClientCert)
	}
	inner, found := strings.CutPrefix(text, ":")
	inner, closed := strings.CutSuffix(inner, ":")
	if !found || !closed || strings.ContainsAny(inner, "\r\n") {
		return nil, errors.New("pop: the Client-Cert header is not a byte sequence: base64 between colons")
	}
	der, err := base64.StdEncoding.Strict().DecodeString(inner)
	if err != nil {
		return nil, fmt.Errorf("pop: Client-Cert header: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("pop: Client-Cert header: %w", err)
	}
	return certificate, nil
}
