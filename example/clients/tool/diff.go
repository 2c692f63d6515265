package tool

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// fieldChange is a field of a client that differs. Its name is the member of the
// record.
type fieldChange struct {
	Name string `json:"name"`
	From string `json:"from"`
	To   string `json:"to"`
}

func (c fieldChange) String() string {
	return fmt.Sprintf("%s: %s -> %s", c.Name, dash(c.From), dash(c.To))
}

// differences returns which fields differ between two records of a client. Lists are
// compared without their order, which means nothing.
func differences(from, to *registry.Client) (changes []fieldChange) {
	list := func(values []string) string { return strings.Join(slices.Sorted(slices.Values(values)), " ") }
	for _, f := range []struct {
		name     string
		from, to string
	}{
		{"client_name", from.Name, to.Name},
		{"disabled", fmt.Sprint(from.Disabled), fmt.Sprint(to.Disabled)},
		{"token_endpoint_auth_method", from.AuthMethod, to.AuthMethod},
		{"jwks", canonical(from.JWKS), canonical(to.JWKS)},
		{"jwks_uri", from.JWKSURI, to.JWKSURI},
		{"tls_client_auth_subject_dn", from.TLSClientAuthSubjectDN, to.TLSClientAuthSubjectDN},
		{"tls_client_auth_san_dns", from.TLSClientAuthSANDNS, to.TLSClientAuthSANDNS},
		{"tls_client_auth_san_uri", from.TLSClientAuthSANURI, to.TLSClientAuthSANURI},
		{"tls_client_auth_san_ip", from.TLSClientAuthSANIP, to.TLSClientAuthSANIP},
		{"tls_client_auth_san_email", from.TLSClientAuthSANEmail, to.TLSClientAuthSANEmail},
		{"workload", workloads(sorted(from.Workloads)), workloads(sorted(to.Workloads))},
		{"dpop_bound_access_tokens", fmt.Sprint(from.DPoPBoundTokens), fmt.Sprint(to.DPoPBoundTokens)},
		{"tls_client_certificate_bound_access_tokens", fmt.Sprint(from.CertificateBoundTokens), fmt.Sprint(to.CertificateBoundTokens)},
		{"scope", list(from.Scopes), list(to.Scopes)},
		{"audiences", list(from.Audiences), list(to.Audiences)},
		{"default_audience", from.DefaultAudience, to.DefaultAudience},
		{"introspects", list(from.Introspects), list(to.Introspects)},
		{"token_ttl", lifetime(from.TokenTTL), lifetime(to.TokenTTL)},
	} {
		if f.from != f.to {
			changes = append(changes, fieldChange{f.name, f.from, f.to})
		}
	}
	keys := map[string]bool{}
	for key := range from.Metadata {
		keys[key] = true
	}
	for key := range to.Metadata {
		keys[key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		was, had := from.Metadata[key]
		is, has := to.Metadata[key]
		if had != has || was != is {
			changes = append(changes, fieldChange{"metadata." + key, entry(was, had), entry(is, has)})
		}
	}
	return changes
}

// entry tells an empty entry of the metadata from none.
func entry(value string, there bool) string {
	if there {
		return cmp.Or(value, `""`)
	}
	return ""
}

// names returns the names of the changed fields.
func names(changes []fieldChange) string {
	list := make([]string, len(changes))
	for n, c := range changes {
		list[n] = c.Name
	}
	return strings.Join(list, ", ")
}
