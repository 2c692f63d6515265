package profile

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// reader reads one claim after another and keeps the first error.
type reader struct {
	claims *jose.Object
	err    error
}

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

// find returns the object that has the claim as a member, and the member's name. The
// object is nil when a part of the path is missing.
func (r *reader) find(claim string) (in *jose.Object, member string) {
	if !strings.HasPrefix(claim, "/") {
		return r.claims, claim
	}
	in = r.claims
	for parent, rest, nested := strings.Cut(claim[1:], "/"); nested; parent, rest, nested = strings.Cut(rest, "/") {
		raw, ok := in.Raw(unescape(parent))
		if !ok {
			return nil, ""
		}
		object, err := jose.ParseObject(string(raw))
		if err != nil {
			r.keep(fmt.Errorf("%s: in %.40q: %w", claim, parent, err))
			return nil, ""
		}
		in = &object
	}
	return in, unescape(claim[strings.LastIndexByte(claim, '/')+1:])
}

// unescape decodes one part of a JSON Pointer (RFC 6901, section 4).
func unescape(part string) string {
	if !strings.Contains(part, "~") {
		return part
	}
	return strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
}

// has reports whether the token has the claim, null included.
func (r *reader) has(claim string) bool {
	in, member := r.find(claim)
	return in.Has(member)
}

// text reads a claim that must be a string, not empty. It is missing only if it may be.
func (r *reader) text(claim string, optional bool) string {
	in, member := r.find(claim)
	value, ok, err := in.String(member)
	r.keep(err)
	if r.err == nil && value == "" && (ok || !optional) {
		r.err = fmt.Errorf("%s is missing or empty", claim)
	}
	return value
}

// texts reads a claim that must be an array of strings, or one string.
func (r *reader) texts(claim string) (values []string, ok bool) {
	in, member := r.find(claim)
	values, ok, err := in.Strings(member)
	r.keep(err)
	return values, ok
}

func (r *reader) date(claim string, optional bool) time.Time {
	at, ok, err := r.claims.Time(claim)
	r.keep(err)
	if r.err == nil && !ok && !optional {
		r.err = fmt.Errorf("%s is missing", claim)
	}
	return at
}

// scopes reads the scopes of Scope, or of ScopeList if the token has no Scope.
func (r *reader) scopes(scope, list string) (found []string) {
	if scope != "" {
		in, member := r.find(scope)
		text, ok, err := in.String(member)
		r.keep(err)
		if text != "" {
			found = make([]string, 0, 1+strings.Count(text, " "))
		}
		for text != "" { // the space alone divides (RFC 6749, section 3.3)
			var one string
			if one, text, _ = strings.Cut(text, " "); one != "" {
				found = append(found, one)
			}
		}
		if ok {
			return found
		}
	}
	if list == "" {
		return nil
	}
	in, member := r.find(list)
	found, ok, err := in.Strings(member)
	r.keep(err)
	if raw, _ := in.Raw(member); r.err == nil && ok && raw[0] != '[' {
		r.err = fmt.Errorf("%s is not an array of strings", list)
	}
	for _, s := range found {
		if !isScope(s) { // with a space in it, it would be two scopes to others
			r.keep(fmt.Errorf("%s: %.40q cannot be a scope", list, s))
		}
	}
	return found
}

func (r *reader) roles(claims []string) (found []string) {
	for _, claim := range claims {
		some, _ := r.texts(claim)
		for _, role := range some {
			if role == "" {
				r.keep(fmt.Errorf("%s has an empty role", claim))
			}
		}
		if found == nil {
			found = some
			continue
		}
		found = append(found, some...)
	}
	return found
}

// isScope reports whether a scope can exist (RFC 6749, section 3.3):
// scope-token = 1*( %x21 / %x23-5B / %x5D-7E ).
func isScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// notAccess returns why a token without the typ at+jwt is certainly no access token, or
// nil.
func (r *reader) notAccess() error {
	for _, mark := range [...]string{"at_hash", "c_hash", "s_hash", "nonce"} { // OpenID Connect Core, sections 2 and 3.3.2.11
		if r.claims.Has(mark) {
			return fmt.Errorf("%s: it is an ID token", mark)
		}
	}
	if r.claims.Has("events") { // RFC 8417, section 2.2
		return errors.New("events: it is a security event or logout token")
	}
	if use, _, _ := r.claims.String("token_use"); use == "id" {
		return errors.New("token_use is id: it is an ID token")
	}
	switch kind, _, _ := r.claims.String("typ"); kind {
	case "ID", "Serialized-ID", "Refresh", "Offline", "Logout": // Keycloak's TokenUtil.java
		return fmt.Errorf("the claim typ is %s: it is no access token", kind)
	}
	return nil
}
