package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// Policy is a table of rules. What no rule allows is refused, so the zero Policy lets
// nothing in. It does not change: to change the policy of a gateway, see [Gateway.Swap].
type Policy struct {
	rules  []*rule // as written
	source string  // the file it was read from; may be empty

	enforced, shadow table
}

// table finds the rules of a route, in the order of the policy.
type table map[string]*routeRules

type routeRules struct {
	rules     []*rule
	namesHEAD bool
}

// maxRules bounds a policy.
const maxRules = 10_000

// NewPolicy makes a policy of rules. Of two rules for one route, method and issuer the first
// decides. A rule that names a method, or an issuer, for which an earlier one decides is an
// error, and so is one without effect.
func NewPolicy(rules ...Rule) (*Policy, error) {
	places := make([]string, len(rules))
	for i := range rules {
		places[i] = "rule " + strconv.Itoa(i+1)
	}
	p, err := newPolicy(rules, places)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return p, nil
}

func newPolicy(rules []Rule, places []string) (*Policy, error) {
	switch {
	case len(rules) == 0:
		return nil, errors.New("the policy has no rules, so it would let nothing in: write one")
	case len(rules) > maxRules:
		return nil, fmt.Errorf("the policy has %d rules: at most %d are allowed", len(rules), maxRules)
	}
	p := &Policy{enforced: table{}, shadow: table{}}
	enforced, shadow := taken{}, taken{}
	for i := range rules {
		r, err := compile(rules[i], places[i])
		if err != nil {
			return nil, err
		}
		into, seen := p.enforced, enforced
		if r.Shadow {
			into, seen = p.shadow, shadow
		}
		if err := seen.add(r); err != nil {
			return nil, err
		}
		into.add(r)
		r.index = i
		p.rules = append(p.rules, r)
	}
	return p, nil
}

func (t table) add(r *rule) {
	of := t[r.Route]
	if of == nil {
		of = &routeRules{}
		t[r.Route] = of
	}
	of.rules = append(of.rules, r)
	of.namesHEAD = of.namesHEAD || slices.Contains(r.Methods, http.MethodHead)
}

// find returns the rule that decides; nil if there is none.
func (t table) find(route, method, issuer string) *rule {
	of := t[route]
	if of == nil {
		return nil
	}
	if method == http.MethodHead && !of.namesHEAD {
		method = http.MethodGet
	}
	for _, r := range of.rules {
		if (len(r.Methods) == 0 || slices.Contains(r.Methods, method)) &&
			(len(r.Issuers) == 0 || slices.Contains(r.Issuers, issuer)) {
			return r
		}
	}
	return nil
}

// taken is which rule decides for a route, a method and an issuer; "" is all of them.
type taken map[[3]string]*rule

// add refuses a rule that an earlier one hides, wholly or for something that it names.
func (t taken) add(r *rule) error {
	methods, issuers := r.Methods, r.Issuers
	if len(methods) == 0 {
		methods = []string{""}
	}
	if len(issuers) == 0 {
		issuers = []string{""}
	}
	for _, method := range methods {
		for _, issuer := range issuers {
			for _, key := range [...][3]string{{r.Route, method, issuer}, {r.Route, "", issuer}, {r.Route, method, ""}, {r.Route, "", ""}} {
				if earlier := t[key]; earlier != nil {
					return fmt.Errorf("%s (%.200s) never decides on %s: %s (%.200s) does", r.place, r.name, subject(method, issuer), earlier.place, earlier.name)
				}
			}
		}
	}
	for _, method := range methods {
		for _, issuer := range issuers {
			t[[3]string{r.Route, method, issuer}] = r
		}
	}
	return nil
}

func subject(method, issuer string) string {
	s := "any request"
	if method != "" {
		s = method
	}
	if issuer != "" {
		s += " of issuer " + issuer
	}
	return s
}

// Rules returns a copy of the rules, in their order.
func (p *Policy) Rules() []Rule {
	if p == nil {
		return nil
	}
	rules := make([]Rule, len(p.rules))
	for i, r := range p.rules {
		rules[i] = r.clone()
	}
	return rules
}
