// Command proxy is Echo's own Proxy and nothing else, to compare example/gateway with.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

func main() {
	if err := run(); err != nil {
		log.Fatal("proxy: ", err)
	}
}

func run() error {
	upstream, err := url.Parse(os.Getenv("UPSTREAM_ORDERS"))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", os.Getenv("ADDR"))
	if err != nil {
		return err
	}
	e := echo.New()
	e.Group("/orders", middleware.ProxyWithConfig(middleware.ProxyConfig{
		Balancer:  middleware.NewRoundRobinBalancer([]*middleware.ProxyTarget{{URL: upstream}}),
		Transport: &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true},
	})).Any("/*", echo.NotFoundHandler)
	fmt.Println("proxy, listening on", listener.Addr())
	return (&http.Server{Handler: e, ReadHeaderTimeout: 5 * time.Second}).Serve(listener)
}
