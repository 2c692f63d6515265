package cases

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	bearer "github.com/echo-m2m/m2m/middleware"
)

func TestIntrospectionCase(t *testing.T) {
	w := newWorld(t)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", jsonType)
		_, _ = io.WriteString(rw, input(t, "introspection-case-variant/answer.json"))
	}))
	defer s.Close()
	a, err := bearer.New(bearer.Config{Issuer: authURL, Audience: apiURL, Keys: w.keys, Introspection: &bearer.Introspection{Endpoint: s.URL, ClientID: "api", ClientSecret: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	e.GET("/", ok, a.Require())
	if rec := call(e, "GET", "/", "", "Authorization", "Bearer "+w.token(t)); rec.Code == 200 {
		t.Error("an inactive token was let in")
	}
}
