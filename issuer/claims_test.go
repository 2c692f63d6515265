package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/jwks/event"
)

func TestCustomClaims(t *testing.T) {
	var grant Grant
	s := newService(t, Config{Claims: func(_ context.Context, g Grant) (map[string]any, error) {
		grant = g
		return map[string]any{
			"tenant":                           "acme",
			"https://example.com/claims/roles": []string{"a", "b"},
			"n":                                42,
			"nested":                           map[string]any{"sub": "not ours to refuse"},
			"null":                             nil,
			"hard":                             "\"\\\n</script>\u2028ä",
			"a_:./-Z9":                         true,
			strings.Repeat("x", 64):            1,
			"subject":                          "s",
		}, nil
	}})
	g := s.wantToken(t, s.post(appForm+"&scope=orders:read"))
	_, added, _ := strings.Cut(g.payload, `"scope":"orders:read",`)
	want := `"a_:./-Z9":true,"hard":"\"\\\n\u003c/script\u003e\u2028ä","https://example.com/claims/roles":["a","b"],"n":42,` +
		`"nested":{"sub":"not ours to refuse"},"null":null,"subject":"s","tenant":"acme","` + strings.Repeat("x", 64) + `":1}`
	if added != want {
		t.Errorf("added %s, want %s", added, want)
	}
	if g.claims.Subject != "app" {
		t.Errorf("sub %q", g.claims.Subject)
	}
	if grant.Client.ID != "app" || !slices.Equal(grant.Audience, []string{ordersAPI}) || !slices.Equal(grant.Scopes, []string{"orders:read"}) {
		t.Errorf("Config.Claims got %+v", grant)
	}

	for _, none := range []map[string]any{nil, {}} {
		s := claiming(t, none)
		if g := s.wantToken(t, s.post(appForm)); !strings.HasSuffix(g.payload, `"scope":"orders:read orders:write"}`) {
			t.Errorf("payload %s", g.payload)
		}
	}
}

