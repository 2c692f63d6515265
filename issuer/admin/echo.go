package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/labstack/echo/v4"
)

// Mount adds the API to a group of an Echo app: /clients, the paths below it, and
// /openapi.json. The group's guard is all that protects it. actor returns the caller for
// Event.ClientID; nil uses Config.Actor:
//
//	api.Mount(e.Group("/admin", auth.Require("clients:admin")), func(c echo.Context) string {
//		return bearer.TokenFrom(c).ClientID
//	})
func (a *API) Mount(g *echo.Group, actor func(c echo.Context) string) {
	serve := func(c echo.Context, path string) error {
		if actor != nil {
			r := c.Request()
			c.SetRequest(r.WithContext(context.WithValue(r.Context(), actorKey{}, actor(c))))
		}
		return a.serve(c, path)
	}
	for path, handler := range map[string]echo.HandlerFunc{
		"/openapi.json": func(c echo.Context) error { return serve(c, "/openapi.json") },
		"/clients":      func(c echo.Context) error { return serve(c, "/clients") },
		"/clients/*":    func(c echo.Context) error { return serve(c, "/clients/"+c.Param("*")) },
	} {
		g.Any(path, handler)
		g.RouteNotFound(path, unknownMethod(a, handler)) // Any is not all methods
	}
}

// unknownMethod serves a request with a method that no route takes: it answers 405 or
// 404 and does nothing. Guards may let such requests through.
func unknownMethod(a *API, serve echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if method := c.Request().Method; a != nil && slices.ContainsFunc(a.routes, func(t route) bool { return t.serves(method) }) {
			return echo.NewHTTPError(http.StatusNotFound)
		}
		return serve(c)
	}
}

// isEchoTooLarge reports whether Echo's BodyLimit has cut the body short.
func isEchoTooLarge(err error) bool {
	var limit *echo.HTTPError
	return errors.As(err, &limit) && limit.Code == http.StatusRequestEntityTooLarge
}

// serve serves a path below the group. Echo matches the path as it was escaped,
// if it needs to be, for an id may hold a slash.
func (a *API) serve(c echo.Context, path string) error {
	r := *c.Request()
	u := *r.URL
	u.Path, u.RawPath = path, ""
	if r.URL.RawPath != "" {
		if unescaped, err := url.PathUnescape(path); err == nil { // as it is of a URL that was parsed
			u.Path, u.RawPath = unescaped, path
		}
	}
	r.URL = &u
	a.ServeHTTP(c.Response(), &r)
	return nil
}
