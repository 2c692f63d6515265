package admin

import (
	"context"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"
)

// Mount adds the API to a group of an Echo app, under /clients. The group's guard is
// all that protects it. actor returns who makes the request, for Event.ClientID; nil
// stands for Config.Actor:
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
	g.Any("/clients", func(c echo.Context) error { return serve(c, "/clients") })
	g.Any("/clients/*", func(c echo.Context) error { return serve(c, "/clients/"+c.Param("*")) })
}

// serve serves a path below the group. Echo matches the path as it was escaped,
// if it needs to be, for an id may hold a slash.
func (a *API) serve(c echo.Context, path string) error {
	r := *c.Request()
	u := *r.URL
	u.Path, u.RawPath = path, ""
	if r.URL.RawPath != "" {
		unescaped, err := url.PathUnescape(path)
		if err != nil {
			return echo.NewHTTPError(http.StatusNotFound)
		}
		u.Path, u.RawPath = unescaped, path
	}
	r.URL = &u
	a.ServeHTTP(c.Response(), &r)
	return nil
}
