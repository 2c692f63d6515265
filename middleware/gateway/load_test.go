package gateway

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

const goodPolicy = `{"rules": [
	{"route": "/orders/*", "methods": ["GET"], "scopes": ["orders:read"]},
	{"route": "/orders/*", "scopes": ["orders:write"], "limit": {"rate": 50.5, "burst": 100, "concurrent": 10}},
	{"route": "/orders/*", "methods": ["GET"], "any_scopes": ["orders:read", "orders:all"], "shadow": true},
	{"route": "/reports", "any_scopes": ["reports:read", "admin"], "issuers": ["https://a.example", "https://b.example"]},
	{"route": "/tenants/:id", "claims": [{"name": "tier", "is": 3}, {"name": "roles", "has": "support"}, {"name": "test", "is": false}]},
	{"route": "example.com/ping/{id}", "any_token": true}
]}`

func goodRules() []Rule {
	return []Rule{
		{Route: "/orders/*", Methods: []string{"GET"}, Scopes: []string{"orders:read"}},
		{Route: "/orders/*", Scopes: []string{"orders:write"}, Limit: Limit{Rate: 50.5, Burst: 100, Concurrent: 10}},
		{Route: "/orders/*", Methods: []string{"GET"}, AnyScopes: []string{"orders:read", "orders:all"}, Shadow: true},
		{Route: "/reports", AnyScopes: []string{"reports:read", "admin"}, Issuers: []string{"https://a.example", "https://b.example"}},
		{Route: "/tenants/:id", Claims: []Claim{{Name: "tier", Is: json.Number("3")}, {Name: "roles", Has: "support"}, {Name: "test", Is: false}}},
		{Route: "example.com/ping/{id}", AnyToken: true},
	}
}

func TestParsePolicy(t *testing.T) {
	p, err := ParsePolicy([]byte(goodPolicy))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Rules(); !reflect.DeepEqual(got, goodRules()) {
		t.Errorf("read\n%+v, want\n%+v", got, goodRules())
	}
	written, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParsePolicy(written)
	if err != nil {
		t.Fatalf("what was written cannot be read: %v\n%s", err, written)
	}
	if got := again.Rules(); !reflect.DeepEqual(got, goodRules()) {
		t.Errorf("read again\n%+v, want\n%+v", got, goodRules())
	}
	fromGo := mustPolicy(t, goodRules()...)
	if document, err := json.Marshal(fromGo); err != nil || string(document) != string(written) {
		t.Errorf("the same rules in Go are written as\n%s, %v, want\n%s", document, err, written)
	}
}

