package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// refusal is an error answer in the form of RFC 6749, section 5.2. The caller is an
// operator, so it says what is wrong.
type refusal struct {
	status            int
	code, description string
	reason            event.Reason
	cause             error
}

func (e *refusal) Error() string { return "admin: " + e.code + ": " + e.description }

func (e *refusal) Unwrap() error { return e.cause }

func invalidRequest(reason event.Reason, description string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "invalid_request", description: description, reason: reason}
}

func malformed(description string) *refusal {
	return invalidRequest(event.MalformedRequest, description)
}

// invalidMetadata is the error of RFC 7591, section 3.2.2.
func invalidMetadata(description string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "invalid_client_metadata", description: description, reason: event.InvalidClient}
}

// sameOrigin refuses a request that a page of another origin makes a browser send.
// Such a page cannot add a bearer token.
func sameOrigin(r *http.Request) error {
	if scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		return nil
	}
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return &refusal{http.StatusForbidden, "access_denied", "the request is from another origin", event.Forbidden, err}
	}
	return nil
}

func internal(cause error) *refusal {
	return &refusal{status: http.StatusInternalServerError, code: "server_error", description: "the answer could not be made", reason: event.Internal, cause: cause}
}

// members are the JSON names of the fields that a store may refuse.
var members = map[string]string{ //nolint:gosec // names of members, no credentials
	"Client.ID": "client_id", "Client.Name": "client_name", "Client.AuthMethod": "token_endpoint_auth_method",
	"Client.Scopes": "scope", "Client.Audiences": "audiences", "Client.DefaultAudience": "default_audience",
	"Client.Introspects": "introspects", "Client.TokenTTL": "token_ttl", "Client.Metadata": "metadata", "Client.Version": "version",
	"Client.Secrets": "client_secret", "Secret": "client_secret",
	"Client.JWKS": "jwks", "Client.JWKSURI": "jwks_uri", "Client.TLSClientAuthSubjectDN": "tls_client_auth_subject_dn",
	"Client.TLSClientAuthSANDNS": "tls_client_auth_san_dns", "Client.TLSClientAuthSANURI": "tls_client_auth_san_uri", "Client.TLSClientAuthSANIP": "tls_client_auth_san_ip",
	"Client.TLSClientAuthSANEmail": "tls_client_auth_san_email", "Client.TLSClientAuthSAN…": "tls_client_auth_san_…",
	"Client.Workloads": "workload", "Workload.InsecureSharedSubject": "insecure_shared_subject",
	"Client.DPoPBoundTokens": "dpop_bound_access_tokens", "Client.CertificateBoundTokens": "tls_client_certificate_bound_access_tokens",
	"Rotation.Overlap": "overlap", "Rotation.Label": "label", "Rotation.Revoke": "revoke", "Secret.Label": "label", "Secret.Hash": "client_secret_hash", "Secret.ID": "secret_id",
	"Query.Search": "search", "Query.After": "after", "Query.Limit": "limit",
}

// inMembers replaces the names of Go by those of members in the text of a problem.
var inMembers = func() *strings.Replacer {
	names := slices.SortedFunc(maps.Keys(members), func(a, b string) int {
		return cmp.Or(len(b)-len(a), strings.Compare(a, b)) // a name before its beginning
	})
	var pairs []string
	for _, name := range names {
		if strings.Contains(name, ".") { // not the word Secret
			pairs = append(pairs, name, members[name])
		}
	}
	return strings.NewReplacer(pairs...)
}()

// invalidField is the answer to a record that the store would never take. It names the
// member.
func invalidField(e *registry.InvalidError) *refusal {
	field, element, _ := strings.Cut(e.Field, "[") // such as Client.Workloads[0].Subject
	name, ok := members[field]
	if !ok {
		name = strings.ToLower(field)
	}
	if field == "Client.Workloads" && element != "" {
		name += "[" + strings.ToLower(element)
	}
	problem := inMembers.Replace(e.Problem)
	answer := invalidMetadata(name + ": " + problem)
	if !strings.HasPrefix(field, "Client") {
		answer = malformed(name + ": " + problem)
	}
	answer.cause = e
	return answer
}

// refusalOf returns the answer to an error. An unknown one is a failure of the store.
func refusalOf(err error) *refusal {
	var known *refusal
	var invalid *registry.InvalidError
	var marshal *json.MarshalerError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &invalid):
		return invalidField(invalid)
	case errors.As(err, &marshal):
		return internal(err)
	case errors.Is(err, registry.ErrNotFound):
		return &refusal{http.StatusNotFound, "not_found", "there is no such client or secret", event.NotFound, err}
	case errors.Is(err, registry.ErrConflict):
		return &refusal{http.StatusConflict, "conflict", "the client_id or secret_id is taken, or the client was changed since this version was read", event.Conflict, err}
	}
	return &refusal{http.StatusServiceUnavailable, "temporarily_unavailable", "try again in a moment", event.StoreUnavailable, err}
}

func (e *refusal) write(w http.ResponseWriter) {
	if e.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	body, err := json.Marshal(struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}{e.code, e.description})
	if err != nil {
		body = []byte(`{"error":"server_error"}`)
	}
	writeJSON(w, e.status, body)
}

// encode writes an answer. It escapes nothing that JSON leaves alone, so that a key set
// comes out as it went in.
func encode(answer any) ([]byte, error) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(answer)
	return bytes.TrimSuffix(body.Bytes(), []byte("\n")), err
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff") // no browser takes a name for HTML
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have left
}
