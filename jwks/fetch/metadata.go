package fetch

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

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

// Metadata fetches the metadata of an issuer. It asks up to three addresses, one
// after the other, until one has a usable document:
//
//   - the well-known address of RFC 8414, section 3, which goes before the issuer's
//     own path;
//   - that of OpenID Connect Discovery 1.0, section 4, which goes behind it;
//   - the one of RFC 8414 behind the issuer's own path, for an issuer whose proxy
//     forwards only that path.
//
// A document that lacks one of the named endpoints, such as "jwks_uri", is not usable.
// Each address has its share of the time until the context's deadline (10 s if it has
// none). When it has not answered by then, the next one is asked beside it.
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
	// 401, 200 with a web page), so any failure leads to the next address.
	path := strings.TrimSuffix(at.EscapedPath(), "/")
	origin := at.Scheme + "://" + at.Host
	const oauth, openid = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
	addresses := []string{origin + oauth + path, origin + path + openid}
	if path != "" {
		addresses = append(addresses, origin+path+oauth)
	}
	return firstUsable(ctx, addresses, func(ctx context.Context, address string) (*Metadata, error) {
		return c.readMetadata(ctx, at, issuer, address, endpoints)
	})
}

// withoutDeadline is the time for all addresses if the context has no deadline.
const withoutDeadline = 10 * time.Second

// firstUsable asks one address after the other until one has metadata. A request that
// takes longer than its share of the time runs on beside the next one. All have ended
// when it returns.
func firstUsable(ctx context.Context, addresses []string, read func(context.Context, string) (*Metadata, error)) (*Metadata, error) {
	ctx, cancel := context.WithCancel(ctx)
	var reads sync.WaitGroup
	defer reads.Wait()
	defer cancel()
	type answer struct {
		from     int
		metadata *Metadata
		err      error
	}
	answers := make(chan answer, len(addresses))
	errs := make([]error, len(addresses))
	asked, open := 0, 0
	for asked < len(addresses) || open > 0 {
		var share <-chan time.Time
		if asked < len(addresses) {
			from := asked
			reads.Go(func() {
				m, err := read(ctx, addresses[from])
				answers <- answer{from, m, err}
			})
			asked, open = asked+1, open+1
			if rest := len(addresses) - asked; rest > 0 {
				left := withoutDeadline
				if end, ok := ctx.Deadline(); ok {
					left = time.Until(end)
				}
				share = time.After(left / time.Duration(rest+2)) // one share is left to the caller
			}
		}
		select {
		case a := <-answers:
			open--
			if a.err == nil || ctx.Err() != nil {
				return a.metadata, a.err
			}
			errs[a.from] = a.err
		case <-share:
		}
	}
	return nil, joined(errs)
}

// joined returns all errors in one line.
func joined(errs []error) error {
	all := errs[0]
	for _, err := range errs[1:] {
		all = fmt.Errorf("%w; %w", all, err)
	}
	return all
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

// maxURL bounds an endpoint's URL, in bytes: it is in events, in errors and in the state of
// what uses it.
const maxURL = 8 << 10

// Endpoint returns the URL in a member of the metadata: "jwks_uri",
// "token_endpoint", "introspection_endpoint", "revocation_endpoint" or another. A
// missing member is an error, and so is a URL of more than 8 KiB, or one that
// [Client.CheckURL] refuses. An https issuer's endpoints must be https too, even on our
// own loopback. They may be on another host.
func (m *Metadata) Endpoint(name string) (string, error) {
	if m == nil || m.client == nil {
		return "", fmt.Errorf("fetch: no metadata with %s", name)
	}
	uri, _, err := m.Object.String(name)
	if err != nil || uri == "" {
		return "", fmt.Errorf("fetch: %s has no %s", m.address, name)
	}
	if len(uri) > maxURL {
		return "", fmt.Errorf("fetch: %s in %s has more than %d bytes", name, m.address, maxURL)
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
