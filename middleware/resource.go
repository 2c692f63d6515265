package middleware

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Resource is what [Config.Resource] publishes about this API (RFC 9728, section 2). All
// of it is public. The issuer, and what the Bearer accepts of DPoP and client
// certificates, are added.
type Resource struct {
	// URL is the resource identifier: https, or http on the loopback, without query and
	// fragment, such as "https://api.example.com/v1". Its path has letters, digits and
	// -._~ alone. Default: Audience, which must then be such a URL.
	URL string

	// Scopes are the scopes that a client may ask for. Default: not published.
	Scopes []string

	// Name is the name of the API, for people. Default none.
	Name string

	// Documentation, Policy and TermsOfService are URLs of pages for people. Default
	// none.
	Documentation, Policy, TermsOfService string
}

const wellKnown = "/.well-known/oauth-protected-resource"

// newResource returns a copy that is checked.
func newResource(c Resource, audiences []string) (*Resource, error) {
	if c.URL == "" && len(audiences) > 0 {
		c.URL = audiences[0]
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil, u.Host == "", u.User != nil, u.RawQuery != "", u.ForceQuery, strings.Contains(c.URL, "#"),
		u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())), !printable(u.Host) || strings.ContainsAny(u.Host, `"\`):
		return nil, fmt.Errorf(`middleware: Config.Resource.URL %q: write the URL of this API, https without query and fragment, such as "https://api.example.com"`, c.URL)
	case !plainPath(u.EscapedPath()):
		return nil, fmt.Errorf("middleware: Config.Resource.URL %q: write a path of letters, digits and -._~ alone, without empty and dot segments", c.URL)
	}
	for field, page := range map[string]string{"Documentation": c.Documentation, "Policy": c.Policy, "TermsOfService": c.TermsOfService} {
		if p, err := url.Parse(page); page != "" && (err != nil || p.Host == "" || p.Scheme != "https" && p.Scheme != "http") {
			return nil, fmt.Errorf("middleware: Config.Resource.%s %q: write the URL of a page", field, page)
		}
	}
	if i := slices.IndexFunc(c.Scopes, func(s string) bool { return !isScope(s) }); i >= 0 {
		return nil, fmt.Errorf("middleware: Config.Resource.Scopes: %q cannot be a scope", c.Scopes[i])
	}
	c.Scopes = slices.Clone(c.Scopes)
	return &c, nil
}

// plainPath reports whether a path means the same to every router.
func plainPath(p string) bool {
	if strings.Trim(p, "/") == "" {
		return len(p) < 2
	}
	ordinary := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/-._~", r)
	}
	return !strings.ContainsFunc(p, func(r rune) bool { return !ordinary(r) }) && path.Clean(p) == strings.TrimSuffix(p, "/")
}

// split returns the origin and the path of the metadata: the path of the resource is
// behind that of the document (RFC 9728, section 3.1).
func (c *Resource) split() (origin, metadata string) {
	u, err := url.Parse(c.URL)
	if err != nil { // newResource has parsed it
		return "", wellKnown
	}
	if u.Path == "/" {
		u.Path = ""
	}
	return u.Scheme + "://" + u.Host, wellKnown + u.Path
}

func (c *Resource) metadataURL() string {
	origin, metadata := c.split()
	return origin + metadata
}

// ResourceMetadata returns the path and the handler of the metadata of [Config.Resource].
// They are public, so no guard may be in front:
//
//	mux.Handle(auth.ResourceMetadata())
//
// For Echo see [Bearer.Mount]. The path is /.well-known/oauth-protected-resource and the
// path of the resource, at the root of the host. The handler answers at no other path.
// Without Config.Resource it answers 404.
func (b *Bearer) ResourceMetadata() (path string, h http.Handler) {
	if !b.usable() || b.resource == nil {
		return wellKnown, http.NotFoundHandler()
	}
	_, path = b.resource.split()
	document, err := json.Marshal(b.metadata())
	return path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != path || err != nil:
			http.NotFound(w, r)
			return
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(document)))
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("Access-Control-Allow-Origin", "*") // a browser may read it as anyone can
		if r.Method == http.MethodGet {
			_, _ = w.Write(document) // the client may have left
		}
	})
}

// metadata is the document of RFC 9728, section 2.
func (b *Bearer) metadata() any {
	m := struct {
		Resource       string   `json:"resource"`
		Servers        []string `json:"authorization_servers,omitempty"`
		Scopes         []string `json:"scopes_supported,omitempty"`
		Methods        []string `json:"bearer_methods_supported"`
		Name           string   `json:"resource_name,omitempty"`
		Documentation  string   `json:"resource_documentation,omitempty"`
		Policy         string   `json:"resource_policy_uri,omitempty"`
		TermsOfService string   `json:"resource_tos_uri,omitempty"`
		Certificates   bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
		Proofs         []string `json:"dpop_signing_alg_values_supported,omitempty"`
		ProofsRequired bool     `json:"dpop_bound_access_tokens_required,omitempty"`
	}{
		Resource: b.resource.URL, Scopes: b.resource.Scopes, Methods: []string{"header"},
		Name: b.resource.Name, Documentation: b.resource.Documentation, Policy: b.resource.Policy, TermsOfService: b.resource.TermsOfService,
		Certificates: b.certificates != nil,
	}
	if b.members == nil {
		m.Servers = []string{b.issuer}
	} else {
		for _, one := range b.members.list {
			m.Servers = append(m.Servers, one.issuer)
		}
	}
	if b.dpop != nil {
		m.Proofs = b.dpop.verifier.Algorithms()
		m.ProofsRequired = b.requireBound && b.certificates == nil
	}
	return m
}
