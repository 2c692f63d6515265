package outbound

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

// origin is scheme, host and port of a URL (RFC 6454, section 4).
type origin struct{ scheme, host, port string }

// originOf returns the origin of a URL. A host that is not ASCII stays as written, and so
// equals no other spelling: net/http maps it by rules of its own (UTS 46), and two names
// that a lower-case func makes equal may differ there.
func originOf(u *url.URL) origin {
	o := origin{scheme: strings.ToLower(u.Scheme), host: u.Hostname(), port: u.Port()}
	if ascii(o.host) {
		o.host = strings.ToLower(o.host)
	}
	if o.port == "" {
		switch o.scheme {
		case "https":
			o.port = "443"
		case "http":
			o.port = "80"
		}
	}
	return o
}

func ascii(host string) bool {
	return !strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII })
}

// String returns the origin as a URL. An IPv6 address has its brackets.
func (o origin) String() string {
	host := o.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if o.port == "443" && o.scheme == "https" || o.port == "80" && o.scheme == "http" {
		return o.scheme + "://" + host
	}
	return o.scheme + "://" + host + ":" + o.port
}

// origins are where tokens may be sent.
type origins []origin

// parseOrigins reads Config.Origins.
func parseOrigins(given []string, client *fetch.Client) (origins, error) {
	var all origins
	for _, text := range given {
		if err := client.CheckURL(text); err != nil {
			return nil, fmt.Errorf("outbound: Config.Origins: %w", err)
		}
		u, err := url.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("outbound: Config.Origins: %w", err)
		}
		if !ascii(u.Hostname()) {
			return nil, fmt.Errorf("outbound: Config.Origins: the host of %.200q is not ASCII: write its form that begins with xn--", text)
		}
		if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("outbound: Config.Origins: %.200q has more than scheme, host and port: write %q", text, originOf(u).String())
		}
		all = append(all, originOf(u))
	}
	return all, nil
}

// originsOf returns the origins of resources. A resource that is no URL to which a token
// may be sent, such as a urn, has none.
func originsOf(resources []string, client *fetch.Client) origins {
	var all origins
	for _, resource := range resources {
		if u, err := url.Parse(resource); err == nil && client.CheckURL(resource) == nil {
			all = append(all, originOf(u))
		}
	}
	return all
}

// allow reports whether a request to the URL may carry a token.
func (all origins) allow(u *url.URL) bool {
	if u == nil || u.Host == "" {
		return false
	}
	return all.has(originOf(u))
}

// allowTarget reports whether what a request says of its target, beside where it is sent,
// is of these origins: its Host, and a request line in absolute form (RFC 9112, section
// 3.2.2). A server or a proxy may route by either.
func (all origins) allowTarget(r *http.Request) bool {
	if r.Host != "" && r.Host != r.URL.Host && !all.allow(&url.URL{Scheme: r.URL.Scheme, Host: r.Host}) {
		return false
	}
	if r.URL.Opaque == "" || r.URL.Opaque == "*" {
		return true
	}
	line := r.URL.RequestURI()
	target, err := url.Parse(line)
	return err == nil && (strings.HasPrefix(line, "/") || all.allow(target))
}

func (all origins) has(o origin) bool { return slices.Contains(all, o) }

// allowHost is allow for gRPC, which does not tell the scheme.
func (all origins) allowHost(u *url.URL) bool {
	to := originOf(u)
	for _, o := range all {
		if o.host == to.host && o.port == to.port {
			return true
		}
	}
	return false
}

// refusePlain refuses http where a certificate is to be shown: the token would be sent
// without it.
func (all origins) refusePlain(c Config) error {
	if c.Certificate == nil {
		return nil
	}
	for _, o := range all {
		if o.scheme != "https" {
			return fmt.Errorf("outbound: Config.Certificate is shown over https only, and %.200q is not: write https in Config.Origins or the resource", o)
		}
	}
	return nil
}
