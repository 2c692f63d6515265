package middleware_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/profile"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// An API takes tokens of Keycloak. A profile says which claims are read; the rest is as
// with tokens of RFC 9068.
func ExampleConfig_profile() {
	keycloak := profile.Keycloak()
	keys, token := exampleKeycloak()
	auth, err := bearer.New(bearer.Config{
		Issuer:   "https://keycloak.example.com/realms/acme",
		Audience: "orders",
		Profile:  &keycloak,
		Keys:     keys, // without Keys they are found through the issuer's metadata
	})
	if err != nil {
		log.Fatal(err)
	}
	e := echo.New()
	e.GET("/orders", func(c echo.Context) error {
		t := bearer.TokenFrom(c)
		return c.String(http.StatusOK, fmt.Sprint(t.ClientID, " with the roles ", t.Roles))
	}, auth.Require("orders:read"))
	fmt.Println(call(e, "/orders", token))
	// Output: 200 reporter with the roles [writer]
}

// An API takes tokens of its own issuer, and of Keycloak. The claim iss says whose keys,
// cache and revocations a token is checked with.
func ExampleAny() {
	ours, ourToken := exampleAuth(bearer.Config{})
	keycloak := profile.Keycloak()
	keys, theirToken := exampleKeycloak()
	theirs, err := bearer.New(bearer.Config{
		Issuer: "https://keycloak.example.com/realms/acme", Audience: "orders", Profile: &keycloak, Keys: keys,
	})
	if err != nil {
		log.Fatal(err)
	}
	auth, err := bearer.Any(ours, theirs)
	if err != nil {
		log.Fatal(err)
	}
	e := echo.New()
	e.GET("/orders", func(c echo.Context) error {
		t := bearer.TokenFrom(c)
		return c.String(http.StatusOK, t.ClientID+" of "+t.Issuer)
	}, auth.Require("orders:read"))
	fmt.Println(call(e, "/orders", ourToken))
	fmt.Println(call(e, "/orders", theirToken))
	fmt.Println(call(e, "/orders", ""))
	// Output:
	// 200 app1 of https://auth.example.com
	// 200 reporter of https://keycloak.example.com/realms/acme
	// 401 Bearer realm="api"
}

// Each customer has an issuer. The func asks a list of the program's own: anyone can write
// any issuer into a token.
func ExampleAnyTenant() {
	keys, token := exampleToken()
	customers := map[string]jwks.Source{"https://auth.example.com": keys}
	auth, err := bearer.AnyTenant(bearer.Tenants{
		Bearer: func(_ context.Context, issuer string) (*bearer.Bearer, error) {
			keys, known := customers[issuer]
			if !known {
				return nil, nil
			}
			return bearer.New(bearer.Config{Issuer: issuer, Audience: "https://api.example.com", Keys: keys, CacheSize: 1000})
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer auth.Close()
	e := echo.New()
	e.GET("/orders", listOrders, auth.Require("orders:read"))
	fmt.Println(call(e, "/orders", token))
	_, foreign := exampleKeycloak()
	fmt.Println(call(e, "/orders", foreign))
	// Output:
	// 200 app1 lists orders
	// 401 Bearer error="invalid_token", error_description="the access token is not valid"
}

// exampleKeycloak returns the keys of a realm, and a token in the form of Keycloak.
func exampleKeycloak() (*jwks.Keyring, string) {
	keys, _ := exampleToken()
	now := time.Now().Unix()
	token, err := keys.Sign(context.Background(), "JWT", fmt.Appendf(nil,
		`{"iss":"https://keycloak.example.com/realms/acme","aud":["orders","account"],"sub":"7ddaf89f","azp":"reporter","typ":"Bearer","jti":"f73a4a37","iat":%d,"exp":%d,"scope":"orders:read","realm_access":{"roles":["writer"]}}`,
		now, now+300))
	if err != nil {
		log.Fatal(err)
	}
	return keys, token
}
