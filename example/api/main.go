// Command api is a resource server alone: it trusts a remote issuer by its
// published keys, and shares nothing else with it.
//
//	go run ./example        # in one terminal: the issuer
//	go run ./example/api    # in another
//
// A token for it names its audience: AUDIENCE must be the same in both, as it is
// by default.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/example/orders"
	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

func main() {
	helped, err := service.Help("api", os.Args[1:], os.Stdout)
	if err == nil && !helped {
		err = run()
	}
	if err != nil {
		log.Fatal("api: ", err)
	}
}

func run() error {
	listener, _, err := service.Listen("127.0.0.1:8081")
	if err != nil {
		return err
	}
	defer listener.Close()
	set, err := service.Load("http://127.0.0.1:8080")
	if err != nil {
		return err
	}

	keys := jwks.NewIssuerRemote(set.Issuer, set.Remote)
	if set.JWKSURL != "" {
		keys = jwks.NewRemote(set.JWKSURL, set.Remote)
	}
	defer keys.Close()

	config := bearer.Config{Issuer: set.Issuer, Audience: set.Audience, Keys: keys, ClientIP: set.ClientIP, Observe: service.Observe}
	if set.IntrospectionURL != "" { // else a token is good until it expires
		config.Introspection = &bearer.Introspection{
			Endpoint: set.IntrospectionURL, ClientID: set.IntrospectionID, ClientSecret: set.IntrospectionSecret,
			CacheFor: set.IntrospectionCache,
		}
	}
	auth, err := bearer.New(config)
	if err != nil {
		return err
	}
	e := echo.New()
	ready := service.Ready(auth) // which asks its keys, and fetches them if nobody has yet
	probes := []string{http.MethodGet, http.MethodHead}
	e.Match(probes, "/healthz", echo.WrapHandler(http.HandlerFunc(service.Health)))
	e.Match(probes, "/readyz", echo.WrapHandler(ready))
	orders.Mount(e, auth)
	return service.Serve(e, listener, ready, fmt.Sprintf("API audience %s, trusting %s, listening on %s\n", set.Audience, set.Issuer, listener.Addr()))
}
