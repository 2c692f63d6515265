package cases

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// A wrong secret in the body is 401 with a challenge, which says what the body says:
// Java's HttpURLConnection loses the body of a 401 when it streams the request.
func Test401HasAChallenge(t *testing.T) {
	w := newWorld(t)
	e := echo.New()
	w.iss.Mount(e)
	const contentType = "application/x-www-form-urlencoded"
	body := "grant_type=client_credentials&client_id=reporter&client_secret=wrong"
	for path, rec := range map[string]*httptest.ResponseRecorder{
		"/token":      call(e, "POST", "/token", body, "Content-Type", contentType),
		"/introspect": call(e, "POST", "/introspect", "token=x&client_id=reporter&client_secret=wrong", "Content-Type", contentType),
		"/revoke":     call(e, "POST", "/revoke", "token=x&client_id=reporter&client_secret=wrong", "Content-Type", contentType),
		"by Basic":    call(e, "POST", "/token", "grant_type=client_credentials", "Content-Type", contentType, "Authorization", "Basic cmVwb3J0ZXI6d3Jvbmc="),
		"the guard":   call(w.auth.Handler(http.NotFoundHandler()), "GET", "/", ""),
	} {
		challenges := rec.Result().Header.Values("WWW-Authenticate")
		if rec.Code != 401 || len(challenges) != 1 {
			t.Errorf("%s: %d %q", path, rec.Code, challenges)
			continue
		}
		if path != "the guard" && (!strings.HasPrefix(challenges[0], "Basic realm=") || !strings.Contains(challenges[0], `error="invalid_client"`) || !strings.Contains(rec.Body.String(), `"error":"invalid_client"`)) {
			t.Errorf("%s: %q %s", path, challenges, rec.Body)
		}
	}
}
