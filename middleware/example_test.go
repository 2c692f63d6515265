package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
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

func ExampleBearer_HandlerFunc() {
	auth, token := exampleAuth(bearer.Config{})
	orders := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the orders") })
	mux := http.NewServeMux()
	mux.Handle("GET /tenants/{tenant}/orders", auth.HandlerFunc(orders, func(r *http.Request, t *bearer.Token) error {
		var claims struct {
			Tenant string `json:"tenant"`
		}
		if err := t.Claims(&claims); err != nil {
			return err
		}
		if claims.Tenant != r.PathValue("tenant") {
			return fmt.Errorf("a token of tenant %s", claims.Tenant)
		}
		return nil
	}))
	fmt.Println(call(mux, "/tenants/acme/orders", token))
	fmt.Println(call(mux, "/tenants/other/orders", token))
	// Output:
	// 200 the orders
	// 403 Bearer error="insufficient_scope", error_description="the access token does not permit this request"
}

func ExampleBearer_HandlerAny() {
	auth, token := exampleAuth(bearer.Config{})
	orders := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the orders") })
	fmt.Println(call(auth.HandlerAny(orders, "orders:read", "admin"), "/orders", token))
	// Output: 200 the orders
}

func ExampleTokenFromContext() {
	auth, token := exampleAuth(bearer.Config{})
	fmt.Println(call(auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := bearer.TokenFromContext(r.Context())
		fmt.Fprint(w, t.ClientID, t.Scopes, t.HasScope("orders:write"))
	})), "/", token))
	// Output: 200 app1[orders:read] false
}

func ExampleTokenFrom() {
	auth, token := exampleAuth(bearer.Config{})
	e := echo.New()
	e.GET("/", func(c echo.Context) error {
		t := bearer.TokenFrom(c)
		return c.String(http.StatusOK, fmt.Sprint(t.ClientID, t.Scopes))
	}, auth.Require())
	fmt.Println(call(e, "/", token))
	// Output: 200 app1[orders:read]
}

func ExampleToken_Claims() {
	auth, token := exampleAuth(bearer.Config{})
	e := echo.New()
	e.GET("/", func(c echo.Context) error {
		var claims struct {
			Tenant string `json:"tenant"`
		}
		if err := bearer.TokenFrom(c).Claims(&claims); err != nil {
			return err
		}
		return c.String(http.StatusOK, claims.Tenant)
	}, auth.Require())
	fmt.Println(call(e, "/", token))
	// Output: 200 acme
}

// The keys of an issuer elsewhere, at a known address. With Keys: nil they are found
// through the metadata of the issuer.
func ExampleConfig_keys() {
	keys, token := exampleToken()
	server := httptest.NewServer(keys) // the JWKS of the issuer
	defer server.Close()

	remote := jwks.NewRemote(server.URL, jwks.RemoteConfig{})
	defer remote.Close()
	auth, err := bearer.New(bearer.Config{Issuer: "https://auth.example.com", Audience: "https://api.example.com", Keys: remote})
	if err != nil {
		log.Fatal(err)
	}
	e := echo.New()
	e.GET("/orders", listOrders, auth.Require("orders:read"))
	fmt.Println(call(e, "/orders", token))
	// Output: 200 app1 lists orders
}

// An observer writes why requests are refused to the log. Callers are not told.
func ExampleConfig_observe() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	auth, token := exampleAuth(bearer.Config{Observe: func(ctx context.Context, e bearer.Event) {
		if e.Reason != "" {
			logger.WarnContext(ctx, "refused", "reason", e.Reason, "status", e.Status, "client", e.ClientID, "error", e.Err)
		}
	}})
	e := echo.New()
	e.GET("/stock", listOrders, auth.Require("stock:read"))
	call(e, "/stock", token)
	call(e, "/stock", "")
	// Output:
	// level=WARN msg=refused reason=insufficient_scope status=403 client=app1 error="middleware: scope \"stock:read\" not granted"
	// level=WARN msg=refused reason=no_token status=401 client="" error="middleware: no token: an access token is required"
}

