package middleware

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// WithToken returns a context in which [TokenFromContext] finds a copy of the token. It
// is for the test of one handler, without its guard:
//
//	ctx := bearer.WithToken(t.Context(), &bearer.Token{ClientID: "reporter", Scopes: []string{"orders:read"}})
//	handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/orders", nil))
//
// For a handler of Echo, see [SetToken]. In the context of a request that a guard let in,
// this token replaces the verified one. With a nil token TokenFromContext returns nil.
//
// Not checked: the token. So no guard accepts it: a request with this context still
// needs a valid one to pass [Bearer.Handler] or [Bearer.Require]. To test the guard of a
// route too, use package issuertest.
func WithToken(ctx context.Context, t *Token) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	return &given{ctx, t.clone()}
}

// given is the context of a request whose token the program gave.
type given struct {
	context.Context
	token *Token
}

// Value answers as an *admitted does, so that the innermost of both counts.
func (g *given) Value(key any) any {
	if key == (admittedKey{}) {
		return g
	}
	return g.Context.Value(key)
}

// clone returns a copy that shares nothing that can be changed.
func (t *Token) clone() *Token {
	if t == nil {
		return nil
	}
	c := *t
	c.Audience, c.Scopes, c.Roles = slices.Clone(t.Audience), slices.Clone(t.Scopes), slices.Clone(t.Roles)
	if t.Confirmation != nil {
		bound := *t.Confirmation
		c.Confirmation = &bound
	}
	return &c
}

// written returns the claims of a token that no guard made, as JSON: its fields that are
// set.
func (t *Token) written() (string, error) {
	claims := struct {
		Issuer    string   `json:"iss,omitempty"`
		Subject   string   `json:"sub,omitempty"`
		ClientID  string   `json:"client_id,omitempty"`
		ID        string   `json:"jti,omitempty"`
		Audience  []string `json:"aud,omitempty"`
		Scope     string   `json:"scope,omitempty"`
		Roles     []string `json:"roles,omitempty"`
		IssuedAt  int64    `json:"iat,omitempty"`
		ExpiresAt int64    `json:"exp,omitempty"`
		NotBefore int64    `json:"nbf,omitempty"`
		Bound     *bound   `json:"cnf,omitempty"`
	}{
		t.Issuer, t.Subject, t.ClientID, t.ID, t.Audience, strings.Join(t.Scopes, " "), t.Roles,
		seconds(t.IssuedAt), seconds(t.ExpiresAt), seconds(t.NotBefore), (*bound)(t.Confirmation),
	}
	document, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("middleware: claims: %w", err)
	}
	if string(document) == "{}" {
		return "", errNoToken
	}
	return string(document), nil
}

// bound is a Confirmation as the claim cnf.
type bound struct {
	KeyThumbprint         string `json:"jkt,omitempty"`
	CertificateThumbprint string `json:"x5t#S256,omitempty"`
}

// seconds returns a NumericDate (RFC 7519, section 2), 0 for the zero time.
func seconds(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.Unix()
}
