package middleware_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/labstack/echo/v4"

	bearer "github.com/echo-m2m/m2m/middleware"
)

// An operator has a token that is refused, and wants to know why.
func ExampleBearer_Explain() {
	auth, token := exampleAuth(bearer.Config{})
	fmt.Print(auth.Explain(context.Background(), token[:len(token)-8]+"AAAAAAAA"))
	// Output:
	// the token is not valid
	// issuer      "https://auth.example.com"
	// profile     "rfc9068"
	// request     passed
	// form        passed
	// type        passed
	// key         passed
	// signature   failed: bad_signature: jose: signature: it does not match
	// claims      not reached
	// time        not reached
	// revocation  not reached
	// binding     not reached
}

// A stricter guard judges the requests that another one serves, before it is switched on.
func ExampleBearer_Judge() {
	keys, token := exampleToken()
	auth, err := bearer.New(bearer.Config{Issuer: "https://auth.example.com", Audience: "https://api.example.com", Keys: keys})
	if err != nil {
		log.Fatal(err)
	}
	stricter, err := bearer.New(bearer.Config{Issuer: "https://auth.example.com", Audience: "https://orders.example.com", Keys: keys})
	if err != nil {
		log.Fatal(err)
	}
	h := auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, e := stricter.Judge(r); e != nil {
			fmt.Println(bearer.TokenFromContext(r.Context()).ClientID, "would be refused:", e.Reason())
		}
		fmt.Fprint(w, "orders")
	}))
	fmt.Println(call(h, "/orders", token))
	// Output:
	// app1 would be refused: wrong_audience
	// 200 orders
}

// A page is for all, and shows more to a client with a token.
func ExampleBearer_Optional() {
	auth, token := exampleAuth(bearer.Config{})
	e := echo.New()
	e.GET("/prices", func(c echo.Context) error {
		if t := bearer.TokenFrom(c); t != nil {
			return c.String(http.StatusOK, "prices for "+t.ClientID)
		}
		return c.String(http.StatusOK, "list prices")
	}, auth.Optional())
	fmt.Println(call(e, "/prices", ""))
	fmt.Println(call(e, "/prices", token))
	fmt.Println(call(e, "/prices", token+"x"))
	// Output:
	// 200 list prices
	// 200 prices for app1
	// 401 Bearer error="invalid_token", error_description="the access token is not valid"
}

// An API says in its challenges where a client gets tokens (RFC 9728).
func ExampleBearer_ResourceMetadata() {
	auth, _ := exampleAuth(bearer.Config{Resource: &bearer.Resource{Scopes: []string{"orders:read"}}})
	mux := http.NewServeMux()
	mux.Handle(auth.ResourceMetadata()) // public; for Echo: auth.Mount(e)
	mux.Handle("/orders", auth.Handler(http.NotFoundHandler(), "orders:read"))
	fmt.Println(call(mux, "/orders", ""))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/oauth-protected-resource", http.NoBody))
	fmt.Println(w.Body)
	// Output:
	// 401 Bearer resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"
	// {"resource":"https://api.example.com","authorization_servers":["https://auth.example.com"],"scopes_supported":["orders:read"],"bearer_methods_supported":["header"]}
}
