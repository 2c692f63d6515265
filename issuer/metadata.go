package issuer

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/echo-m2m/m2m/issuer/registry"
)

const (
	jwksPath       = "/.well-known/jwks.json"
	revokePath     = "/revoke"
	introspectPath = "/introspect"
	metadataPath   = "/.well-known/oauth-authorization-server"
)

// newMetadata returns the document of RFC 8414, section 2.
func (i *Issuer) newMetadata() ([]byte, error) {
	base := strings.TrimSuffix(i.url, "/")
	methods := []string{registry.ClientSecretBasic, registry.ClientSecretPost}
	var scopes []string
	for _, known := range i.resources {
		scopes = append(scopes, known...)
	}
	slices.Sort(scopes)
	return json.Marshal(struct {
		Issuer        string   `json:"issuer"`
		TokenEndpoint string   `json:"token_endpoint"`
		JWKSURI       string   `json:"jwks_uri"`
		Scopes        []string `json:"scopes_supported,omitempty"`
		ResponseTypes []string `json:"response_types_supported"` // required, and there are none
		GrantTypes    []string `json:"grant_types_supported"`
		AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`

		RevocationEndpoint    string   `json:"revocation_endpoint"`
		RevocationMethods     []string `json:"revocation_endpoint_auth_methods_supported"`
		IntrospectionEndpoint string   `json:"introspection_endpoint"`
		IntrospectionMethods  []string `json:"introspection_endpoint_auth_methods_supported"`

		Resources []string `json:"protected_resources,omitempty"` // RFC 9728, section 4
	}{
		Issuer:        i.url,
		TokenEndpoint: base + i.tokenPath,
		JWKSURI:       base + jwksPath,
		Scopes:        slices.Compact(scopes),
		ResponseTypes: []string{},
		GrantTypes:    []string{"client_credentials"},
		AuthMethods:   methods,

		RevocationEndpoint:    base + revokePath,
		RevocationMethods:     methods,
		IntrospectionEndpoint: base + introspectPath,
		IntrospectionMethods:  methods,

		Resources: slices.Sorted(maps.Keys(i.resources)),
	})
}

func (i *Issuer) serveMetadata(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(i.metadata)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(i.metadata) // the client may have left
	}
}