// Each bad policy is refused with the line on which it is bad.
func TestParsePolicyRefuses(t *testing.T) {
	rule := func(text string) string { return "{\"rules\": [\n" + text + "\n]}" }
	const fine = `{"route": "/a", "any_token": true}`
	for name, tt := range map[string]struct{ document, want string }{
		"empty":                   {"", "line 1: jose: no JSON object"},
		"no rules":                {"{}", "it has no rules"},
		"an empty list":           {`{"rules": []}`, "no rules, so it would let nothing in"},
		"no list":                 {"{\n\"rules\": {}}", "line 2: rules is not an array"},
		"syntax":                  {"{\"rules\": [\n" + fine + "\n" + fine + "]}", "line 3: jose: not valid JSON"},
		"cut short":               {"{\"rules\": [\n" + fine, "line 2: jose: the JSON object is cut short"},
		"a comma at the end":      {rule(fine + ","), "line 3: jose: not valid JSON"},
		"something behind":        {"{\"rules\": [" + fine + "]}\n\n{}", "line 3: jose: something follows"},
		"not UTF-8":               {"{\"rules\": [\"\xff\"]}", "not valid UTF-8"},
		"unknown at the top":      {"{\n\n\"rule\": [], \"rules\": [" + fine + "]}", `line 3: unknown member "rule"`},
		"twice at the top":        {"{\"rules\": [" + fine + "],\n\"rules\": [" + fine + "]}", `line 2: jose: the JSON object is refused: members have unique names, "rules"`},
		"unknown":                 {rule(fine + ",\n{\"route\": \"/b\",\n \"scope\": [\"x\"]}"), `line 4: unknown member "scope": the known ones are route, methods`},
		"in another case":         {rule(`{"Route": "/b", "any_token": true}`), `line 2: unknown member "Route"`},
		"twice":                   {rule("{\"route\": \"/b\",\n\"any_token\": true,\n\"route\": \"/c\"}"), `line 4: jose: the JSON object is refused: members have unique names, "route"`},
		"twice, escaped":          {rule("{\"route\": \"/b\", \"any_token\": true,\n\"rout\\u0065\": \"/c\"}"), `line 3: jose: the JSON object is refused: members have unique names, "route"`},
		"no object":               {rule(fine + `, "x"`), "line 2: a rule is an object"},
		"null":                    {rule(fine + ",\nnull"), "line 3: a rule is an object"},
		"no route":                {rule(`{"any_token": true}`), "line 2 (* ): it has no route"},
		"route of a number":       {rule(`{"route": 1, "any_token": true}`), "line 2: route is not a text"},
		"route null":              {rule(`{"route": null, "any_token": true}`), "line 2: route is not a text"},
		"route with a method":     {rule(`{"route": "GET /a", "any_token": true}`), "line 2 (* GET /a): the route has a space"},
		"route without a slash":   {rule(`{"route": "a", "any_token": true}`), "the route has no slash"},
		"wants nothing":           {rule(`{"route": "/a"}`), "line 2 (* /a): it wants nothing of a token"},
		"any token and scopes":    {rule(`{"route": "/a", "any_token": true, "scopes": ["x"]}`), "write one of them"},
		"any token a text":        {rule(`{"route": "/a", "any_token": "true"}`), "any_token is not true or false"},
		"scopes a text":           {rule(`{"route": "/a", "scopes": "a b"}`), "scopes is not an array of texts"},
		"scopes null":             {rule(`{"route": "/a", "scopes": null}`), "scopes is not an array of texts"},
		"a scope null":            {rule(`{"route": "/a", "scopes": ["a", null]}`), "scopes is not an array of texts"},
		"no scopes":               {rule(`{"route": "/a", "scopes": []}`), "scopes is empty"},
		"no methods":              {rule(`{"route": "/a", "any_token": true, "methods": []}`), "methods is empty"},
		"a scope of two":          {rule(`{"route": "/a", "scopes": ["a b"]}`), `the scope "a b" cannot exist`},
		"an empty scope":          {rule(`{"route": "/a", "any_scopes": [""]}`), `the scope "" cannot exist`},
		"a scope twice":           {rule(`{"route": "/a", "scopes": ["a", "a"]}`), `the scope "a" is there twice`},
		"a method in small":       {rule(`{"route": "/a", "any_token": true, "methods": ["get"]}`), `the method "get" cannot exist`},
		"a method twice":          {rule(`{"route": "/a", "any_token": true, "methods": ["GET", "GET"]}`), `the method "GET" is there twice`},
		"an issuer with a space":  {rule(`{"route": "/a", "any_token": true, "issuers": ["https://a.example "]}`), `the issuer "https://a.example " cannot exist`},
		"claims an object":        {rule(`{"route": "/a", "claims": {"a": 1}}`), "claims is not an array"},
		"no claims":               {rule(`{"route": "/a", "claims": []}`), "claims is empty"},
		"a claim a text":          {rule(`{"route": "/a", "claims": ["a"]}`), "a claim is an object"},
		"a claim without a name":  {rule(`{"route": "/a", "claims": [{"is": 1}]}`), "a claim has no name"},
		"a claim without a value": {rule(`{"route": "/a", "claims": [{"name": "a"}]}`), "has no value"},
		"a claim null":            {rule("{\"route\": \"/a\", \"claims\": [\n{\"name\": \"a\", \"is\": null}]}"), "line 3: is is not a text, a number"},
		"a claim of an array":     {rule(`{"route": "/a", "claims": [{"name": "a", "has": ["b"]}]}`), "has is not a text, a number"},
		"a claim is and has":      {rule(`{"route": "/a", "claims": [{"name": "a", "is": 1, "has": 1}]}`), "both is and has"},
		"unknown in a claim":      {rule("{\"route\": \"/a\", \"claims\": [{\"name\": \"a\",\n\"in\": 1}]}"), `line 3: unknown member "in"`},
		"twice in a claim":        {rule(`{"route": "/a", "claims": [{"name": "a", "is": 1, "is": 2}]}`), `unique names, "is"`},
		"a limit a number":        {rule(`{"route": "/a", "any_token": true, "limit": 5}`), "limit is not an object"},
		"a limit of none":         {rule(`{"route": "/a", "any_token": true, "limit": {"rate": 0}}`), "the limit is none"},
		"unknown in a limit":      {rule(`{"route": "/a", "any_token": true, "limit": {"per_second": 5}}`), `unknown member "per_second"`},
		"twice in a limit":        {rule(`{"route": "/a", "any_token": true, "limit": {"rate": 5, "rate": 5}}`), `unique names, "rate"`},
		"a negative rate":         {rule(`{"route": "/a", "any_token": true, "limit": {"rate": -1}}`), "the rate of the limit is -1"},
		"half a request":          {rule(`{"route": "/a", "any_token": true, "limit": {"concurrent": 1.5}}`), "concurrent is not a whole number"},
		"a burst alone":           {rule(`{"route": "/a", "any_token": true, "limit": {"burst": 3}}`), "a burst and no rate"},
		"hidden":                  {rule(fine + ",\n" + fine), "line 3 (* /a) never decides on any request: line 2 (* /a) does"},
		"too deep":                {rule(`{"route": "/a", "claims": ` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}"), "nested more than 32 levels deep"},
		"too large":               {strings.Repeat(" ", maxPolicyBytes) + rule(fine), "it has more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ParsePolicy([]byte(tt.document))
			if err == nil || p != nil {
				t.Fatal("the policy was read")
			}
			if !strings.HasPrefix(err.Error(), "gateway: the policy: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is\n%v, want\n%s", err, tt.want)
			}
		})
	}
}

