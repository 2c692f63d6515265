// Command echo5 is the one app of the README on Echo 5: an issuer and a protected
// API, through Echo's own WrapHandler and WrapMiddleware. It is a module of its
// own, as the library does not depend on Echo 5.
//
//	cd example/echo5 && go run .
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	listener, err := net.Listen("tcp", "127.0.0.1:8080")
	if err != nil {
		log.Fatal("echo5: ", err) //nolint:gocritic // there is nothing to cancel yet
	}
	if err := run(ctx, listener, "keys.json"); err != nil {
		log.Fatal("echo5: ", err)
	}
}

// run serves until ctx ends. It prints the secret of the client reporter.
func run(ctx context.Context, listener net.Listener, keyFile string) error {
	authURL := "http://" + listener.Addr().String()
	apiURL := authURL + "/v1"

	keys, err := jwks.Open(ctx, jwks.File(keyFile), jwks.Policy{})
	if err != nil {
		return err
	}
	defer keys.Close()
	store := &registry.Memory{}
	secret, err := registry.Ensure(ctx, store, registry.Client{
		ID: "reporter", Audiences: []string{apiURL}, Scopes: []string{"orders:read"},
	})
	if err != nil {
		return err
	}
	iss, err := issuer.New(issuer.Config{Issuer: authURL, Keys: keys, Store: store})
	if err != nil {
		return err
	}
	defer iss.Close()
	auth, err := bearer.New(bearer.Config{Issuer: authURL, Audience: apiURL, Keys: keys, Revoked: iss.Revoked})
	if err != nil {
		return err
	}

	e := echo.New()
	endpoints := echo.WrapHandler(iss.Handler())
	for _, path := range []string{"/token", "/revoke", "/introspect", "/.well-known/*"} {
		e.Any(path, endpoints)
	}
	e.Match([]string{http.MethodGet, http.MethodHead}, "/readyz", func(c *echo.Context) error {
		// The cause names hosts and paths, so it is for the log alone.
		err := errors.Join(iss.Ready(c.Request().Context()), auth.Ready(c.Request().Context()))
		if err != nil {
			log.Print("echo5: ", err)
		}
		if errors.Is(err, jwks.ErrUnavailable) {
			return c.JSON(http.StatusServiceUnavailable, map[string]string{"status": "unavailable"})
		}
		return c.JSON(http.StatusOK, map[string]string{"status": "ok"})
	})
	require := func(scopes ...string) echo.MiddlewareFunc {
		return echo.WrapMiddleware(func(next http.Handler) http.Handler { return auth.Handler(next, scopes...) })
	}
	e.GET("/v1/orders", func(c *echo.Context) error {
		token := bearer.TokenFromContext(c.Request().Context())
		return c.String(http.StatusOK, "hello "+token.ClientID+"\n")
	}, require("orders:read"))

	fmt.Printf("listening on %s; the secret of reporter is %s\n"+
		"Stop with Ctrl-C. The signing keys are in %s, which is secret: in a repository of yours, add it to .gitignore.\n", listener.Addr(), secret, keyFile)
	server := &http.Server{Handler: e, ReadHeaderTimeout: 5 * time.Second}
	end := context.AfterFunc(ctx, func() { _ = server.Shutdown(context.WithoutCancel(ctx)) })
	defer end()
	if err := server.Serve(listener); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
