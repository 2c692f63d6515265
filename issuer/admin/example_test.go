package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
)

// The API on an Echo app. The guard here is a stand-in for
// auth.Require("clients:admin") of package middleware.
func ExampleAPI_Mount() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "admin")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	keys, err := jwks.Open(ctx, jwks.File(filepath.Join(dir, "keys.json")), jwks.Policy{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer keys.Close()
	store, err := registry.NewMemory() // sqlite.Open and sqlstore.Open return a Manager too
	if err != nil {
		fmt.Println(err)
		return
	}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer iss.Close()

	api, err := admin.New(admin.Config{
		Issuer: iss, Manager: store,
		Observe: func(_ context.Context, e admin.Event) {
			fmt.Println(e.Op, "of", e.Target, "by", e.ClientID)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	e := echo.New()
	iss.Mount(e)
	api.Mount(e.Group("/admin", func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if c.Request().Header.Get("X-Operator") == "" {
				return echo.ErrUnauthorized
			}
			return next(c)
		}
	}), func(c echo.Context) string { return c.Request().Header.Get("X-Operator") }) // with a Bearer: bearer.TokenFrom(c).ClientID

	for _, operator := range []string{"", "alice"} {
		r := httptest.NewRequest(http.MethodPost, "/admin/clients", strings.NewReader(`{"client_id":"reports","audiences":["https://api.example.com"],"scope":"orders:read"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Operator", operator)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 401
	// admin.register of reports by alice
	// 201
}

// The OpenAPI document, for a generator of clients or a page of documentation.
func ExampleOpenAPI() {
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	if err := json.Unmarshal(admin.OpenAPI(), &doc); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(doc.OpenAPI, len(doc.Paths), doc.Paths["/clients"]["post"] != nil)
	// Output: 3.1.0 9 true
}

// Clients of a file, in the form of the API.
func ExampleReadRecords() {
	records, err := admin.ReadRecords([]byte(`[
		{"client_id": "reports", "client_secret": "correct horse", "scope": "orders:read",
		 "audiences": ["https://api.example.com"], "token_ttl": 300, "metadata": {"tenant": "acme"}}
	]`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range records {
		fmt.Println(r.Client.ID, r.Client.Scopes, r.Client.Audiences, r.Client.TokenTTL, r.Client.Metadata, len(r.Secret))
	}
	// Output:
	// reports [orders:read] [https://api.example.com] 5m0s map[tenant:acme] 13
}
