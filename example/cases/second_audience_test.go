package cases

import (
	"testing"

	"github.com/labstack/echo/v4"

	bearer "github.com/echo-m2m/m2m/middleware"
)

// While an API changes its name, one guard takes tokens for the old and the new one.
func TestSecondAudience(t *testing.T) {
	f := newForeign(t)
	const old, changed = foreignAudience, foreignAudience + "/"
	auth, err := bearer.New(bearer.Config{Issuer: foreignIssuer, Audiences: []string{old, changed}, Keys: f.keys})
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	e.GET("/", ok, auth.Require())
	f.guard = e
	for audience, want := range map[string]int{
		`"` + old + `"`: 200, `"` + changed + `"`: 200, `["` + changed + `","` + old + `"]`: 200, `["https://other.example","` + changed + `"]`: 200,
		`"https://other.example"`: 401, `"` + changed + `/"`: 401, `[]`: 401, `""`: 401,
	} {
		payload := fill(`{"iss":"{iss}","sub":"c","client_id":"c","aud":` + audience + `,"exp":{exp},"iat":{iat},"jti":"j"}`)
		if got := f.status(t, `{"alg":"RS256","kid":"k1","typ":"at+jwt"}`, payload); got != want {
			t.Errorf("%s: %d, want %d", audience, got, want)
		}
	}
}
