package main

import (
	"errors"
	"log"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"golang.org/x/time/rate"
)

// proxy is Echo's own Proxy for one upstream, which gets the path as it came. An upstream
// that does not answer is 502. Its address is for the log alone.
func proxy(name string, upstream *url.URL) echo.MiddlewareFunc {
	lines := rate.Sometimes{Interval: time.Second}
	return middleware.ProxyWithConfig(middleware.ProxyConfig{
		Balancer:  middleware.NewRoundRobinBalancer([]*middleware.ProxyTarget{{URL: upstream}}),
		Transport: transport(),
		ErrorHandler: func(_ echo.Context, err error) error {
			var failed *echo.HTTPError
			if !errors.As(err, &failed) || failed.Code != http.StatusBadGateway {
				return err // such as a client that left
			}
			lines.Do(func() { log.Print(name, ": ", failed.Message) })
			return echo.NewHTTPError(http.StatusBadGateway, "the upstream does not answer")
		},
	})
}

// transport is how the gateway connects to an upstream.
func transport() *http.Transport {
	t := &http.Transport{
		MaxIdleConnsPerHost:   100,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true, // answers go on as they are
		Protocols:             new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true) // a WebSocket cannot be opened over HTTP/2
	return t
}

// streams lets requests that the guard has let in take as long as they need: the server's
// deadline for reading a request would end a stream. It also lets an upstream answer before
// it has read the request. Otherwise the server would read the rest of the body itself, and
// the upstream would miss it.
//
// The body is closed before the server does so: with full duplex, a body that was not read
// breaks the connection (golang/go#68560).
func streams(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		control, body := http.NewResponseController(c.Response()), c.Request().Body
		if err := control.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		if body == http.NoBody { // so none is left unread
			return next(c)
		}
		if err := control.EnableFullDuplex(); err != nil {
			return err
		}
		defer func() {
			_ = control.SetReadDeadline(time.Now().Add(5 * time.Second)) // Close reads what is left, if it is little
			_ = body.Close()
		}()
		return next(c)
	}
}
