package gateway

import (
	"testing"

	"github.com/echo-m2m/m2m/issuer/issuertest"
	"github.com/echo-m2m/m2m/jwks/event"
	bearer "github.com/echo-m2m/m2m/middleware"
)

func TestDecide(t *testing.T) {
	const a, b = "https://a.example", "https://b.example"
	p := mustPolicy(t,
		Rule{Route: "/orders/:id", Methods: []string{"GET"}, Scopes: []string{"orders:read"}},
		Rule{Route: "/orders/:id", Methods: []string{"DELETE"}, Scopes: []string{"orders:write", "orders:delete"}, Issuers: []string{a}},
		Rule{Route: "/orders/:id", Scopes: []string{"orders:write"}},
		Rule{Route: "/heads", Methods: []string{"GET"}, AnyToken: true},
		Rule{Route: "/heads", Methods: []string{"HEAD"}, Scopes: []string{"heads"}},
		Rule{Route: "/any", AnyScopes: []string{"x", "y"}, Scopes: []string{"z"}},
		Rule{Route: "/only-b", Issuers: []string{b}, AnyToken: true},
		Rule{Route: "/shadow", Shadow: true, AnyToken: true},
	)
	for _, tt := range []struct {
		route, method, issuer string
		scopes                []string
		rule                  int // 0: none
		reason                event.Reason
	}{
		{"/orders/:id", "GET", a, []string{"orders:read"}, 1, ""},
		{"/orders/:id", "HEAD", a, []string{"orders:read"}, 1, ""},
		{"/orders/:id", "GET", a, []string{"orders:write"}, 1, event.InsufficientScope},
		{"/orders/:id", "GET", a, []string{"orders:read2", "xorders:read"}, 1, event.InsufficientScope},
		{"/orders/:id", "DELETE", a, []string{"orders:write"}, 2, event.InsufficientScope},
		{"/orders/:id", "DELETE", a, []string{"orders:delete", "orders:write"}, 2, ""},
		{"/orders/:id", "DELETE", b, []string{"orders:write"}, 3, ""},
		{"/orders/:id", "DELETE", a + "/", []string{"orders:write"}, 3, ""},
		{"/orders/:id", "OPTIONS", a, nil, 3, event.InsufficientScope},
		{"/orders/:id", "get", a, []string{"orders:read"}, 3, event.InsufficientScope},
		{"/orders/:order", "GET", a, []string{"orders:read"}, 0, event.Forbidden},
		{"/orders/{id}", "GET", a, []string{"orders:read"}, 0, event.Forbidden},
		{"/orders/1", "GET", a, []string{"orders:read"}, 0, event.Forbidden},
		{"", "GET", a, []string{"orders:read"}, 0, event.Forbidden},
		{"/heads", "GET", a, nil, 4, ""},
		{"/heads", "HEAD", a, nil, 5, event.InsufficientScope},
		{"/heads", "POST", a, nil, 0, event.Forbidden},
		{"/any", "GET", a, []string{"x", "z"}, 6, ""},
		{"/any", "GET", a, []string{"y", "z"}, 6, ""},
		{"/any", "GET", a, []string{"x", "y"}, 6, event.InsufficientScope},
		{"/any", "GET", a, []string{"z"}, 6, event.InsufficientScope},
		{"/only-b", "GET", a, nil, 0, event.Forbidden},
		{"/only-b", "GET", b, nil, 7, ""},
		{"/shadow", "GET", a, nil, 0, event.Forbidden},
	} {
		v := p.decide(tt.route, tt.method, &bearer.Token{Issuer: tt.issuer, Scopes: tt.scopes})
		number := 0
		if v.rule != nil {
			number = v.rule.index + 1
		}
		if number != tt.rule || v.reason != tt.reason || (v.err == nil) != (tt.reason == "") {
			t.Errorf("%s %s of %s with %q: rule %d, %q, %v, want rule %d, %q", tt.method, tt.route, tt.issuer, tt.scopes, number, v.reason, v.err, tt.rule, tt.reason)
		}
	}
	if v := new(Policy).decide("/", "GET", &bearer.Token{}); v.err == nil {
		t.Error("the zero policy lets a request in")
	}
}

