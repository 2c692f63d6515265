package middleware_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// An Echo app with a guarded group. An app of its own has Keys: nil, and finds the keys
// of the issuer by itself. Here the key of the issuer is in the same process.
func Example() {
	dir, err := os.MkdirTemp("", "bearer")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	keys, err := jwks.Open(ctx, jwks.File(filepath.Join(dir, "keys.json")), jwks.Policy{})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()

	auth, err := bearer.New(bearer.Config{
		Issuer:   "https://auth.example.com",
		Audience: "https://api.example.com",
		Keys:     keys,
	})
	if err != nil {
		log.Fatal(err)
	}
	e := echo.New()
	v1 := e.Group("/v1", auth.Require()) // any valid token
	v1.GET("/orders", func(c echo.Context) error {
		return c.String(http.StatusOK, "orders of "+bearer.TokenFrom(c).ClientID)
	}, auth.Require("orders:read")) // and this scope
	v1.DELETE("/orders", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) }, auth.Require("orders:write"))

	now := time.Now()
	token, err := keys.Sign(ctx, "at+jwt", fmt.Appendf(nil, // as the issuer does
		`{"iss":"https://auth.example.com","aud":"https://api.example.com","sub":"reports","client_id":"reports","jti":"1","iat":%d,"exp":%d,"scope":"orders:read"}`,
		now.Unix(), now.Add(time.Minute).Unix()))
	if err != nil {
		log.Fatal(err)
	}
	for _, method := range []string{"GET", "DELETE"} {
		r := httptest.NewRequest(method, "/v1/orders", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		fmt.Println(method, w.Code, w.Body)
	}
	// Output:
	// GET 200 orders of reports
	// DELETE 403 {"message":"the access token does not permit this request"}
}
