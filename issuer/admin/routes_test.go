package admin

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
)

// The OpenAPI document has every route of the API, with its query parameters. No answer
// lists the routes, so they are read here.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	store, err := registry.NewMemory()
	if err != nil {
		t.Fatal(err)
	}
	api, err := New(Config{Issuer: new(issuer.Issuer), Manager: store})
	if err != nil || len(api.routes) == 0 {
		t.Fatal(err)
	}
	for _, route := range api.routes {
		path := "/" + strings.Join(route.path, "/")
		operation := string(doc.Paths[path][strings.ToLower(route.method)])
		if operation == "" {
			t.Errorf("%s %s is not in the document", route.method, path)
		}
		for _, name := range route.query {
			if !strings.Contains(operation, `"#/components/parameters/`+name+`"`) {
				t.Errorf("%s %s: the parameter %s is not in the document", route.method, path, name)
			}
		}
	}
}
