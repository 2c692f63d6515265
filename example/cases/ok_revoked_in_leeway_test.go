package cases

import (
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// A token that has expired, and is within the leeway, can be revoked.
func TestOKRevokedInLeeway(t *testing.T) { synctest.Test(t, revokedInLeeway) }

func revokedInLeeway(t *testing.T) {
	w := newWorld(t)
	plain, kept := registry.GenerateSecret()
	store, err := memory(registry.Client{ID: "reporter", Secrets: []registry.Secret{kept}, Audiences: []string{apiURL}, TokenTTL: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if w.iss, err = issuer.New(issuer.Config{Issuer: authURL, Keys: w.keys, Store: store}); err != nil {
		t.Fatal(err)
	}
	defer w.iss.Close()
	w.secret = plain
	auth, err := bearer.New(bearer.Config{Issuer: authURL, Audience: apiURL, Keys: w.keys, Revoked: w.iss.Revoked})
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	w.iss.Mount(e)
	e.GET("/", ok, auth.Require())
	one, other := w.token(t), w.token(t)
	time.Sleep(2500 * time.Millisecond)
	form := url.Values{"client_id": {"reporter"}, "client_secret": {plain}, "token": {one}}
	if rec := call(e, "POST", "/revoke", form.Encode(), "Content-Type", "application/x-www-form-urlencoded"); rec.Code != 200 {
		t.Error("revoke: ", rec.Code)
	}
	if rec := call(e, "GET", "/", "", "Authorization", "Bearer "+one); rec.Code != 401 {
		t.Error("revoked: ", rec.Code)
	}
	if rec := call(e, "GET", "/", "", "Authorization", "Bearer "+other); rec.Code != 200 {
		t.Error("not revoked: ", rec.Code)
	}
}
