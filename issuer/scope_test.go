package issuer

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
)

const maxScopes = 256 // in one request (registry.ParseScope)

func TestScope(t *testing.T) {
	const (
		malformed = "scope is not a list of scopes separated by single spaces"
		refused   = "the client may not have one of the scopes for this resource"
	)
	narrowed := map[string][]string{ordersAPI: {"orders:read", "orders:write", "orders:admin"}, billingAPI: {"bills:read"}}
	both := map[string][]string{ordersAPI: {"orders:read", "shared"}, billingAPI: {"bills:read", "shared"}}
	many := make([]string, maxScopes+1)
	for n := range many {
		many[n] = "s" + strconv.Itoa(n)
	}
	for name, tt := range map[string]struct {
		scope, audience string // audience "" is the default, orders
		resources       map[string][]string
		want            string // "-" means none
		description     string
	}{
		"none asked":                    {"", "", nil, "orders:read orders:write bills:read shared", ""},
		"none asked, narrowed":          {"", "", narrowed, "orders:read orders:write", ""},
		"none asked, other":             {"", billingAPI, narrowed, "bills:read", ""},
		"none asked, both":              {"", ordersAPI + " " + billingAPI, both, "shared", ""},
		"none asked, none in common":    {"", "", map[string][]string{ordersAPI: {"other"}}, "-", ""},
		"none asked, empty list":        {"", "", map[string][]string{ordersAPI: {}}, "-", ""},
		"none asked, not listed":        {"", "", map[string][]string{billingAPI: {"bills:read"}}, "-", ""},
		"one":                           {"orders:read", "", nil, "orders:read", ""},
		"order of the request":          {"orders:write orders:read", "", nil, "orders:write orders:read", ""},
		"all":                           {"orders:read orders:write bills:read", "", nil, "orders:read orders:write bills:read", ""},
		"twice":                         {strings.Repeat(" orders:read", 2)[1:], "", nil, "orders:read", ""},
		"narrowed":                      {"orders:read", "", narrowed, "orders:read", ""},
		"of both":                       {"shared", ordersAPI + " " + billingAPI, both, "shared", ""},
		"of one of both":                {"bills:read", ordersAPI + " " + billingAPI, both, "", refused},
		"not listed":                    {"orders:read", "", map[string][]string{billingAPI: {"bills:read"}}, "", refused},
		"not allowed":                   {"orders:admin", "", nil, "", refused},
		"one of two":                    {"orders:read orders:admin", "", nil, "", refused},
		"of the API, not of the client": {"orders:admin", "", narrowed, "", refused},
		"of the client, not of the API": {"bills:read", "", narrowed, "", refused},
		"of the client, other API":      {"orders:read", billingAPI, narrowed, "", refused},
		"capitals":                      {"Orders:read", "", nil, "", refused},
		"part of one":                   {"orders", "", nil, "", refused},
		"star":                          {"*", "", nil, "", refused},
		"space before":                  {" orders:read", "", nil, "", malformed},
		"space after":                   {"orders:read ", "", nil, "", malformed},
		"space alone":                   {" ", "", nil, "", malformed},
		"two spaces":                    {"orders:read  orders:write", "", nil, "", malformed},
		"tab":                           {"orders:read\torders:write", "", nil, "", malformed},
		"quote":                         {`orders:"read"`, "", nil, "", malformed},
		"backslash":                     {`orders\read`, "", nil, "", malformed},
		"NUL":                           {"orders:read\x00", "", nil, "", malformed},
		"line end":                      {"orders:read\n", "", nil, "", malformed},
		"not ASCII":                     {"orders:lesén", "", nil, "", malformed},
		"comma":                         {"orders:read,orders:write", "", nil, "", refused},
		"JSON":                          {`["orders:read"]`, "", nil, "", malformed},
		"more than the maximum":         {strings.Join(many, " "), "", nil, "", malformed},
	} {
		t.Run(name, func(t *testing.T) {
			c := app()
			c.Scopes = append(c.Scopes, "bills:read", "shared")
			c.Audiences, c.DefaultAudience = []string{ordersAPI, billingAPI}, ordersAPI
			s := newService(t, Config{Resources: tt.resources}, c)
			body := appForm
			if tt.scope != "" {
				body += "&" + form("scope", tt.scope)
			}
			for a := range strings.FieldsSeq(tt.audience) {
				body += "&" + form("resource", a)
			}
			w := s.post(body)
			if tt.description != "" {
				s.wantError(t, w, 400, "invalid_scope", tt.description)
				return
			}
			g := s.wantToken(t, w)
			if got := g.scope(t); got != tt.want {
				t.Errorf("scope %q, want %q", got, tt.want)
			}
			if e := s.lastEvent(t); strings.Join(e.Scopes, " ") != strings.TrimPrefix(tt.want, "-") {
				t.Errorf("event with scope %q", strings.Join(e.Scopes, " "))
			}
		})
	}
}

