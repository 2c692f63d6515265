package tool

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// warnings returns faults of a client's audiences. A storage takes them, so that a client
// of another storage can be copied as it is.
func warnings(c *registry.Client) (found []string) {
	if len(c.Audiences) == 0 && len(c.Introspects) == 0 {
		found = append(found, "it has no audience, so it gets no token")
	}
	for _, audience := range c.Audiences {
		// What the issuer takes as resource (RFC 8707, section 2).
		if u, err := url.Parse(audience); err != nil || !u.IsAbs() || strings.Contains(audience, "#") {
			found = append(found, fmt.Sprintf("audience %.200q is not an absolute URI: clients cannot name it in resource", audience))
		}
	}
	return found
}

// warn prints the warnings about a client that was added or changed.
func (s *Session) warn(where string, c *registry.Client) {
	for _, warning := range warnings(c) {
		fmt.Fprintf(s.Err, "%s: warning: %s\n", where, warning)
	}
}

// changesAudiences reports whether one of the changes is about audiences.
func changesAudiences(changes []fieldChange) bool {
	for _, change := range changes {
		if change.Name == "audiences" || change.Name == "introspects" {
			return true
		}
	}
	return false
}