// The issuer is asked whether a token is still active.
func ExampleIntrospection() {
	active := true
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"active":%v}`, active)
	}))
	defer issuer.Close()
	auth, token := exampleAuth(bearer.Config{Introspection: &bearer.Introspection{
		Endpoint: issuer.URL + "/introspect", ClientID: "orders-api", ClientSecret: "its secret",
		CacheFor: time.Millisecond, // so that the example need not wait; the default is 10 s
	}})
	defer auth.Close()
	e := echo.New()
	e.GET("/orders", listOrders, auth.Require())
	fmt.Println(call(e, "/orders", token))
	active = false // revoked
	time.Sleep(5 * time.Millisecond)
	fmt.Println(call(e, "/orders", token))
	// Output:
	// 200 app1 lists orders
	// 401 Bearer error="invalid_token", error_description="the access token is not valid"
}

// The body of a refusal in a form of the app.
func ExampleEchoOptions_errorHandler() {
	auth, _ := exampleAuth(bearer.Config{})
	guard := auth.Echo(bearer.EchoOptions{ErrorHandler: func(c echo.Context, err error) error {
		var refused *bearer.Error
		if !errors.As(err, &refused) {
			return err
		}
		return c.JSON(refused.Status, map[string]any{"title": refused.Description, "status": refused.Status})
	}})
	e := echo.New()
	e.GET("/orders", listOrders, guard.Require())
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/orders", http.NoBody))
	fmt.Print(w.Code, " ", w.Body)
	// Output: 401 {"status":401,"title":"an access token is required"}
}

// A readiness endpoint.
func ExampleBearer_Ready() {
	auth, _ := exampleAuth(bearer.Config{})
	e := echo.New()
	e.GET("/readyz", func(c echo.Context) error {
		if err := auth.Ready(c.Request().Context()); errors.Is(err, jwks.ErrUnavailable) {
			return c.NoContent(http.StatusServiceUnavailable)
		}
		return c.NoContent(http.StatusOK)
	})
	fmt.Println(call(e, "/readyz", ""))
	// Output: 200
}

// How many signature checks the cache saves.
func ExampleBearer_Status() {
	auth, token := exampleAuth(bearer.Config{})
	e := echo.New()
	e.GET("/orders", listOrders, auth.Require())
	for range 10 {
		call(e, "/orders", token)
	}
	status := auth.Status()
	fmt.Println(status.Misses, "signature checks,", status.Hits, "answers of the cache")
	// Output: 2 signature checks, 8 answers of the cache
}

// listOrders is a handler behind a guard.
func listOrders(c echo.Context) error {
	return c.String(http.StatusOK, bearer.TokenFrom(c).ClientID+" lists orders")
}

// exampleToken returns the keys of an issuer, and a token of it.
func exampleToken() (*jwks.Keyring, string) {
	private, err := jose.Generate("ES256")
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwks.NewKeyring(private)
	if err != nil {
		log.Fatal(err)
	}
	now := time.Now().Unix()
	token, err := keys.Sign(context.Background(), "at+jwt", fmt.Appendf(nil,
		`{"iss":"https://auth.example.com","aud":"https://api.example.com","sub":"app1","client_id":"app1","jti":"1","iat":%d,"exp":%d,"scope":"orders:read","tenant":"acme"}`,
		now, now+900))
	if err != nil {
		log.Fatal(err)
	}
	return keys, token
}

// exampleAuth returns a Bearer, and a token that is valid for it.
func exampleAuth(config bearer.Config) (*bearer.Bearer, string) {
	keys, token := exampleToken()
	config.Issuer, config.Audience, config.Keys = "https://auth.example.com", "https://api.example.com", keys
	auth, err := bearer.New(config)
	if err != nil {
		log.Fatal(err)
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
