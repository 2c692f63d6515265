package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// verdict is what a policy says about a request with a valid token. It lets the request in
// if err is nil.
type verdict struct {
	rule   *rule // that decided; nil: none is for the request
	reason event.Reason
	err    error // for the guard of package middleware
}

// decide is what the policy decides. It depends on its arguments alone.
func (p *Policy) decide(route, method string, t *bearer.Token) verdict {
	return judge(p.enforced.find(route, method, t.Issuer), route, method, t)
}

// rehearse is what the policy would decide if its shadow rules did.
func (p *Policy) rehearse(route, method string, t *bearer.Token) verdict {
	r := p.shadow.find(route, method, t.Issuer)
	if r == nil {
		return p.decide(route, method, t)
	}
	return judge(r, route, method, t)
}

func judge(r *rule, route, method string, t *bearer.Token) verdict {
	if r == nil {
		return unlisted(route, method)
	}
	for _, scope := range r.Scopes {
		if !t.HasScope(scope) {
			return r.lacksScope(t)
		}
	}
	if len(r.AnyScopes) > 0 && !slices.ContainsFunc(r.AnyScopes, t.HasScope) {
		return r.lacksScope(t)
	}
	if len(r.claims) == 0 {
		return verdict{rule: r}
	}
	return r.judgeClaims(t)
}

func unlisted(route, method string) verdict {
	return verdict{reason: event.Forbidden, err: fmt.Errorf("gateway: no rule is for %.20s %.200s", method, route)}
}

func (r *rule) judgeClaims(t *bearer.Token) verdict {
	var claims map[string]json.RawMessage
	if err := t.Claims(&claims); err != nil {
		return verdict{r, event.Forbidden, fmt.Errorf("gateway: %s: %w", r.place, err)}
	}
	for _, w := range r.claims {
		if !w.in(claims) {
			return verdict{r, event.Forbidden, fmt.Errorf("gateway: %s (%.200s) wants another value of the claim %.100q", r.place, r.name, w.name)}
		}
	}
	return verdict{rule: r}
}

// lacksScope is the refusal of RFC 6750, section 3.1. The challenge names what the rule
// needs.
func (r *rule) lacksScope(t *bearer.Token) verdict {
	needed := r.scopes
	if len(r.AnyScopes) > 0 && !slices.ContainsFunc(r.AnyScopes, t.HasScope) {
		needed = strings.TrimSpace(r.scopes + " " + r.atLeast)
	}
	return verdict{r, event.InsufficientScope, &bearer.Error{
		Status:      http.StatusForbidden,
		Code:        "insufficient_scope",
		Description: "the access token does not permit this request",
		Scope:       needed,
	}}
}
