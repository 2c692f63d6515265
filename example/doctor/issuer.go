package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/echo-m2m/m2m/jwks/fetch"
	"github.com/echo-m2m/m2m/jwks/jose"
)

const wellKnown = "/.well-known/oauth-authorization-server"

// issuer checks what the issuer publishes, through whatever proxy is in front of it.
func (c *check) issuer(ctx context.Context) {
	if err := fetch.NewClient(c.Client, c.InsecureHTTP).CheckIssuer(c.Issuer); err != nil {
		c.add(Wrong, "issuer", err.Error(), "Set ISSUER to an https URL without query and fragment, such as https://auth.example.com. http is for the loopback.")
		return
	}
	at, err := url.Parse(c.Issuer)
	if err != nil {
		c.add(Wrong, "issuer", err.Error(), "Set ISSUER to a URL.")
		return
	}
	origin, path := at.Scheme+"://"+at.Host, strings.TrimSuffix(at.EscapedPath(), "/")
	standard := c.readMetadata(ctx, origin+wellKnown+path)
	c.reach(standard)
	found := standard
	switch {
	case path != "":
		below := c.readMetadata(ctx, origin+path+wellKnown)
		c.bothAddresses(standard, below)
		if standard.document == nil && below.document != nil {
			found = below
		}
	case standard.document != nil:
		c.goodf("metadata", "It is at %s, where RFC 8414 puts it.", standard.address)
	case standard.err == nil:
		c.add(Wrong, "metadata", fmt.Sprintf("%s %s.", standard.address, standard.why), "Have the proxy pass /.well-known/ on to the issuer, unchanged.")
	}
	if found.document != nil && c.named(found) {
		c.tokenEndpoint(ctx, found)
	}
	c.clock(found)
	c.keySet(ctx, found)
}

// metadata is what an address of the metadata answered.
type metadata struct {
	address  string
	answer   *answer
	document *jose.Object // nil if there is none
	err      error        // nothing answered
	why      string       // an answer without a document
}

func (c *check) readMetadata(ctx context.Context, address string) metadata {
	m := metadata{address: address}
	if m.answer, m.err = c.get(ctx, address); m.err != nil {
		return m
	}
	if m.answer.status != http.StatusOK {
		m.why = fmt.Sprintf("answers %d, and not with the metadata", m.answer.status)
		return m
	}
	document, err := jose.ParseObject(strings.TrimPrefix(string(m.answer.body), "\ufeff"))
	if err != nil {
		m.why = "answers with something else than the metadata: " + err.Error()
		return m
	}
	m.document = &document
	return m
}

func (c *check) reach(m metadata) {
	if m.err != nil {
		c.add(Wrong, "issuer", fmt.Sprintf("Nothing answers at %s: %v.", c.Issuer, m.err),
			"Start the issuer. If it runs, check ISSUER, DNS, the firewall and the certificate, from this machine.")
		return
	}
	c.goodf("issuer", "%s answers.", c.Issuer)
}

// bothAddresses is for an issuer with a path, which a proxy often sends on alone.
func (c *check) bothAddresses(standard, below metadata) {
	switch {
	case standard.err != nil && below.err != nil:
	case standard.document != nil && below.document != nil:
		c.goodf("metadata", "It is at %s, where RFC 8414 puts it, and at %s.", standard.address, below.address)
	case standard.document != nil:
		c.add(Notice, "metadata", fmt.Sprintf("It is at %s, where RFC 8414 puts it. It is not at %s, where some clients look.", standard.address, below.address),
			"Nothing, unless a client of yours needs that address.")
	case below.document != nil:
		c.add(Wrong, "metadata", fmt.Sprintf("It is at %s alone. RFC 8414 puts it at %s, which %s.", below.address, standard.address, orError(standard)),
			"Have the proxy pass that path on to the issuer too, unchanged.")
	default:
		c.add(Wrong, "metadata", fmt.Sprintf("It is neither at %s, which %s, nor at %s, which %s.", standard.address, orError(standard), below.address, orError(below)),
			"Have the proxy pass both paths on to the issuer, unchanged: a proxy that removes the prefix leaves paths that the issuer does not have.")
	}
}

func orError(m metadata) string {
	if m.err != nil {
		return "does not answer"
	}
	return m.why
}

// named compares the issuer that the metadata names, as verifiers do: byte for byte.
func (c *check) named(m metadata) bool {
	named, _, err := m.document.String("issuer")
	if err != nil || named != c.Issuer {
		c.add(Wrong, "issuer", fmt.Sprintf("The metadata at %s names the issuer %.200q, and the configuration names %q.", m.address, named, c.Issuer),
			"Set ISSUER to one of the two at every program. It is compared byte for byte, so a slash at the end counts.")
		return false
	}
	c.goodf("issuer", "The metadata names the same issuer.")
	return true
}

// tokenEndpoint finds out whether the proxy passes on POST /token. A GET grants
// nothing, and a token endpoint refuses it with 405.
func (c *check) tokenEndpoint(ctx context.Context, m metadata) {
	endpoint, _, err := m.document.String("token_endpoint")
	if err != nil || endpoint == "" {
		c.add(Wrong, "issuer", "The metadata names no token_endpoint.", "Is it an issuer's?")
		return
	}
	a, err := c.get(ctx, endpoint)
	switch {
	case err != nil:
		c.add(Wrong, "issuer", fmt.Sprintf("The token endpoint %s does not answer: %v.", endpoint, err), "Have the proxy pass it on.")
	case a.status == http.StatusNotFound || a.status >= 500:
		c.add(Wrong, "issuer", fmt.Sprintf("The token endpoint %s answers %d.", endpoint, a.status), "Have the proxy pass it on, with its path unchanged.")
	case a.status < 400:
		c.add(Wrong, "issuer", fmt.Sprintf("The token endpoint %s answers %d to a GET, which a token endpoint refuses.", endpoint, a.status),
			"Is it a page of the proxy, or a redirect? Have the proxy pass it on, with its path unchanged.")
	case !slices.Contains([]int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusMethodNotAllowed}, a.status):
		c.add(Unchecked, "issuer", fmt.Sprintf("The token endpoint %s answers %d, as something in front of it may.", endpoint, a.status), "Get a token from this machine.")
	default:
		c.goodf("issuer", "The token endpoint %s answers.", endpoint)
	}
}
