package issuer

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// A string with any characters is one JSON string.
func TestAppendString(t *testing.T) {
	for _, want := range append(hard(), "", "\x00\x1f\x7f", "ä", "\u2028", "</script>", `","sub":"root`) {
		var got string
		if text := appendString(nil, want); json.Unmarshal(text, &got) != nil || got != want {
			t.Errorf("%q is written %s", want, text)
		}
	}
}

// Scopes from a store may be invalid.
func TestAppendScope(t *testing.T) {
	for _, scopes := range [][]string{{"a"}, {"a", "b"}, {`a","sub":"root`}, {"a", `"`, "c"}, {"a", "\n"}, {`\`}, append(hard(), "last")} {
		var got string
		if text := appendScope([]byte("x"), scopes); json.Unmarshal(text[1:], &got) != nil || got != strings.Join(scopes, " ") {
			t.Errorf("%q is written %s", scopes, text)
		}
	}
	c := app()
	c.Scopes = []string{`orders:read","sub":"root`}
	s := newService(t, Config{Store: storeFunc(func(context.Context, string) (*registry.Client, error) { return &c, nil })})
	w := s.post(appForm)
	var answer struct{ Scope, Sub string }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Scope != c.Scopes[0] || answer.Sub != "" {
		t.Errorf("%v, %+v: %s", err, answer, w.Body)
	}
	if g := s.wantToken(t, w); g.claims.Subject != "app" {
		t.Errorf("sub is %q", g.claims.Subject)
	}
}
