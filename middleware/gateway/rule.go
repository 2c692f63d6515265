package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Rule says which tokens a route needs. A rule that wants nothing of a token is refused: it
// names scopes or claims, or says AnyToken.
type Rule struct {
	// Route is the pattern as the router reports it: c.Path() in Echo, such as
	// "/orders/:id", and in a ServeMux Request.Pattern without its method, such as
	// "/orders/{id}" or "api.example.com/orders/{id}". A route of Echo's Host has the host in
	// front too. It is compared byte for byte, so "/orders/:id" is no rule for a route
	// "/orders/:order".
	Route string

	// Methods are those that the rule is for, in capitals. Default all. GET is HEAD too,
	// unless a rule of the route names HEAD.
	Methods []string

	// Issuers are those whose tokens the rule is for, as in the claim iss. Default all.
	Issuers []string

	// Scopes are all needed.
	Scopes []string

	// AnyScopes are scopes of which one is needed.
	AnyScopes []string

	// Claims are all needed.
	Claims []Claim

	// AnyToken says that every valid token is enough. Not with Scopes, AnyScopes or Claims.
	AnyToken bool

	// Limit bounds what each client may send by this rule. Default no limit.
	Limit Limit

	// Shadow makes a rule that decides nothing. [Gateway.Report] says what it would do in
	// the place of the rule that decides. A route needs another rule, or none of its
	// requests is let in.
	Shadow bool
}

// maxValues bounds each list of a rule.
const maxValues = 100

// rule is a Rule of a Policy, checked.
type rule struct {
	Rule
	index   int    // in the policy
	place   string // where it is: "line 12", or "rule 3" if the program wrote it
	name    string // such as "GET,POST /orders/:id"
	claims  []wanted
	scopes  string // for the challenge
	atLeast string // AnyScopes, for the challenge
}

func compile(r Rule, place string) (*rule, error) {
	c := &rule{Rule: r.clone(), place: place}
	c.name = c.label()
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%s (%.200s): %w", place, c.name, err)
	}
	c.scopes, c.atLeast = strings.Join(r.Scopes, " "), strings.Join(r.AnyScopes, " ")
	return c, nil
}

// label names a rule in a policy, shadow or not: no two have the same.
func (r *rule) label() string {
	methods := "*"
	if len(r.Methods) > 0 {
		methods = strings.Join(r.Methods, ",")
	}
	label := methods + " " + r.Route
	if len(r.Issuers) > 0 {
		label += " of " + strings.Join(r.Issuers, ", ")
	}
	if r.Shadow {
		label += " (shadow)"
	}
	return label
}

func (r *rule) check() error {
	wants := len(r.Scopes) + len(r.AnyScopes) + len(r.Claims)
	switch {
	case len(r.Claims) > maxValues:
		return fmt.Errorf("it has %d claims: at most %d are allowed", len(r.Claims), maxValues)
	case r.Route == "":
		return errors.New(`it has no route: write one as the router has it, such as "/orders/:id"`)
	case strings.ContainsFunc(r.Route, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return errors.New("the route has a space or a control character: write the pattern alone, and methods into methods")
	case !strings.Contains(r.Route, "/"):
		return errors.New("the route has no slash: write it as the router has it")
	case wants == 0 && !r.AnyToken:
		return errors.New("it wants nothing of a token: write scopes, any_scopes or claims, or any_token if every valid token is enough")
	case wants > 0 && r.AnyToken:
		return errors.New("it has any_token, and scopes or claims beside it: write one of them")
	}
	for _, list := range [...]struct {
		name   string
		values []string
		valid  func(string) bool
	}{
		{"method", r.Methods, isMethod},
		{"issuer", r.Issuers, func(s string) bool { return s != "" && strings.TrimSpace(s) == s }},
		{"scope", r.Scopes, isScope},
		{"scope", r.AnyScopes, isScope},
	} {
		if len(list.values) > maxValues {
			return fmt.Errorf("it has %d times a %s: at most %d are allowed", len(list.values), list.name, maxValues)
		}
		for i, value := range list.values {
			switch {
			case !list.valid(value):
				return fmt.Errorf("the %s %.100q cannot exist", list.name, value)
			case slices.Contains(list.values[:i], value):
				return fmt.Errorf("the %s %.100q is there twice", list.name, value)
			}
		}
	}
	for _, claim := range r.Claims {
		w, err := claim.compile()
		if err != nil {
			return err
		}
		r.claims = append(r.claims, w)
	}
	return r.Limit.validate()
}

func (r Rule) clone() Rule {
	r.Methods, r.Issuers = slices.Clone(r.Methods), slices.Clone(r.Issuers)
	r.Scopes, r.AnyScopes = slices.Clone(r.Scopes), slices.Clone(r.AnyScopes)
	r.Claims = slices.Clone(r.Claims)
	return r
}

// isMethod reports whether a method is one that is written in capitals. Methods are tokens
// (RFC 9110, section 9.1), and "get" is not GET.
func isMethod(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return s != ""
}

// isScope reports whether a scope can exist (RFC 6749, section 3.3).
func isScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}
