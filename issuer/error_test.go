package issuer

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Unwrap returns the cause. No text contains it.
func TestError(t *testing.T) {
	e := unavailable(event.StoreUnavailable, errBroken)
	if got := e.Error(); got != "issuer: temporarily_unavailable: try again in a moment" {
		t.Errorf("%s", got)
	}
	if !errors.Is(e, errBroken) || errors.Unwrap(malformed("x")) != nil {
		t.Error("Unwrap does not return the cause")
	}
	w := httptest.NewRecorder()
	e.write(w)
	for _, text := range []string{fmt.Sprint(e), fmt.Sprintf("%s", e), fmt.Sprintf("%v", e), fmt.Sprintf("%q", e), w.Body.String(), fmt.Sprint(w.Header())} {
		if text == "" || strings.Contains(text, errBroken.Error()) {
			t.Errorf("%s", text)
		}
	}
}

// A description with any characters is one JSON string.
func TestErrorEscapes(t *testing.T) {
	w := httptest.NewRecorder()
	malformed("a\"b\\c\n").write(w)
	if got := w.Body.String(); got != `{"error":"invalid_request","error_description":"a\"b\\c\n"}` {
		t.Errorf("%s", got)
	}
}
