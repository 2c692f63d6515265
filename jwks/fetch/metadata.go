package fetch

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// Metadata is the metadata of an issuer (RFC 8414, section 2).
type Metadata struct {
	// Issuer is the issuer identifier, as it was asked for.
	Issuer string

	// Object is the whole document. Its URLs are not checked: read them with
	// Endpoint.
	Object jose.Object

	address string
	https   bool // of the issuer
	client  *Client
}

// Metadata fetches the metadata of an issuer. It asks the well-known address of
// RFC 8414, section 3, which goes before the issuer's own path, and if that gives
// no usable document, the address of OpenID Connect Discovery 1.0, section 4,
// which goes behind it. A document that lacks one of the named endpoints, such as
// "jwks_uri", is not usable.
//
// issuer is the issuer identifier exactly as tokens have it in iss, without query
// or fragment. A document that names another issuer is not used (RFC 8414, section
// 3.3).
//
// Not checked: signed_metadata.
func (c *Client) Metadata(ctx context.Context, issuer string, endpoints ...string) (*Metadata, error) {
	at, err := c.parseIssuer(issuer)
	if err != nil {
		return nil, err
	}
	// Servers answer for a document that they don't have in many ways (404, 403,
	// 401, 200 with a web page), so any failure leads to the second address.
	path := strings.TrimSuffix(at.EscapedPath(), "/")
	origin := at.Scheme + "://" + at.Host
	m, err := c.readMetadata(ctx, at, issuer, origin+"/.well-known/oauth-authorization-server"+path, endpoints)
	if err == nil || ctx.Err() != nil {
		return m, err
	}
	m, second := c.readMetadata(ctx, at, issuer, origin+path+"/.well-known/openid-configuration", endpoints)
	if second != nil {
		return nil, fmt.Errorf("%w; %w", err, second)
	}
	return m, nil
}

// CheckIssuer reports why no metadata can be fetched for an issuer identifier: it is
// not a URL that [Client.CheckURL] allows, or it has a query or a fragment (RFC 8414,
// section 2).
func (c *Client) CheckIssuer(issuer string) error {
	_, err := c.parseIssuer(issuer)
	return err
}

func (c *Client) parseIssuer(issuer string) (*url.URL, error) {
	u, err := c.parse(issuer)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(issuer, "?#") {
		return nil, fmt.Errorf("fetch: %q has a query or a fragment: write it without", issuer)
	}
	return u, nil
}

func (c *Client) readMetadata(ctx context.Context, at *url.URL, issuer, address string, endpoints []string) (*Metadata, error) {
	document, err := c.Get(ctx, Request{URL: address})
	if err != nil {
		return nil, err
	}
	object, err := jose.ParseObject(string(document.Body))
	if err != nil {
		return nil, fmt.Errorf("fetch: %s is not issuer metadata: %w", address, err)
	}
	// RFC 8414, section 3.3: compared as written, or one host could speak for another.
	if named, _, err := object.String("issuer"); err != nil || named != issuer {
		return nil, fmt.Errorf("fetch: %s is the metadata of issuer %.200q, not of %q", address, named, issuer)
	}
	m := &Metadata{Issuer: issuer, Object: object, address: address, https: at.Scheme == "https", client: c}
	for _, name := range endpoints {
		if _, err := m.Endpoint(name); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Endpoint returns the URL in a member of the metadata: "jwks_uri",
// "token_endpoint", "introspection_endpoint", "revocation_endpoint" or another. A
// missing member is an error, and so is a URL that [Client.CheckURL] refuses. An
// https issuer's endpoints must be https too, even on our own loopback. They may
// be on another host.
func (m *Metadata) Endpoint(name string) (string, error) {
	if m == nil || m.client == nil {
		return "", fmt.Errorf("fetch: no metadata with %s", name)
	}
	uri, _, err := m.Object.String(name)
	if err != nil || uri == "" {
		return "", fmt.Errorf("fetch: %s has no %s", m.address, name)
	}
	u, err := m.client.parse(uri)
	if err != nil {
		return "", fmt.Errorf("%s in %s: %w", name, m.address, err)
	}
	if m.https && u.Scheme != "https" {
		return "", fmt.Errorf("fetch: %s in %s is not https, as the issuer is", name, m.address)
	}
	return uri, nil
}
