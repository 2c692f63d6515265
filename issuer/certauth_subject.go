package issuer

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// hasSubject reports whether the record says whose certificate is the client's.
func hasSubject(c *registry.Client) bool {
	return c.TLSClientAuthSubjectDN != "" || c.TLSClientAuthSANDNS != "" || c.TLSClientAuthSANURI != "" || c.TLSClientAuthSANIP != "" || c.TLSClientAuthSANEmail != ""
}

// checkSubject compares a certificate with all that the record says about it (RFC 8705,
// section 2.1.2). A name is compared as a whole and with its case: a wildcard in a
// certificate stands for itself alone.
func checkSubject(c *registry.Client, leaf *x509.Certificate) error {
	if !hasSubject(c) {
		return errWrongSubject
	}
	if c.TLSClientAuthSubjectDN != "" {
		want, err := parseDN(c.TLSClientAuthSubjectDN)
		if err != nil {
			return fmt.Errorf("issuer: the client's tls_client_auth_subject_dn: %w", err)
		}
		if !want.names(leaf.RawSubject) {
			return wrongSubject(leaf)
		}
	}
	uri := func(u *url.URL) bool { return u.String() == c.TLSClientAuthSANURI }
	ip := func(a net.IP) bool {
		address, ok := netip.AddrFromSlice(a)
		return ok && address.String() == c.TLSClientAuthSANIP
	}
	switch {
	case c.TLSClientAuthSANDNS != "" && !slices.Contains(leaf.DNSNames, c.TLSClientAuthSANDNS),
		c.TLSClientAuthSANURI != "" && !slices.ContainsFunc(leaf.URIs, uri),
		c.TLSClientAuthSANIP != "" && !slices.ContainsFunc(leaf.IPAddresses, ip),
		c.TLSClientAuthSANEmail != "" && !slices.Contains(leaf.EmailAddresses, c.TLSClientAuthSANEmail):
		return wrongSubject(leaf)
	}
	return nil
}

// wrongSubject says what the certificate has, as a record may write it.
func wrongSubject(leaf *x509.Certificate) error {
	return fmt.Errorf("%w: it has %.300q, DNS %.100q, URI %.100q, IP %.100q, email %.100q",
		errWrongSubject, leaf.Subject.String(), first(leaf.DNSNames), first(leaf.URIs), first(leaf.IPAddresses), first(leaf.EmailAddresses))
}

// first returns the first name of a kind, and whether there are more.
func first[T any](names []T) string {
	switch len(names) {
	case 0:
		return ""
	case 1:
		return fmt.Sprint(names[0])
	}
	return fmt.Sprint(names[0], " and others")
}

var errWrongSubject = errors.New("issuer: the certificate has another subject than the client's record")
