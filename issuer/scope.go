package issuer

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

func invalidScope(description string, cause error) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "invalid_scope", Description: description, reason: event.InvalidScope, cause: cause}
}

func invalidTarget(description string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "invalid_target", Description: description, reason: event.InvalidTarget}
}

// audience returns the audience of the token (RFC 8707, section 2).
func (i *Issuer) audience(c *registry.Client, resources []string) ([]string, *Error) {
	if len(resources) == 0 {
		switch {
		case c.DefaultAudience != "":
			return []string{c.DefaultAudience}, nil
		case len(c.Audiences) == 1:
			return c.Audiences, nil
		case len(c.Audiences) == 0:
			return nil, invalidTarget("the client has no audiences, so it may not get a token")
		}
		return nil, invalidTarget("send one or more resource parameters: the client has several audiences and no default")
	}
	var audience []string
	for _, r := range resources {
		u, err := url.Parse(r)
		if err != nil || !u.IsAbs() || strings.Contains(r, "#") {
			return nil, invalidTarget("resource is not an absolute URI without fragment")
		}
		if !slices.Contains(c.Audiences, r) {
			return nil, invalidTarget("the client may not get tokens for this resource")
		}
		if !slices.Contains(audience, r) {
			audience = append(audience, r)
		}
	}
	return audience, nil
}

// scope returns the scopes of the token: those that were requested, all of which must be
// allowed, or without a scope parameter all that are allowed.
func (i *Issuer) scope(c *registry.Client, audience []string, asked string) ([]string, *Error) {
	if asked == "" {
		if i.resources == nil {
			return c.Scopes, nil
		}
		var scopes []string
		for _, s := range c.Scopes {
			if i.known(audience, s) {
				scopes = append(scopes, s)
			}
		}
		return scopes, nil
	}
	scopes, err := registry.ParseScope(asked)
	if err != nil {
		return nil, invalidScope("scope is not a list of scopes separated by single spaces", err)
	}
	for n, s := range scopes {
		if !slices.Contains(c.Scopes, s) || !i.known(audience, s) {
			return nil, invalidScope("the client may not have one of the scopes for this resource", fmt.Errorf("issuer: scope %d of the request is not one of the client's, or not one of the resource's", n+1))
		}
	}
	return scopes, nil
}

// known reports whether all audiences have the scope (Config.Resources). A scope that
// only one of several audiences has could mean something else at another (RFC 9068,
// section 5).
func (i *Issuer) known(audience []string, scope string) bool {
	for _, a := range audience {
		if i.resources != nil && !slices.Contains(i.resources[a], scope) {
			return false
		}
	}
	return true
}
