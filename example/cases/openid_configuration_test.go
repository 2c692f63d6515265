package cases

import (
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
)

// The default stays 404, so that clients which try this address first go on to the
// one of RFC 8414.
func TestOpenIDConfiguration(t *testing.T) {
	w := newWorld(t)
	iss, err := issuer.New(issuer.Config{Issuer: authURL, Keys: w.keys, Store: &registry.Memory{}, OpenIDConfiguration: true})
	if err != nil {
		t.Fatal(err)
	}
	defer iss.Close()
	e := echo.New()
	iss.Mount(e)
	rec := call(e, "GET", "/.well-known/openid-configuration", "")
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), `"jwks_uri"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
