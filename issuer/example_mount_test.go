package issuer_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// The endpoints on an Echo app, beside a route of the app.
func ExampleIssuer_Mount() {
	key, err := jose.Generate("ES256")
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, err := jwks.NewKeyring(key) // in a program: jwks.Open(ctx, jwks.File("keys.json"), jwks.Policy{})
	if err != nil {
		fmt.Println(err)
		return
	}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: &registry.Memory{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer iss.Close()

	e := echo.New()
	iss.Mount(e)
	e.GET("/healthz", func(c echo.Context) error { return c.String(http.StatusOK, "ok") })

	for _, request := range []string{"GET /.well-known/oauth-authorization-server", "GET /.well-known/jwks.json", "GET /token", "GET /healthz", "GET /other"} {
		method, path, _ := strings.Cut(request, " ")
		answer := httptest.NewRecorder()
		e.ServeHTTP(answer, httptest.NewRequest(method, path, http.NoBody))
		fmt.Println(answer.Code, request)
	}
	// Output:
	// 200 GET /.well-known/oauth-authorization-server
	// 200 GET /.well-known/jwks.json
	// 405 GET /token
	// 200 GET /healthz
	// 404 GET /other
}