func TestParsePolicyBounds(t *testing.T) {
	var rules []string
	for i := range maxRules + 1 {
		rules = append(rules, `{"route":"/`+strconv.Itoa(i)+`","any_token":true}`)
	}
	if _, err := ParsePolicy([]byte(`{"rules":[` + strings.Join(rules[1:], ",\n") + "]}")); err != nil {
		t.Errorf("%d rules: %v", maxRules, err)
	}
	if _, err := ParsePolicy([]byte(`{"rules":[` + strings.Join(rules, ",\n") + "]}")); err == nil || !strings.Contains(err.Error(), "line 10001: at most 10000 rules") {
		t.Errorf("%d rules: %v", maxRules+1, err)
	}
}

func TestLoadPolicy(t *testing.T) {
	name := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(name, []byte(goodPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := LoadPolicy(name)
	if err != nil {
		t.Fatal(err)
	}
	if text := p.String(); !strings.Contains(text, "policy of "+name+": 6 rules") || !strings.Contains(text, "line 2") {
		t.Errorf("printed as\n%s", text)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(goodPolicy, `"/reports"`, `"/re ports"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadPolicy(name); err == nil || !strings.HasPrefix(err.Error(), "gateway: "+name+": line 5 ") {
		t.Errorf("of a bad rule: %v", err)
	}
	if err := os.WriteFile(name, make([]byte, 10<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadPolicy(name); err == nil || !strings.Contains(err.Error(), "it has more than") {
		t.Errorf("of 10 MiB: %v", err)
	}
	if _, err := LoadPolicy(name + ".missing"); err == nil {
		t.Error("a missing file was read")
	}
}

// Whatever is read can be written and read again, with the same rules.
func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(goodPolicy))
	f.Add([]byte(`{"rules":[{"route":"/","any_token":true}]}`))
	f.Add([]byte(`{"rules":[{"route":"/\u00e9","claims":[{"name":"","is":-0.0e5}]}]}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		p, err := ParsePolicy(document)
		if err != nil {
			return
		}
		written, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParsePolicy(written)
		if err != nil {
			t.Fatalf("%v in %s", err, written)
		}
		if !reflect.DeepEqual(p.Rules(), again.Rules()) {
			t.Fatalf("%+v became %+v", p.Rules(), again.Rules())
		}
	})
}
