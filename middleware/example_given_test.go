package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/labstack/echo/v4"

	bearer "github.com/echo-m2m/m2m/middleware"
)

// A handler of Echo alone, without its guard.
func ExampleSetToken() {
	handler := func(c echo.Context) error {
		token := bearer.TokenFrom(c)
		return c.String(http.StatusOK, fmt.Sprint(token.ClientID, " may write: ", token.HasScope("orders:write")))
	}

	w := httptest.NewRecorder()
	c := echo.New().NewContext(httptest.NewRequest("GET", "/orders", http.NoBody), w)
	bearer.SetToken(c, &bearer.Token{ClientID: "reporter", Scopes: []string{"orders:read"}})
	fmt.Println(handler(c), w.Body)
	// Output: <nil> reporter may write: false
}

// A handler of net/http alone, without its guard.
func ExampleWithToken() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello ", bearer.TokenFromContext(r.Context()).ClientID)
	})

	r := httptest.NewRequest("GET", "/orders", http.NoBody)
	r = r.WithContext(bearer.WithToken(r.Context(), &bearer.Token{ClientID: "reporter"}))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Body)
	// Output: hello reporter
}
