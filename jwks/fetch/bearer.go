package fetch

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// bearer is a token for the requests to one origin.
type bearer struct {
	scheme, host string
	token        func() (string, error)
}

// WithBearer returns a Client that sends a bearer token (RFC 6750, section 2.1) with each
// request to the origin of a URL: its scheme, host and port. No other origin gets the
// token, also if a document or a redirect leads there. token is called for each such
// request. Over http it is sent to the loopback only.
func (c *Client) WithBearer(to string, token func() (string, error)) (*Client, error) {
	u, err := c.parse(to)
	if err != nil {
		return nil, err
	}
	if c == nil || c.http == nil {
		return nil, errZeroClient
	}
	with := *c
	with.bearer = &bearer{u.Scheme, hostPort(u), token}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return nil, fmt.Errorf("fetch: %.200q is not https: a bearer token would cross the network in plain text", to)
	}
	return &with, nil
}

// authorize adds the token, if the request is to its origin.
func (b *bearer) authorize(r *http.Request) error {
	if b == nil || r.URL.Scheme != b.scheme || hostPort(r.URL) != b.host {
		return nil
	}
	token, err := b.token()
	if err != nil {
		return fmt.Errorf("fetch: the bearer token for %s: %w", b.host, err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// hostPort returns the host in lower case with its port.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return strings.ToLower(u.Hostname()) + " " + port
}
