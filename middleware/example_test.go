package middleware_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware" // Echo has a package middleware of its own
)

func ExampleNew() {
	_, err := bearer.New(bearer.Config{Issuer: "https://auth.example.com"})
	fmt.Println(err)

	auth, err := bearer.New(bearer.Config{
		Issuer:   "https://auth.example.com",
		Audience: "https://api.example.com",
		Keys:     jwks.NewRemote("https://auth.example.com/.well-known/jwks.json", jwks.RemoteConfig{}),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	e := echo.New()
	e.GET("/orders", listOrders, auth.Require("orders:read"))
	fmt.Println(call(e, "/orders", ""))
	// Output:
	// middleware: Config.Audience is empty: write this API's identifier, such as "https://api.example.com"
	// 401 Bearer realm="api"
}

func ExampleBearer_Require() {
	auth, token := exampleAuth(bearer.Config{})
	e := echo.New()
	v1 := e.Group("/v1", auth.Require())                       // any valid token
	v1.GET("/orders", listOrders, auth.Require("orders:read")) // verified once, then the scope
	v1.GET("/stock", listOrders, auth.Require("stock:read"))

	fmt.Println(call(e, "/v1/orders", token))
	fmt.Println(call(e, "/v1/stock", token))
	fmt.Println(call(e, "/v1/orders", token+"x"))
	fmt.Println(call(e, "/v1/nowhere", ""))
	// Output:
	// 200 app1 lists orders
	// 403 Bearer error="insufficient_scope", error_description="the access token does not permit this request", scope="stock:read"
	// 401 Bearer error="invalid_token", error_description="the access token is not valid"
	// 404
}

func ExampleBearer_RequireAny() {
	auth, token := exampleAuth(bearer.Config{})
	e := echo.New()
	e.GET("/orders", listOrders, auth.RequireAny("orders:read", "admin"))
	fmt.Println(call(e, "/orders", token))
	// Output: 200 app1 lists orders
}

func ExampleBearer_RequireFunc() {
	auth, token := exampleAuth(bearer.Config{
		Observe: func(_ context.Context, event bearer.Event) {
			fmt.Println("observed:", event.Status, event.ClientID, event.Reason, event.Err)
		},
	})
	e := echo.New()
	e.GET("/tenants/:tenant/orders", listOrders, auth.RequireFunc(func(c echo.Context, t *bearer.Token) error {
		var claims struct {
			Tenant string `json:"tenant"`
		}
		if err := t.Claims(&claims); err != nil {
			return err
		}
		if claims.Tenant != c.Param("tenant") {
			return fmt.Errorf("a token of tenant %s", claims.Tenant)
		}
		return nil
	}))
	fmt.Println(call(e, "/tenants/acme/orders", token))
	fmt.Println(call(e, "/tenants/other/orders", token))
	// Output:
	// observed: 0 app1  <nil>
	// 200 app1 lists orders
	// observed: 403 app1 forbidden a token of tenant acme
	// 403 Bearer error="insufficient_scope", error_description="the access token does not permit this request"
}

func ExampleBearer_Echo() {
	auth, _ := exampleAuth(bearer.Config{})
	guard := auth.Echo(bearer.EchoOptions{
		ErrorHandler: func(c echo.Context, err error) error {
			var refused *bearer.Error
			if !errors.As(err, &refused) {
				return err
			}
			return c.JSON(refused.Status, map[string]string{"error": refused.Code, "error_description": refused.Description})
		},
	})
	e := echo.New()
	e.GET("/orders", listOrders, guard.Require())
	fmt.Println(call(e, "/orders", "a.b.c"))
	// Output: 401 Bearer error="invalid_token", error_description="the access token is not valid"
}

func ExampleBearer_Handler() {
	auth, token := exampleAuth(bearer.Config{})
	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, bearer.TokenFromContext(r.Context()).ClientID, " lists orders")
	})
	mux := http.NewServeMux()
	mux.Handle("GET /orders", auth.Handler(orders, "orders:read"))
	mux.Handle("GET /stock", auth.Handler(orders, "stock:read"))
	fmt.Println(call(mux, "/orders", token))
	fmt.Println(call(mux, "/stock", token))
	fmt.Println(call(mux, "/orders", ""))
	// Output:
	// 200 app1 lists orders
	// 403 Bearer error="insufficient_scope", error_description="the access token does not permit this request", scope="stock:read"
	// 401 Bearer realm="api"
}

// listOrders is a handler behind a guard.
func listOrders(c echo.Context) error {
	return c.String(http.StatusOK, bearer.TokenFrom(c).ClientID+" lists orders")
}

// exampleAuth is a Bearer and a token for it, as an issuer would make one.
func exampleAuth(config bearer.Config) (*bearer.Bearer, string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	keys, err := jwks.NewKeyring(private)
	if err != nil {
		panic(err)
	}
	config.Issuer, config.Audience, config.Keys = "https://auth.example.com", "https://api.example.com", keys
	auth, err := bearer.New(config)
	if err != nil {
		panic(err)
	}
	now := time.Now().Unix()
	token, err := keys.Sign(context.Background(), "at+jwt", fmt.Appendf(nil,
		`{"iss":"https://auth.example.com","aud":"https://api.example.com","sub":"app1","client_id":"app1","jti":"1","iat":%d,"exp":%d,"scope":"orders:read","tenant":"acme"}`,
		now, now+900))
	if err != nil {
		panic(err)
	}
	return auth, token
}

// call is the status of a GET, with the challenge or the body.
func call(h http.Handler, path, token string) string {
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	says := w.Header().Get("WWW-Authenticate")
	if w.Code == http.StatusOK {
		says = w.Body.String()
	}
	return fmt.Sprint(w.Code, " ", says)
}