// A reserved or malformed name is refused. Only Observe gets the cause.
func TestClaimNames(t *testing.T) {
	names := map[string]string{
		"a quote":          `a","sub":"root`,
		"another":          `a":1,"aud`,
		"escaped":          `su\u0062`,
		"backslash":        `sub\`,
		"empty":            "",
		"too long":         strings.Repeat("x", 65),
		"space":            "a b",
		"NUL":              "sub\x00",
		"line end":         "a\n",
		"not ASCII":        "größe",
		"looks like sub":   "ѕub",
		"zero width":       "sub\u200b",
		"not UTF-8":        "a\xff",
		"long s":           "iſs",
		"brace":            "a}",
		"percent":          "a%",
		"sub in capitals":  "SUB", // encoding/json reads it as sub
		"iss with capital": "Iss",
		"mixed":            "Client_ID",
	}
	for name := range maps.Keys(reserved) {
		names[name] = name
	}
	if len(reserved) != 16 {
		t.Errorf("%d reserved names: the comment of Config.Claims lists 16", len(reserved))
	}
	for name, claim := range names {
		t.Run(name, func(t *testing.T) {
			s := claiming(t, map[string]any{"tenant": "acme", claim: "root"})
			s.wantError(t, s.post(appForm), 500, "server_error", "the token could not be made")
			cause := strings.Replace(s.lastEvent(t).Err.Error(), "the name ", "", 1)
			if want := fmt.Sprintf("issuer: Config.Claims returned %q", claim); !strings.HasPrefix(cause, want) {
				t.Errorf("cause %s", cause)
			}
		})
	}
}

type unmarshalable struct{ err error }

func (u unmarshalable) MarshalJSON() ([]byte, error) { return nil, u.err }

func TestClaimValues(t *testing.T) {
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	many := map[string]any{}
	for n := range 300 {
		many[fmt.Sprintf("c%d", n)] = n
	}
	for name, claims := range map[string]map[string]any{
		"channel":        {"a": make(chan int)},
		"func":           {"a": func() {}},
		"NaN":            {"a": math.NaN()},
		"infinite":       {"a": math.Inf(1)},
		"its own error":  {"a": unmarshalable{errBroken}},
		"raw, not JSON":  {"a": json.RawMessage(`1,"sub":"root"`)},
		"raw, closing":   {"a": json.RawMessage(`1}`)},
		"raw, empty":     {"a": json.RawMessage(``)},
		"raw, not UTF-8": {"a": json.RawMessage("\"\xff\"")},
		"raw, half pair": {"a": json.RawMessage(`"\ud800"`)}, // package middleware refuses it
		"too deep":       {"a": json.RawMessage(deep)},
		"too many":       many,
		"too large":      {"a": strings.Repeat("x", 13_000)},
	} {
		t.Run(name, func(t *testing.T) {
			s := claiming(t, claims)
			s.wantError(t, s.post(appForm), 500, "server_error", "the token could not be made")
			if cause := s.lastEvent(t).Err.Error(); !strings.Contains(cause, "Config.Claims returned") {
				t.Errorf("cause %s", cause)
			}
			switch name {
			case "its own error":
				s.wantCause(t, errBroken)
			case "too large":
				s.wantCause(t, errTokenTooLarge)
			}
		})
	}
	// A token that fits is one that verifiers accept.
	s := claiming(t, map[string]any{"a": strings.Repeat("x", 11_000)})
	if g := s.wantToken(t, s.post(appForm)); len(g.token) > maxToken {
		t.Errorf("%d bytes", len(g.token))
	}
}

func TestClaimsFail(t *testing.T) {
	s := newService(t, Config{Claims: func(context.Context, Grant) (map[string]any, error) {
		return map[string]any{"tenant": "acme"}, errBroken
	}})
	s.wantError(t, s.post(appForm), 500, "server_error", "the token could not be made")
	s.wantCause(t, errBroken)
}

// An Error that Config.Claims returns is the answer, if it is usable.
func TestClaimsRefuse(t *testing.T) {
	for name, tt := range map[string]struct {
		err    error
		status int
		body   string // "" means the 500 of any other error
	}{
		"refused":           {&Error{Status: 403, Code: "access_denied", Description: "the tenant is closed"}, 403, `{"error":"access_denied","error_description":"the tenant is closed"}`},
		"wrapped":           {fmt.Errorf("tenants: %w", &Error{Status: 400, Code: "invalid_target"}), 400, `{"error":"invalid_target","error_description":""}`},
		"temporary":         {&Error{Status: 503, Code: "temporarily_unavailable", Description: "no tenants", RetryAfter: 7}, 503, `{"error":"temporarily_unavailable","error_description":"no tenants"}`},
		"no code":           {&Error{Status: 403}, 500, ""},
		"no status":         {&Error{Code: "access_denied"}, 500, ""},
		"status of success": {&Error{Status: 200, Code: "ok"}, 500, ""},
		"status too high":   {&Error{Status: 600, Code: "x"}, 500, ""},
		"nil Error":         {(*Error)(nil), 500, ""},
		"another error":     {errBroken, 500, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, Config{Claims: func(context.Context, Grant) (map[string]any, error) { return nil, tt.err }})
			w := s.post(appForm)
			if tt.body == "" {
				tt.body = `{"error":"server_error","error_description":"the token could not be made"}`
			}
			if w.Code != tt.status || w.Body.String() != tt.body || w.Header().Get("Cache-Control") != "no-store" || (w.Header().Get("Retry-After") == "7") != (name == "temporary") {
				t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
			}
			if e := s.lastEvent(t); e.Reason != event.ClaimsRefused || e.Status != tt.status || e.ClientID != "app" || e.Claimed || e.TokenID != "" || !errors.Is(e.Err, tt.err) {
				t.Errorf("event %+v", e)
			}
		})
	}
}
