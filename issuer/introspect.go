package issuer

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
)

// errNotIntrospected is the private cause of an "inactive" for a client that may not see
// the token. The API that asked cannot tell it from a revoked token.
var errNotIntrospected = errors.New("issuer: the client may not introspect tokens for this audience: add the audience to its Introspects")

var inactive = []byte(`{"active":false}`)

// introspectRequested answers the introspection endpoint (RFC 7662, section 2). A token
// that the client may not see, that is not valid, or that is revoked gets the same
// answer: inactive.
func (i *Issuer) introspectRequested(q request) (answer, *Error) {
	ctx := q.context()
	if off := i.feed.clock.check(); off != nil {
		return answer{}, unavailable(event.ClockOff, off) // it is not known which tokens have expired
	}
	claims, err := i.inspect(ctx, q.form.token, 0)
	switch {
	case errors.Is(err, jwks.ErrUnavailable) || ctx.Err() != nil:
		return answer{}, unavailable(event.KeysUnavailable, err)
	case err != nil:
		return answer{body: inactive}, nil
	}
	audience, _, err1 := claims.Strings("aud")
	jti, _, err2 := claims.String("jti")
	clientID, _, err3 := claims.String("client_id")
	issuedAt, _, err4 := claims.Time("iat")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return answer{}, serverError(event.Internal, err) // this issuer signed it
	}
	a := answer{body: inactive, tokenID: jti}
	if !mayIntrospect(q.caller.client, audience) {
		a.reason, a.cause = event.WrongAudience, errNotIntrospected
		return a, nil
	}
	revoked, err := i.Revoked(ctx, jti, clientID, issuedAt)
	switch {
	case err != nil:
		return a, unavailable(event.RevocationsUnavailable, err)
	case revoked:
		return a, nil
	}
	var members map[string]json.RawMessage
	if err := claims.Unmarshal(&members); err != nil {
		return a, serverError(event.Internal, err)
	}
	members["active"], members["token_type"] = json.RawMessage("true"), json.RawMessage(`"`+typeOf(members["cnf"])+`"`)
	if a.body, err = json.Marshal(members); err != nil {
		return a, serverError(event.Internal, err)
	}
	return a, nil
}

// mayIntrospect reports whether the client may see a token for the audience: the token
// is for the client itself, or for an audience in its Introspects.
func mayIntrospect(c *registry.Client, audience []string) bool {
	if slices.Contains(c.Introspects, "*") {
		return true
	}
	return slices.ContainsFunc(audience, func(a string) bool {
		return a == c.ID || slices.Contains(c.Introspects, a)
	})
}