func TestAudience(t *testing.T) {
	const (
		malformed = "resource is not an absolute URI without fragment"
		refused   = "the client may not get tokens for this resource"
		several   = "send one or more resource parameters: the client has several audiences and no default"
		none      = "the client has no audiences, so it may not get a token"
	)
	only, both := []string{ordersAPI}, []string{ordersAPI, billingAPI}
	for name, tt := range map[string]struct {
		audiences   []string
		byDefault   string
		resource    []string
		want        string // aud as JSON
		description string
	}{
		"only one":               {only, "", nil, `"` + ordersAPI + `"`, ""},
		"default":                {both, billingAPI, nil, `"` + billingAPI + `"`, ""},
		"empty parameter":        {only, "", []string{""}, `"` + ordersAPI + `"`, ""},
		"several, no default":    {both, "", nil, "", several},
		"none":                   {nil, "", nil, "", none},
		"none, one asked":        {nil, "", []string{ordersAPI}, "", refused},
		"one":                    {both, "", []string{billingAPI}, `"` + billingAPI + `"`, ""},
		"one beside a default":   {both, billingAPI, []string{ordersAPI}, `"` + ordersAPI + `"`, ""},
		"two":                    {both, "", []string{billingAPI, ordersAPI}, `["` + billingAPI + `","` + ordersAPI + `"]`, ""},
		"one twice":              {both, "", []string{billingAPI, billingAPI}, `"` + billingAPI + `"`, ""},
		"with path and query":    {[]string{ordersAPI + "/v1?a=b"}, "", []string{ordersAPI + "/v1?a=b"}, `"` + ordersAPI + `/v1?a=b"`, ""},
		"urn":                    {[]string{"urn:example:api"}, "", []string{"urn:example:api"}, `"urn:example:api"`, ""},
		"not of the client":      {only, "", []string{billingAPI}, "", refused},
		"one of two not allowed": {only, "", []string{ordersAPI, billingAPI}, "", refused},
		"slash after":            {only, "", []string{ordersAPI + "/"}, "", refused},
		"capitals":               {only, "", []string{strings.ToUpper(ordersAPI)}, "", refused},
		"path below":             {only, "", []string{ordersAPI + "/v1"}, "", refused},
		"not absolute":           {only, "", []string{"/v1"}, "", malformed},
		"no scheme":              {only, "", []string{"orders.example.com"}, "", malformed},
		"scheme-relative":        {only, "", []string{"//orders.example.com"}, "", malformed},
		"fragment":               {only, "", []string{ordersAPI + "#x"}, "", malformed},
		"empty fragment":         {only, "", []string{ordersAPI + "#"}, "", malformed},
		"not a URI":              {only, "", []string{"https://a b"}, "", malformed},
		"NUL":                    {only, "", []string{ordersAPI + "\x00"}, "", malformed},
		"the client itself":      {only, "", []string{"app"}, "", malformed},
		"a name, as the default": {[]string{"orders"}, "", nil, `"orders"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := app()
			c.Audiences, c.DefaultAudience = tt.audiences, tt.byDefault
			s := newService(t, Config{}, c)
			body := appForm
			for _, r := range tt.resource {
				body += "&" + form("resource", r)
			}
			w := s.post(body)
			if tt.description != "" {
				s.wantError(t, w, 400, "invalid_target", tt.description)
				return
			}
			if got := string(s.wantToken(t, w).claims.Audience); got != tt.want {
				t.Errorf("aud %s, want %s", got, tt.want)
			}
			if tt.want[0] == '"' && !slices.Equal(s.lastEvent(t).Audience, []string{strings.Trim(tt.want, `"`)}) {
				t.Errorf("event with audience %q", s.lastEvent(t).Audience)
			}
		})
	}
}

func FuzzScope(f *testing.F) {
	seeds := []string{
		"", " ", "a", "a b", "a  b", " a", "a ", "a a", "orders:read orders:write", `a"b`, `a\b`, "a\tb", "\x00", "ä", "!#[]~",
		strings.Repeat("a ", maxScopes) + "a", url.QueryEscape("a b"),
	}
	seeded(f, seeds, func(s string) { f.Add(s) })
	f.Fuzz(func(t *testing.T, s string) {
		scopes, err := registry.ParseScope(s)
		if err != nil {
			if scopes != nil {
				t.Errorf("%q gives an error and %q", s, scopes)
			}
			return
		}
		if len(scopes) == 0 || len(scopes) > maxScopes {
			t.Errorf("%q gives %d scopes", s, len(scopes))
		}
		canonical := strings.Join(scopes, " ")
		if again, err := registry.ParseScope(canonical); err != nil || !slices.Equal(again, scopes) {
			t.Errorf("%q gives %q, which gives %q, %v", s, scopes, again, err)
		}
		for n, scope := range scopes {
			if slices.Contains(scopes[:n], scope) || !slices.Contains(strings.Split(s, " "), scope) {
				t.Errorf("%q gives %q", s, scopes)
			}
		}
	})
}
