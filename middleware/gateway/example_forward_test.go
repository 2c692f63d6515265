package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
	"github.com/echo-m2m/m2m/middleware/gateway"
)

// caller is an issuer and the request of one of its clients, which lies about who it is.
func caller(url string) (*bearer.Bearer, *http.Request) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwks.NewKeyring(key)
	if err != nil {
		log.Fatal(err)
	}
	auth, err := bearer.New(bearer.Config{Issuer: "https://auth.example.com", Audience: "https://api.example.com", Keys: keys})
	if err != nil {
		log.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		log.Fatal(err)
	}
	now := time.Now()
	token, err := keys.Sign(r.Context(), "at+jwt", fmt.Appendf(nil, // as the issuer does
		`{"iss":"https://auth.example.com","aud":"https://api.example.com","sub":"reports","client_id":"reports","jti":"1","iat":%d,"exp":%d,"scope":"orders:read"}`,
		now.Unix(), now.Add(time.Minute).Unix()))
	if err != nil {
		log.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header["X-Client-Id"] = []string{"admin"}
	r.Header["X_Client_Id"] = []string{"admin"}
	return auth, r
}

func show(r *http.Request) {
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.StatusCode, string(body))
}

// An upstream behind Echo's Proxy learns who called by plain headers.
func ExampleForwarder_Echo() {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header["X-Client-Id"], r.Header["X_client_id"], r.Header["X-Client-Scopes"], r.Header["Authorization"])
	}))
	defer upstream.Close()
	target, err := url.Parse(upstream.URL)
	if err != nil {
		log.Fatal(err)
	}
	forward, err := gateway.NewForwarder(gateway.ForwardConfig{})
	if err != nil {
		log.Fatal(err)
	}

	e := echo.New()
	server := httptest.NewServer(e)
	defer server.Close()
	auth, request := caller(server.URL + "/orders/7")
	orders := middleware.NewRoundRobinBalancer([]*middleware.ProxyTarget{{URL: target}})
	e.Group("/orders", auth.Require("orders:read"), forward.Echo(), middleware.Proxy(orders))

	show(request)
	// Output:
	// 200 [reports] [] [orders:read] []
}

// An upstream behind httputil.ReverseProxy verifies a token of the gateway with the guard of
// this library.
func ExampleInternal() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwks.NewKeyring(key) // in production: jwks.Open
	if err != nil {
		log.Fatal(err)
	}

	// In the upstream. It gets the keys with jwks.NewRemote.
	guard, err := bearer.New(bearer.Config{Issuer: "https://gateway.internal", Audience: "https://orders.internal", Keys: keys})
	if err != nil {
		log.Fatal(err)
	}
	upstream := httptest.NewServer(guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := bearer.TokenFromContext(r.Context())
		fmt.Fprint(w, token.ClientID, " by ", token.Issuer)
	}), "orders:read"))
	defer upstream.Close()

	// In the gateway.
	target, err := url.Parse(upstream.URL)
	if err != nil {
		log.Fatal(err)
	}
	forward, err := gateway.NewForwarder(gateway.ForwardConfig{
		Internal: &gateway.Internal{Keys: keys, Issuer: "https://gateway.internal", Audience: "https://orders.internal"},
	})
	if err != nil {
		log.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	auth, request := caller(server.URL + "/orders/7")
	mux.Handle("/.well-known/jwks.json", keys) // for the upstreams
	mux.Handle("/orders/", auth.Handler(forward.Handler(proxy), "orders:read"))

	show(request)
	// Output:
	// 200 reports by https://gateway.internal
}
