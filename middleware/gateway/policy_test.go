package gateway

import (
	"strings"
	"testing"
)

// A rule that never decides for something that it names is refused, with both places.
func TestHiddenRules(t *testing.T) {
	const a, b = "https://a.example", "https://b.example"
	rule := func(methods string, issuers ...string) Rule {
		return Rule{Route: "/orders/:id", Methods: strings.Fields(methods), Issuers: issuers, AnyToken: true}
	}
	shadow := func(r Rule) Rule { r.Shadow = true; return r }
	elsewhere := rule("")
	elsewhere.Route = "/orders/*"
	for name, tt := range map[string]struct {
		rules []Rule
		want  string // "" if the policy is accepted
	}{
		"the same":                               {[]Rule{rule("GET"), rule("GET")}, "rule 2 (GET /orders/:id) never decides on GET: rule 1 (GET /orders/:id) does"},
		"the same, with one between":             {[]Rule{rule("GET"), rule("PUT"), rule("GET")}, "rule 3 (GET /orders/:id) never decides on GET: rule 1"},
		"wider first":                            {[]Rule{rule(""), rule("GET")}, "rule 2 (GET /orders/:id) never decides on GET: rule 1 (* /orders/:id) does"},
		"wider last":                             {[]Rule{rule("GET"), rule("")}, ""},
		"all twice":                              {[]Rule{rule(""), rule("")}, "never decides on any request"},
		"one of two methods":                     {[]Rule{rule("GET"), rule("PUT GET")}, "rule 2 (PUT,GET /orders/:id) never decides on GET"},
		"other methods":                          {[]Rule{rule("GET"), rule("PUT POST"), rule("DELETE"), rule("")}, ""},
		"GET, then HEAD":                         {[]Rule{rule("GET"), rule("HEAD")}, ""},
		"an issuer behind all":                   {[]Rule{rule(""), rule("", a)}, "never decides on any request of issuer " + a},
		"all behind an issuer":                   {[]Rule{rule("", a), rule("")}, ""},
		"two issuers":                            {[]Rule{rule("GET", a), rule("GET", b), rule("", a), rule("", b), rule("")}, ""},
		"one of two issuers":                     {[]Rule{rule("", a), rule("GET", b, a)}, "never decides on GET of issuer " + a + ": rule 1"},
		"a method of an issuer":                  {[]Rule{rule("GET"), rule("PUT GET", a)}, "never decides on GET of issuer " + a},
		"an issuer's method behind its wildcard": {[]Rule{rule("", a), rule("GET", a)}, "never decides on GET of issuer " + a},
		"another route":                          {[]Rule{rule(""), elsewhere}, ""},
		"a shadow of a rule":                     {[]Rule{rule("GET"), shadow(rule("GET"))}, ""},
		"two shadows":                            {[]Rule{shadow(rule("GET")), shadow(rule("GET"))}, "never decides on GET"},
		"two shadows, the second wider":          {[]Rule{shadow(rule("GET")), shadow(rule(""))}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewPolicy(tt.rules...)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("the error is %v, want %s", err, tt.want)
			}
		})
	}
}

func TestNewPolicyRefusesLongLists(t *testing.T) {
	scopes := strings.Fields(strings.Repeat("x ", maxValues+1))
	for name, r := range map[string]Rule{
		"scopes": {Route: "/", Scopes: scopes},
		"claims": {Route: "/", Claims: make([]Claim, maxValues+1)},
	} {
		if _, err := NewPolicy(r); err == nil || !strings.Contains(err.Error(), "at most 100 are allowed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewPolicy(); err == nil {
		t.Error("a policy of no rules was made")
	}
	if _, err := NewPolicy(Rule{Route: "/", Claims: []Claim{{Name: "a", Is: []string{"b"}}}}); err == nil {
		t.Error("a claim was compared with an array")
	}
	if _, err := NewPolicy(Rule{Route: "/", Claims: []Claim{{Name: "a", Is: func() {}}}}); err == nil {
		t.Error("a claim was compared with a func")
	}
}

// A policy does not change with what it was made of, nor with what it returns.
func TestPolicyIsACopy(t *testing.T) {
	scopes := []string{"a"}
	p := mustPolicy(t, Rule{Route: "/", Scopes: scopes})
	scopes[0] = "b"
	p.Rules()[0].Scopes[0] = "c"
	if got := p.Rules()[0].Scopes[0]; got != "a" {
		t.Errorf("the scope is %q", got)
	}
}

func TestPolicyText(t *testing.T) {
	p := mustPolicy(t,
		Rule{Route: "/orders/:id", Methods: []string{"GET", "PUT"}, Scopes: []string{"a", "b"}, AnyScopes: []string{"c", "d"}, Issuers: []string{"https://a.example"}},
		Rule{Route: "/x", Claims: []Claim{{Name: "tier", Is: 3}, {Name: "roles", Has: "support"}}, Limit: Limit{Rate: 2.5, Concurrent: 4}, Shadow: true},
		Rule{Route: "/\u202e", AnyToken: true},
	)
	const want = `policy: 3 rules; what no rule allows is refused
  rule 1  GET,PUT /orders/:id of https://a.example  a and b; c or d
  rule 2  * /x (shadow)                             tier is 3; roles has "support"; limit 2.5 a second, 3 at once, 4 under way
  rule 3  "* /\u202e"                               any token
`
	trim := func(s string) (lines string) {
		for line := range strings.Lines(s) {
			lines += strings.TrimRight(line, " \n") + "\n"
		}
		return lines
	}
	if got := p.String(); trim(got) != trim(want) {
		t.Errorf("printed as\n%s, want\n%s", got, want)
	}
	if got := new(Policy).String(); !strings.Contains(got, "nothing is let in") {
		t.Errorf("the zero policy is printed as %s", got)
	}
}
