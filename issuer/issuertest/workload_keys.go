package issuertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// workloadKeys is the key set in force.
type workloadKeys struct{ workload *Workload }

// Key returns the published key with this kid for this alg.
func (k workloadKeys) Key(ctx context.Context, kid, alg string) (*jose.Key, error) {
	if err := k.workload.KeySet.pass(ctx); err != nil {
		return nil, errors.Join(jwks.ErrUnavailable, err)
	}
	if key := k.workload.published().Find(kid, alg); key != nil {
		return key, nil
	}
	return nil, fmt.Errorf("%w: kid %.40q, alg %.40q", jwks.ErrUnknownKey, kid, alg)
}

// ServeHTTP serves the metadata of OpenID Connect, at the path that ends in
// /.well-known/openid-configuration, and the key set at /keys.
func (w *Workload) ServeHTTP(answer http.ResponseWriter, r *http.Request) {
	switch {
	case !w.made(nil):
		http.Error(answer, "issuertest: this Workload was not made by issuertest.NewWorkload(t, kind)", http.StatusInternalServerError)
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
		writeJSON(answer, map[string]any{
			"issuer": w.layout.issuer, "jwks_uri": "https://" + r.Host + "/keys",
			"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{w.layout.alg},
		})
	case r.URL.Path == "/keys":
		w.KeySet.serve(answer, r, http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) { writeJSON(answer, w.published()) }))
	default:
		http.NotFound(answer, r)
	}
}

// writeJSON answers with a value that encoding/json can encode.
func writeJSON(w http.ResponseWriter, value any) {
	encoded, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(encoded) // the caller may have left
}
