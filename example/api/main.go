// Command api is a resource server alone: it trusts a remote issuer by its
// published keys, and shares nothing else with it.
//
//	go run ./example                # in one terminal: the issuer
//	go run ./example/api            # in another
//	go run ./example/api -doctor    # checks the configuration
//
// A token for it names its audience: AUDIENCE must be the same in both, as it is
// by default.
package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/example/bound"
	"github.com/echo-m2m/m2m/example/orders"
	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

const (
	address = "127.0.0.1:8081"        // unless ADDR says otherwise
	issuer  = "http://127.0.0.1:8080" // unless ISSUER says otherwise
)

func main() { service.Main("api", run, examine) }

func run(context.Context) error {
	listener, url, err := service.Listen(address)
	if err != nil {
		return err
	}
	defer listener.Close()
	set, err := service.Load(issuer)
	if err != nil {
		return err
	}
	listeners, set, err := set.ListenTLS(listener)
	if err != nil {
		return err
	}
	defer listeners[len(listeners)-1].Close()
	keys := jwks.NewIssuerRemote(set.Issuer, set.Remote)
	if set.JWKSURL != "" {
		keys = jwks.NewRemote(set.JWKSURL, set.Remote)
	}
	defer keys.Close()
	e, ready, err := newApp(set, url, keys)
	if err != nil {
		return err
	}
	say := fmt.Sprintf("API audience %s, trusting %s, listening on %s\n", set.Audience, set.Issuer, listener.Addr())
	return service.Serve(e, listeners, ready, say+set.SayTLS()+"Stop with Ctrl-C.\n")
}

// newApp returns the routes, with the guard before them. url is where clients reach it.
func newApp(set service.Settings, url string, keys jwks.Source) (*echo.Echo, *service.Readiness, error) {
	config := bearer.Config{Issuer: set.Issuer, Audience: set.Audience, Keys: keys, ClientIP: set.ClientIP, Observe: set.Observe}
	config.DPoP, config.ClientCertificates = bound.API(set, url, nil)
	if set.IntrospectionURL != "" { // without it a token is valid until it expires
		config.Introspection = &bearer.Introspection{
			Endpoint: set.IntrospectionURL, ClientID: set.IntrospectionID, ClientSecret: set.IntrospectionSecret,
			CacheFor: set.IntrospectionCache,
		}
	}
	auth, err := bearer.New(config)
	if err != nil {
		return nil, nil, err
	}
	e := echo.New()
	ready := service.Ready(auth) // it asks its keys, and fetches them if it has none yet
	probes := []string{http.MethodGet, http.MethodHead}
	e.Match(probes, "/healthz", echo.WrapHandler(http.HandlerFunc(service.Health)))
	e.Match(probes, "/readyz", echo.WrapHandler(ready))
	orders.Mount(e, auth)
	return e, ready, nil
}
