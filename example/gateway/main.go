// Command gateway is an API gateway in front of two services. It guards them by a policy,
// and tells them who called. An issuer and the two services are its own, unless its settings
// name others.
//
//	go run ./example/gateway
//
// It prints the policy and a curl session to paste. SIGHUP reads the files of POLICY and
// SHADOW again. Its settings, all optional, are environment variables:
// .github/docs/settings.md lists them.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
	"github.com/echo-m2m/m2m/middleware/gateway"
)

const address = "127.0.0.1:8080" // unless ADDR says otherwise

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		log.Fatal("gateway: ", err)
	}
}

func run(ctx context.Context, args []string) error {
	if helped, err := service.GatewayHelp(args, os.Stdout); helped || err != nil {
		return err
	}
	listener, own, err := service.Listen(address)
	if err != nil {
		return err
	}
	defer listener.Close()
	set, err := service.LoadGateway(own)
	if err != nil {
		return err
	}
	stop, err := startUpstreams(&set)
	if err != nil {
		return err
	}
	defer stop()

	e := echo.New()
	config := bearer.Config{Issuer: set.Issuer, Audience: set.Audience, Observe: service.Observe}
	session := ""
	if set.Issuer == "" {
		iss, err := newIssuer(ctx, own, set.Audience)
		if err != nil {
			return err
		}
		defer iss.Close()
		iss.Mount(e)
		config.Issuer, config.Keys, config.Revoked = own, iss.keys, iss.Revoked
		session = iss.session(own)
	} else {
		keys := jwks.NewIssuerRemote(set.Issuer, set.Remote)
		if set.JWKSURL != "" {
			keys = jwks.NewRemote(set.JWKSURL, set.Remote)
		}
		defer keys.Close()
		config.Keys = keys
	}
	auth, err := bearer.New(config)
	if err != nil {
		return err
	}
	defer func() { _ = auth.Close() }() // the program ends

	files := policyFiles{set.Policy, set.Shadow}
	policy, shadow, err := files.load()
	if err != nil {
		return err
	}
	gw, err := gateway.New(gateway.Config{Auth: auth, Policy: policy, Shadow: shadow, Observe: service.Observe})
	if err != nil {
		return err
	}
	defer func() { _ = gw.Close() }()
	ready, err := mount(e, auth, gw, set)
	if err != nil {
		return err
	}
	defer files.swapOnSignal(gw)()

	say := fmt.Sprintf("issuer %s, audience %s\n/orders: %s\n/invoices: %s\n\n%s\ngateway, process %d, listening on %s\n",
		config.Issuer, set.Audience, set.Orders, set.Invoices, describe(policy, shadow), os.Getpid(), listener.Addr())
	return service.Serve(e, []net.Listener{listener}, ready, say+session+"Stop with Ctrl-C.\n")
}

// mount adds the routes of the gateway.
func mount(e *echo.Echo, auth *bearer.Bearer, gw *gateway.Gateway, set service.Gateway) (*service.Readiness, error) {
	forward, err := gateway.NewForwarder(gateway.ForwardConfig{})
	if err != nil {
		return nil, err
	}
	ready := service.Ready(auth)
	probes := []string{http.MethodGet, http.MethodHead}
	e.Match(probes, "/healthz", echo.WrapHandler(http.HandlerFunc(service.Health)))
	e.Match(probes, "/readyz", echo.WrapHandler(ready))
	e.GET("/policy", echo.WrapHandler(gw.PolicyHandler(operatorScope)))
	e.GET("/shadow", echo.WrapHandler(gw.ReportHandler(operatorScope)))
	for prefix, upstream := range map[string]*url.URL{"/orders": set.Orders, "/invoices": set.Invoices} {
		group := e.Group(prefix, gw.Require(), forward.Echo(), streams, proxy(prefix, upstream))
		group.Any("", echo.NotFoundHandler) // the proxy answers
		group.Any("/*", echo.NotFoundHandler)
	}
	return ready, nil
}