// The challenge names what the rule needs, as RFC 6750 has it.
func TestDecideNamesScopes(t *testing.T) {
	p := mustPolicy(t, Rule{Route: "/", Scopes: []string{"a", "b"}, AnyScopes: []string{"c", "d"}})
	for _, tt := range []struct {
		scopes []string
		want   string
	}{
		{nil, "a b c d"},
		{[]string{"a", "b"}, "a b c d"},
		{[]string{"a", "c"}, "a b"},
	} {
		e, ok := p.decide("/", "GET", &bearer.Token{Scopes: tt.scopes}).err.(*bearer.Error)
		if !ok || e.Scope != tt.want || e.Status != 403 || e.Reason() != event.InsufficientScope {
			t.Errorf("with %q: %+v, want the scopes %q", tt.scopes, e, tt.want)
		}
	}
}

// Claims are compared with their type.
func TestDecideClaims(t *testing.T) {
	idp := issuertest.New(t)
	auth := newAuth(t, idp)
	for _, tt := range []struct {
		claim Claim
		value any // of the token; nil: it has no such claim
		want  bool
	}{
		{Claim{Is: "acme"}, "acme", true},
		{Claim{Is: "acme"}, "Acme", false},
		{Claim{Is: "acme"}, []string{"acme"}, false},
		{Claim{Is: "acme"}, nil, false},
		{Claim{Is: "é\n"}, "é\n", true},
		{Claim{Is: "3"}, 3, false},
		{Claim{Is: 3}, "3", false},
		{Claim{Is: 3}, 3, true},
		{Claim{Is: 3}, 3.0, true},
		{Claim{Is: 3}, 3.1, false},
		{Claim{Is: 30}, 3, false},
		{Claim{Is: -3}, 3, false},
		{Claim{Is: 0.5}, 0.5, true},
		{Claim{Is: 1e21}, 1e21, true},
		{Claim{Is: int64(9007199254740993)}, int64(9007199254740992), false},
		{Claim{Is: true}, true, true},
		{Claim{Is: true}, false, false},
		{Claim{Is: false}, false, true},
		{Claim{Is: false}, 0, false},
		{Claim{Is: true}, "true", false},
		{Claim{Is: "true"}, true, false},
		{Claim{Is: "a"}, map[string]string{"a": "a"}, false},
		{Claim{Has: "admin"}, []string{"user", "admin"}, true},
		{Claim{Has: "admin"}, []string{"user", "admins"}, false},
		{Claim{Has: "admin"}, []string{}, false},
		{Claim{Has: "admin"}, "admin", false},
		{Claim{Has: 3}, []any{"3", 3}, true},
		{Claim{Has: 3}, []any{"3", []int{3}}, false},
		{Claim{Has: "admin"}, map[string]bool{"admin": true}, false},
		{Claim{Has: "admin"}, nil, false},
	} {
		tt.claim.Name = "custom"
		var options []issuertest.Option
		if tt.value != nil {
			options = append(options, issuertest.Claim("custom", tt.value))
		}
		gw := newGateway(t, Config{Auth: auth, Policy: mustPolicy(t, Rule{Route: "/", Claims: []Claim{tt.claim}})})
		w := get(newMux(gw, "/"), "GET", "/", idp.Token(t, options...))
		if got := w.Code == 200; got != tt.want || !got && w.Code != 403 {
			t.Errorf("%+v of %#v: %d, want let in: %v", tt.claim, tt.value, w.Code, tt.want)
		}
	}
}

func TestCanonicalNumber(t *testing.T) {
	for _, same := range [][]string{
		{"0", "-0", "0.0", "0e9", "-0.000e-5"},
		{"3", "3.0", "3e0", "30e-1", "0.3e1", "3.00E+00", "0.003e3"},
		{"-1200", "-1.2e3", "-12e2", "-1200.0"},
		{"9007199254740993", "9007199254740993.0"},
		{"9007199254740992"},
		{"0.1", "1e-1"},
		{"1e400", "10e399"},
	} {
		for _, text := range same {
			first, _ := canonicalNumber(same[0])
			if got, ok := canonicalNumber(text); !ok || got != first {
				t.Errorf("%s is %s, and %s is %s", text, got, same[0], first)
			}
		}
	}
	if _, ok := canonicalNumber("1e99999999999999999999"); ok {
		t.Error("an exponent that is out of range was taken")
	}
}
