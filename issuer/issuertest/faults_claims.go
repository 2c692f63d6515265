package issuertest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

var timeFaults = []Fault{
	refused("expired", event.Expired, "exp was an hour ago.", func(d *draft) { d.claims.set("exp", number(d.now.Add(-time.Hour).Unix())) }),
	refused("not yet valid", event.NotYetValid, "nbf is in ten minutes.", func(d *draft) { d.claims.set("nbf", number(d.now.Add(10*time.Minute).Unix())) }),
	refused("issued in the future", event.NotYetValid, "iat is in ten minutes.", func(d *draft) { d.claims.set("iat", number(d.now.Add(10*time.Minute).Unix())) }),
}

var partyFaults = []Fault{
	with("other issuer", "iss", `"https://other-issuer.test"`, event.WrongIssuer, "iss is another issuer's, the key is this one's."),
	refused("issuer with slash", event.WrongIssuer, "iss has a slash too much at the end.", func(d *draft) {
		d.claims.set("iss", strings.TrimSuffix(d.claims.get("iss"), `"`)+`/"`)
	}),
	with("other audience", "aud", `"https://other-api.test"`, event.WrongAudience, "aud is another API's."),
	with("empty audience", "aud", `[]`, event.WrongAudience, "aud is an empty array."),
	refused("audience with slash", event.WrongAudience, "aud has a slash too much at the end.", func(d *draft) {
		var audience []string
		if json.Unmarshal([]byte(d.claims.get("aud")), &audience) != nil {
			audience = []string{strings.Trim(d.claims.get("aud"), `"`)}
		}
		for n := range audience {
			audience[n] += "/"
		}
		d.claim("aud", audience)
	}),
}

var missingFaults = []Fault{
	without("iss", event.InvalidClaims),
	without("aud", event.WrongAudience),
	without("exp", event.InvalidClaims),
	without("iat", event.InvalidClaims),
	without("sub", event.InvalidClaims),
	without("client_id", event.InvalidClaims),
	without("jti", event.InvalidClaims),
}

var mistypedFaults = []Fault{
	mistyped("iss list", "iss", `["https://issuer.test"]`),
	mistyped("aud number", "aud", `1`),
	mistyped("aud nested", "aud", `[["https://api.test"]]`),
	mistyped("aud null", "aud", `null`),
	text("exp"),
	mistyped("exp null", "exp", `null`),
	mistyped("exp bool", "exp", `true`),
	mistyped("exp too large", "exp", `1e30`),
	mistyped("exp negative", "exp", `-1`),
	text("iat"),
	mistyped("nbf text", "nbf", `"0"`),
	mistyped("sub empty", "sub", `""`),
	mistyped("client_id empty", "client_id", `""`),
	mistyped("client_id list", "client_id", `["test-client"]`),
	mistyped("jti empty", "jti", `""`),
	mistyped("jti number", "jti", `1`),
	mistyped("scope list", "scope", `["orders:read"]`),
	mistyped("scope null", "scope", `null`),
}

// text is the fault of a time that is written as a string.
func text(claim string) Fault {
	return refused(claim+" text", event.InvalidClaims, claim+" is a string.", func(d *draft) { d.claims.set(claim, quote(d.claims.get(claim))) })
}

var payloadFaults = []Fault{
	refused("duplicate claim", event.InvalidClaims, "exp is there twice.", func(d *draft) { d.claims.add("exp", "99999999999") }),
	refused("duplicate custom claim", event.InvalidClaims, "A claim that no guard reads is there twice.", func(d *draft) {
		d.claims.add("x", "1")
		d.claims.add("x", "2")
	}),
	payload("claims in a list", "The payload is an array.", func(claims string) string { return "[" + claims + "]" }),
	payload("trailing data", "Something follows the claims.", func(claims string) string { return claims + "{}" }),
	payload("invalid UTF-8", "A claim is not UTF-8.", func(claims string) string { return strings.TrimSuffix(claims, "}") + ",\"x\":\"\xff\"}" }),
	payload("byte order mark", "A byte order mark precedes the claims.", func(claims string) string { return "\ufeff" + claims }),
	payload("no JSON", "The payload is a form.", func(string) string { return "iss=issuer&sub=test-client" }),
	{
		Name: "nested token", About: "The payload is a token.", Status: http.StatusUnauthorized, Reason: event.InvalidClaims,
		apply: func(d *draft, _ *Issuer) (err error) {
			d.payload, err = d.token()
			return err
		},
	},
}

// payload is the fault of a payload that is not one JSON object.
func payload(name, about string, change func(claims string) string) Fault {
	return refused(name, event.InvalidClaims, about, func(d *draft) { d.payload = change(d.claims.String()) })
}

var stateFaults = []Fault{
	with("bound to a key", "cnf", `{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}`, event.SenderConstrained,
		"It is bound to a DPoP key (RFC 9449), and sent as a plain Bearer token."),
	with("bound to a certificate", "cnf", `{"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}`, event.SenderConstrained,
		"It is bound to a client certificate (RFC 8705), and sent as a plain Bearer token."),
	{
		Name: "revoked", About: "It is good, and the issuer has revoked it.", Status: http.StatusUnauthorized, Reason: event.Revoked,
		apply: func(d *draft, i *Issuer) error { return i.revoke(context.Background(), d.claims.String()) },
	},
}

// revoke revokes the token with these claims.
func (i *Issuer) revoke(ctx context.Context, payload string) error {
	var claims struct {
		ID      string `json:"jti"`
		Expires int64  `json:"exp"`
	}
	if err := json.Unmarshal([]byte(payload), &claims); err != nil {
		return fmt.Errorf("the token to revoke: %w", err)
	}
	g, release := i.use()
	defer release()
	if g == nil {
		return errEnded
	}
	return g.issuer.RevokeToken(ctx, claims.ID, time.Unix(claims.Expires, 0))
}
