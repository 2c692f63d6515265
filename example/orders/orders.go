// Package orders is the protected API of the example programs.
package orders

import (
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	bearer "github.com/echo-m2m/m2m/middleware"
)

type order struct {
	ID       int    `json:"id"`
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
	PlacedBy string `json:"placed_by"`
}

// bound is what the token of a request is bound to.
type bound struct {
	ClientID    string `json:"client_id"`
	Key         string `json:"jkt,omitempty"`
	Certificate string `json:"x5t#S256,omitempty"`
}

// Mount adds the API to an app: any valid token gets into /v1, and each route says
// which scope it wants, or that it wants a bound token.
func Mount(e *echo.Echo, auth *bearer.Bearer) {
	var mu sync.Mutex
	orders := []order{{ID: 1, Item: "a dozen eggs", Quantity: 2, PlacedBy: "the-example"}}

	// BodyLimit goes before Require: with other middleware behind it, unknown paths are
	// 401 instead of 404.
	v1 := e.Group("/v1", middleware.BodyLimit("16K"), auth.Require())

	v1.GET("/whoami", func(c echo.Context) error {
		token := bearer.TokenFrom(c)
		return c.JSON(http.StatusOK, map[string]any{
			"client_id":  token.ClientID,
			"scopes":     token.Scopes,
			"expires_at": token.ExpiresAt.UTC().Format(time.RFC3339),
		})
	})

	v1.GET("/bound", func(c echo.Context) error {
		token := bearer.TokenFrom(c)
		return c.JSON(http.StatusOK, bound{token.ClientID, token.Confirmation.KeyThumbprint, token.Confirmation.CertificateThumbprint})
	}, auth.RequireBound()) // a plain bearer token does not get in

	v1.GET("/orders", func(c echo.Context) error {
		mu.Lock()
		defer mu.Unlock()
		return c.JSON(http.StatusOK, orders)
	}, auth.Require("orders:read"))

	v1.POST("/orders", func(c echo.Context) error {
		var o order
		if err := c.Bind(&o); err != nil {
			return err
		}
		if o.Item == "" || o.Quantity < 1 {
			return echo.NewHTTPError(http.StatusBadRequest, "an order needs an item and a quantity of at least 1")
		}
		mu.Lock()
		defer mu.Unlock()
		o.ID, o.PlacedBy = orders[len(orders)-1].ID+1, bearer.TokenFrom(c).ClientID
		if orders = append(orders, o); len(orders) > 100 { // an example keeps the latest ones
			orders = orders[1:]
		}
		return c.JSON(http.StatusCreated, o)
	}, auth.Require("orders:write"))
}
