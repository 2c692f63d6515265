package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
)

var inactive = []byte(`{"active":false}`)

// introspectRequested is the introspection endpoint (RFC 7662 §2). Of a token
// that the client may not see, that is not valid, or that is revoked, it says
// the same: inactive.
func (i *Issuer) introspectRequested(ctx context.Context, r request) ([]byte, *Error) {
	claims, err := i.inspect(ctx, r.token, 0)
	switch {
	case errors.Is(err, jwks.ErrUnavailable) || ctx.Err() != nil:
		return nil, unavailable(err)
	case err != nil:
		return inactive, nil
	}
	audience, _, err1 := claims.Strings("aud")
	jti, _, err2 := claims.String("jti")
	clientID, _, err3 := claims.String("client_id")
	issuedAt, _, err4 := claims.Time("iat")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, serverError(err) // we signed it
	}
	if !mayIntrospect(r.client, audience) {
		return inactive, nil
	}
	revoked, err := i.Revoked(ctx, jti, clientID, issuedAt)
	switch {
	case err != nil:
		return nil, unavailable(err)
	case revoked:
		return inactive, nil
	}
	var members map[string]json.RawMessage
	if err := claims.Unmarshal(&members); err != nil {
		return nil, serverError(err)
	}
	members["active"], members["token_type"] = json.RawMessage("true"), json.RawMessage(`"Bearer"`)
	body, err := json.Marshal(members)
	if err != nil {
		return nil, serverError(err)
	}
	return body, nil
}

// mayIntrospect reports whether a token for the audience is the client's to see:
// it is for the client itself, or for an API that the client speaks for.
func mayIntrospect(c *registry.Client, audience []string) bool {
	if slices.Contains(c.Introspects, "*") {
		return true
	}
	return slices.ContainsFunc(audience, func(a string) bool {
		return a == c.ID || slices.Contains(c.Introspects, a)
	})
}
