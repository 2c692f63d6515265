package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// CertificateFunc returns a certificate of this client with its private key. It is called
// for each token request, so a renewed certificate is used at the next one. Its errors must
// not quote the key. It should return when its context ends, as a [SecretFunc].
type CertificateFunc func(ctx context.Context) (*tls.Certificate, error)

// Certificate returns a CertificateFunc of a certificate that does not change.
func Certificate(certificate tls.Certificate) CertificateFunc {
	return func(context.Context) (*tls.Certificate, error) { return &certificate, nil }
}

// CertificateFiles returns a CertificateFunc that reads PEM files: the certificate, with
// its chain behind it, and the private key. They may be one file. They are read for each
// token request, by the rules of [SecretFile]. While they are missing, or the key is not
// that of the certificate, as in the middle of a renewal, the pair that the server accepted
// last is used.
func CertificateFiles(certificate, key string) CertificateFunc {
	if certificate == "" || key == "" {
		return unnamedPair
	}
	f := &secretFile{path: certificate, read: func(path string) (string, error) { return readPair(path, key) }}
	return func(ctx context.Context) (*tls.Certificate, error) {
		text, err := f.secret(ctx)
		if err != nil {
			return nil, err
		}
		return parsePair(text)
	}
}

var errUnnamedPair = errors.New("outbound: Config.Certificate: a path for CertificateFiles is empty")

// unnamedPair is no closure, so that New recognises it.
func unnamedPair(context.Context) (*tls.Certificate, error) { return nil, errUnnamedPair }

// pairSeparator is between the two files of a pair. PEM has no such line.
const pairSeparator = "\n\x00\n"

// readPair reads a certificate and its key as one text.
func readPair(certificate, key string) (string, error) {
	first, err := readText(certificate)
	if err != nil {
		return "", err
	}
	second, err := readText(key)
	if err != nil {
		return "", err
	}
	text := first + pairSeparator + second
	if _, err := parsePair(text); err != nil {
		return "", fmt.Errorf("outbound: credential: %s and %s: %w", certificate, key, err)
	}
	return text, nil
}

// parsePair reads what readPair returned.
func parsePair(text string) (*tls.Certificate, error) {
	certificate, key, _ := strings.Cut(text, pairSeparator)
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err == nil {
		return &pair, nil
	}
	// The error is not wrapped: it is known not to quote the key, and that is not promised.
	switch block, _ := pem.Decode([]byte(key)); {
	case block == nil:
		return nil, errors.New("the key is not in PEM")
	case !strings.Contains(certificate, "-----BEGIN CERTIFICATE-----"):
		return nil, errors.New("there is no certificate in PEM")
	default:
		return nil, errors.New("the key is not that of the certificate, or one of them cannot be read")
	}
}

// identity is a certificate in use. Tokens that were fetched with it may be bound to it
// (RFC 8705, section 3), so they are sent over connections that show it.
type identity struct {
	certificate *tls.Certificate
	ends        time.Time
}

// newIdentity checks a certificate.
func newIdentity(certificate *tls.Certificate) (*identity, error) {
	if certificate == nil || len(certificate.Certificate) == 0 || certificate.PrivateKey == nil {
		return nil, errors.New("outbound: the certificate is empty, or has no private key")
	}
	leaf := certificate.Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(certificate.Certificate[0]); err != nil {
			return nil, fmt.Errorf("outbound: the certificate: %w", err)
		}
	}
	if time.Now().After(leaf.NotAfter) {
		return nil, fmt.Errorf("outbound: the certificate expired at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	kept := *certificate // the app may change its own
	return &identity{certificate: &kept, ends: leaf.NotAfter}, nil
}

// shows reports whether the identity is that of a certificate.
func (id *identity) shows(certificate *tls.Certificate) bool {
	return id != nil && certificate != nil && slices.EqualFunc(id.certificate.Certificate, certificate.Certificate, slices.Equal)
}
