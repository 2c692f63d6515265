package admin

import (
	_ "embed" // openapi.json
	"encoding/json"
	"net/http"
	"slices"
)

//go:embed openapi.json
var document []byte

// OpenAPI returns the OpenAPI 3.1 document of the API. The API serves it at
// /openapi.json, behind the same guard as all else. It holds no secret, so an app may
// publish it too.
func OpenAPI() []byte { return slices.Clone(document) }

func (a *API) openAPI(*http.Request, *Event) (int, any, error) {
	return http.StatusOK, json.RawMessage(document), nil
}
