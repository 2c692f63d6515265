package middleware

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Explanation says what each check finds about one token. It has no part of the token that
// could be sent again. It is for operators: to a forger it tells which check has failed.
type Explanation struct {
	// Valid says that no check failed. A check that was not made may still fail in a
	// request.
	Valid bool `json:"valid"`

	Issuer  string `json:"issuer,omitempty"`  // of the Bearer that checked the token; "": no Bearer is for it
	Profile string `json:"profile,omitempty"` // the Name of Config.Profile; "rfc9068" without one

	// Of a token whose signature and claims are valid, what it says.
	ClientID  string    `json:"client_id,omitempty"`
	TokenID   string    `json:"jti,omitempty"`
	Scopes    []string  `json:"scopes,omitempty"`
	Roles     []string  `json:"roles,omitempty"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`

	Checks []Check `json:"checks"` // in the order in which a guard makes them
}

// Check is one check of an [Explanation].
type Check struct {
	Name   string       `json:"check"`            // "request", "form", "issuer", "type", "key", "signature", "claims", "time", "revocation" or "binding"
	Result string       `json:"result"`           // "passed", "failed", "not reached" or "not checked"
	Reason event.Reason `json:"reason,omitempty"` // why it failed, as Config.Observe hears it
	Why    string       `json:"why,omitempty"`    // the private cause, or why it was not checked
}

// The checks, in their order.
const (
	checkRequest    = "request" // one token, as it is sent
	checkForm       = "form"
	checkIssuer     = "issuer" // of Any and AnyTenant: which Bearer is for it
	checkType       = "type"
	checkKey        = "key"
	checkSignature  = "signature"
	checkClaims     = "claims"
	checkTime       = "time"
	checkRevocation = "revocation"
	checkBinding    = "binding"
)

// lateCheck is the check that failed once there was a key, if its reason may also be of an
// earlier one.
func lateCheck(reason event.Reason) string {
	if reason == event.MalformedToken { // its payload or signature is misspelt
		return checkSignature
	}
	if reason == event.WrongTokenType { // its claims say so
		return checkClaims
	}
	return ""
}

// checkOf returns the check that refused a token.
func (e *Error) checkOf() string {
	if e.at != "" {
		return e.at
	}
	return cmp.Or(checkOfReason[e.reason], checkClaims)
}

// checkOfReason has the reasons that are of another check than the claims.
var checkOfReason = map[event.Reason]string{
	event.NoToken: checkRequest, event.MalformedRequest: checkRequest,
	event.MalformedToken: checkForm,
	event.WrongTokenType: checkType,
	event.UnknownKey:     checkKey, event.KeysUnavailable: checkKey,
	event.BadSignature: checkSignature,
	event.Expired:      checkTime, event.NotYetValid: checkTime,
	event.Revoked: checkRevocation, event.RevocationsUnavailable: checkRevocation,
	event.Unbound: checkBinding,
}

// Explain checks a token as a guard does and says what each check found. As with
// [Bearer.Judge], nothing is used up or reported. Not checked: what the token is bound to,
// which a request alone can prove, and the scopes of a route.
func (b *Bearer) Explain(ctx context.Context, token string) Explanation {
	if cause := b.fault(false); cause != nil {
		return Explanation{Checks: []Check{{checkRequest, "failed", event.Misconfigured, cause.Error()}}}
	}
	if ctx == nil {
		ctx = context.Background()
	}
	r := (&http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: "/"}, Header: http.Header{"Authorization": {schemeBearer + " " + token}},
	}).WithContext(ctx)
	from := caller{bearer: b, request: r, silent: true}
	x := Explanation{}
	checks := []string{checkRequest, checkForm, checkType, checkKey, checkSignature, checkClaims, checkTime, checkRevocation, checkBinding}
	if b.members != nil {
		checks = append([]string{checkRequest, checkForm, checkIssuer}, checks[2:]...)
		m, e := b.members.choose(from, nil)
		if e != nil {
			failed := e.checkOf()
			if failed == checkClaims {
				failed = checkIssuer
			}
			addChecks(&x, checks, failed, e)
			return x
		}
		defer func() { m.release(x.Valid) }()
		b, from.bearer = m.Bearer, m.Bearer
	}
	x.Issuer, x.Profile = b.issuer, "rfc9068"
	if b.profile != nil {
		x.Profile = b.profile.Name
	}
	raw, _, e := b.credential(r)
	var v *verified
	if e == nil {
		v, e = b.valid(from, raw)
	}
	if e == nil && b.requireBound && v.bound == nil {
		e = unbound()
	}
	failed := ""
	if e != nil {
		failed = e.checkOf()
	}
	addChecks(&x, checks, failed, e)
	if v == nil {
		return x
	}
	t := v.token()
	x.ClientID, x.TokenID, x.Scopes, x.Roles, x.ExpiresAt = t.ClientID, t.ID, t.Scopes, t.Roles, t.ExpiresAt
	for i := range x.Checks {
		b.qualify(&x.Checks[i], v)
	}
	return x
}

// qualify says of a check that passed what it did not check.
func (b *Bearer) qualify(c *Check, v *verified) {
	switch {
	case c.Result != "passed":
	case c.Name == checkRevocation && b.revoked == nil && b.introspector == nil:
		c.Result, c.Why = "not checked", "neither Config.Revoked nor Config.Introspection is set"
	case c.Name == checkBinding && v.bound != nil:
		c.Result, c.Why = "not checked", "the token is bound to a key of the client, which only a request proves"
	}
}

// addChecks adds the checks. failed is the one that e is of, "" if all passed.
func addChecks(x *Explanation, checks []string, failed string, e *Error) {
	result := "passed"
	for _, name := range checks {
		c := Check{Name: name, Result: result}
		if name == failed {
			c = Check{name, "failed", e.Reason(), oneLine(e)}
			result = "not reached"
		}
		x.Checks = append(x.Checks, c)
	}
	x.Valid = e == nil
}

func oneLine(e *Error) string {
	text := e.Description
	if e.cause != nil {
		text = e.cause.Error()
	}
	return strings.ReplaceAll(text, "\n", "; ")
}

// String returns the explanation as text, one line for a check.
func (x Explanation) String() string {
	var b strings.Builder
	verdict := "not valid"
	if x.Valid {
		verdict = "valid"
	}
	fmt.Fprintf(&b, "the token is %s\n", verdict)
	for _, line := range [...]struct{ name, value string }{
		{"issuer", x.Issuer},
		{"profile", x.Profile},
		{"client", x.ClientID},
		{"token id", x.TokenID},
		{"scopes", strings.Join(x.Scopes, " ")},
		{"roles", strings.Join(x.Roles, ", ")},
	} {
		if line.value != "" {
			fmt.Fprintf(&b, "%-11s %q\n", line.name, line.value)
		}
	}
	for _, c := range x.Checks {
		fmt.Fprintf(&b, "%-11s %s", c.Name, c.Result)
		for _, more := range []string{string(c.Reason), c.Why} {
			if more != "" {
				b.WriteString(": " + more)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
