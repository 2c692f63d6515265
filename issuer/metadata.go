package issuer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/echo-m2m/m2m/jwks/jose"
)

const (
	jwksPath       = "/.well-known/jwks.json"
	revokePath     = "/revoke"
	introspectPath = "/introspect"
	metadataPath   = "/.well-known/oauth-authorization-server"
	openIDPath     = "/.well-known/openid-configuration"
)

// newMetadata returns the document of RFC 8414, section 2. With openID it adds the
// members that OpenID Connect Discovery, section 3 requires, as far as they apply.
func (i *Issuer) newMetadata(openID bool) ([]byte, error) {
	base := strings.TrimSuffix(i.url, "/")
	var scopes []string
	for _, known := range i.resources {
		scopes = append(scopes, known...)
	}
	slices.Sort(scopes)
	var subjects, algorithms []string
	if openID {
		subjects, algorithms = []string{"public"}, i.algorithms()
	}
	return json.Marshal(struct {
		Issuer        string   `json:"issuer"`
		TokenEndpoint string   `json:"token_endpoint"`
		JWKSURI       string   `json:"jwks_uri"`
		Scopes        []string `json:"scopes_supported,omitempty"`
		ResponseTypes []string `json:"response_types_supported"` // required; there are none
		GrantTypes    []string `json:"grant_types_supported"`
		AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`

		// Of assertions, for private_key_jwt: required beside it (RFC 8414, section 2).
		AuthAlgorithms []string `json:"token_endpoint_auth_signing_alg_values_supported"`

		RevocationEndpoint    string   `json:"revocation_endpoint"`
		RevocationMethods     []string `json:"revocation_endpoint_auth_methods_supported"`
		RevocationAlgorithms  []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
		IntrospectionEndpoint string   `json:"introspection_endpoint"`
		IntrospectionMethods  []string `json:"introspection_endpoint_auth_methods_supported"`
		IntrospectAlgorithms  []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`

		Resources []string `json:"protected_resources,omitempty"` // RFC 9728, section 4

		ProofAlgorithms  []string `json:"dpop_signing_alg_values_supported,omitempty"`          // RFC 9449, section 5.1
		CertificateBound bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"` // RFC 8705, section 3.3
		Aliases          *aliases `json:"mtls_endpoint_aliases,omitempty"`                      // RFC 8705, section 5

		Subjects   []string `json:"subject_types_supported,omitempty"` // the sub of a client is the same for all APIs
		Algorithms []string `json:"id_token_signing_alg_values_supported,omitempty"`
	}{
		Issuer:        i.url,
		TokenEndpoint: base + i.tokenPath,
		JWKSURI:       base + jwksPath,
		Scopes:        slices.Compact(scopes),
		ResponseTypes: []string{},
		GrantTypes:    []string{"client_credentials"},
		AuthMethods:   i.methods,

		AuthAlgorithms: jose.Algorithms(),

		RevocationEndpoint:    base + revokePath,
		RevocationMethods:     i.methods,
		RevocationAlgorithms:  jose.Algorithms(),
		IntrospectionEndpoint: base + introspectPath,
		IntrospectionMethods:  i.methods,
		IntrospectAlgorithms:  jose.Algorithms(),

		Resources: slices.Sorted(maps.Keys(i.resources)),

		ProofAlgorithms:  i.proofs.algorithms(),
		CertificateBound: i.certificates != nil,
		Aliases:          i.aliases(),

		Subjects:   subjects,
		Algorithms: algorithms,
	})
}

// aliases are the endpoints for clients with a certificate (RFC 8705, section 5).
type aliases struct {
	Token         string `json:"token_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
	Introspection string `json:"introspection_endpoint"`
}

func (i *Issuer) aliases() *aliases {
	if i.certificates == nil || i.certificates.Origin == "" {
		return nil
	}
	origin := i.certificates.Origin
	return &aliases{origin + i.at.token, origin + i.at.revocation, origin + i.at.introspection}
}

// algorithms returns the algorithms of the published keys.
func (i *Issuer) algorithms() (algorithms []string) {
	var set document
	if r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, jwksPath, http.NoBody); err == nil {
		i.keys.ServeHTTP(&set, r)
	}
	if keys, err := jose.ParseSet(set.Bytes(), nil); err == nil {
		for _, key := range keys.Keys() {
			algorithms = append(algorithms, key.Algorithm())
		}
	}
	if len(algorithms) == 0 {
		algorithms = []string{cmp.Or(i.keys.Policy().Algorithm, jose.Algorithms()[0])}
	}
	slices.Sort(algorithms)
	return slices.Compact(algorithms)
}

// document is a ResponseWriter that keeps the body.
type document struct {
	bytes.Buffer
	header http.Header
}

func (d *document) Header() http.Header {
	if d.header == nil {
		d.header = http.Header{}
	}
	return d.header
}

func (d *document) WriteHeader(int) {}

func (i *Issuer) serveMetadata(w http.ResponseWriter, r *http.Request) {
	serveDocument(w, r, i.metadata)
}

func (i *Issuer) serveOpenID(w http.ResponseWriter, r *http.Request) { serveDocument(w, r, i.openID) }

func serveDocument(w http.ResponseWriter, r *http.Request, document []byte) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(document)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(document) // the client may have left
	}
}
