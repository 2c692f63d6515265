package cases

import (
	"os"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

func TestMiddlewareAfterRequire(t *testing.T) {
	w := newWorld(t)
	e := echo.New()
	e.Group("/v1", w.auth.Require(), through).GET("/orders", ok)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, promise, _ := strings.Cut(string(readme), "Unknown paths and wrong methods in a guarded group")
	promise, _, _ = strings.Cut(promise, "\n\n")
	if rec := call(e, "GET", "/v1/nope", ""); rec.Code != 404 && !strings.Contains(promise, "last") {
		t.Errorf("unknown path: %d; README promises 404 without a condition", rec.Code)
	}
}
