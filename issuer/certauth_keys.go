package issuer

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// keysOf returns the public keys of a client that has some.
type keysOf func(context.Context, *registry.Client) ([]*jose.Key, error)

// checkRegistered checks a certificate for self_signed_tls_client_auth (RFC 8705, section
// 2.2): its public key is one of the client's. Who has issued it does not matter.
func (c *certCredential) checkRegistered(ctx context.Context, client *registry.Client, now time.Time) *Error {
	leaf := c.certificate.leaf
	switch {
	case now.Before(leaf.NotBefore) || now.After(leaf.NotAfter):
		return invalidClient(event.WrongCertificate, errNotCurrent)
	case !forClients(leaf):
		return invalidClient(event.WrongCertificate, errNotForClients)
	}
	keys, err := c.keysOf(ctx, client)
	switch {
	case errors.Is(err, jwks.ErrUnavailable) || ctx.Err() != nil:
		return unavailable(event.KeysUnavailable, err)
	case err != nil:
		return invalidClient(event.WrongCertificate, err)
	}
	for _, key := range keys {
		if equal, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); ok && equal.Equal(leaf.PublicKey) {
			return nil
		}
	}
	return invalidClient(event.WrongCertificate, errNotRegistered)
}

// forClients reports whether a certificate that lists its purposes lists client
// authentication (RFC 5280, section 4.2.1.12).
func forClients(leaf *x509.Certificate) bool {
	if len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) || slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
}

var (
	errNotCurrent    = errors.New("issuer: the client's certificate has expired, or is not valid yet")
	errNotForClients = errors.New("issuer: the certificate is not for client authentication (extended key usage)")
	errNotRegistered = errors.New("issuer: the certificate's public key is not among the client's keys")
)
