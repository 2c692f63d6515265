package issuertest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
)

var partyFaults = []Fault{
	with("other issuer", "iss", `"https://other-issuer.test"`, event.WrongIssuer, "iss is another issuer's, the key is this one's."),
	refused("issuer with slash", event.WrongIssuer, "iss has a slash too much at the end.", func(d *draft) {
		d.claims.set("iss", strings.TrimSuffix(d.claims.get("iss"), `"`)+`/"`)
	}),
	refused("issuer with more", event.WrongIssuer, "iss begins with the issuer, and is a host of an attacker.", func(d *draft) {
		d.claims.set("iss", strings.TrimSuffix(d.claims.get("iss"), `"`)+`.attacker.test"`)
	}),
	with("other audience", "aud", `"https://other-api.test"`, event.WrongAudience, "aud is another API's."),
	with("other audiences", "aud", `["https://other-api.test","https://third-api.test"]`, event.WrongAudience, "aud is an array of other APIs."),
	with("empty audience", "aud", `[]`, event.WrongAudience, "aud is an empty array."),
	audience("audience with slash", "aud has a slash too much at the end.", "/"),
	audience("audience with more", "aud begins with the API, and is a host of an attacker.", ".attacker.test"),
	audience("audiences in a text", "aud is a text of two audiences with a space between them.", " https://other-api.test"),
}

// audience is the fault of a token whose audiences have a text too much at the end.
func audience(name, about, more string) Fault {
	return refused(name, event.WrongAudience, about, func(d *draft) {
		var audience []string
		if json.Unmarshal([]byte(d.claims.get("aud")), &audience) != nil {
			audience = []string{strings.Trim(d.claims.get("aud"), `"`)}
		}
		for n := range audience {
			audience[n] += more
		}
		d.claim("aud", audience)
	})
}

var missingFaults = []Fault{
	without("iss", event.InvalidClaims),
	without("aud", event.WrongAudience),
	without("exp", event.InvalidClaims),
	without("iat", event.InvalidClaims),
	without("sub", event.InvalidClaims),
	without("client_id", event.InvalidClaims),
	without("jti", event.InvalidClaims),
	refused("exp in capitals", event.InvalidClaims, "It has EXP instead of exp.", func(d *draft) {
		exp := d.claims.get("exp")
		d.claims.remove("exp")
		d.claims.set("EXP", exp)
	}),
}

var mistypedFaults = slices.Concat(mistypedTimes(), []Fault{
	with("exp zero", "exp", "0", event.Expired, "exp is 0.").in(func(d *draft) { d.claims.set("iat", "0") }),
	mistyped("iss list", "iss", `["https://issuer.test"]`),
	mistyped("aud number", "aud", `1`),
	mistyped("aud nested", "aud", `[["https://api.test"]]`),
	mistyped("aud null", "aud", `null`),
	mistyped("aud object", "aud", `{"0":"https://api.test"}`),
	mistyped("sub empty", "sub", `""`),
	mistyped("client_id empty", "client_id", `""`),
	mistyped("client_id list", "client_id", `["test-client"]`),
	mistyped("jti empty", "jti", `""`),
	mistyped("jti number", "jti", `1`),
	mistyped("scope list", "scope", `["orders:read"]`),
	mistyped("scope null", "scope", `null`),
})

var payloadFaults = []Fault{
	refused("duplicate claim", event.InvalidClaims, "exp is there twice.", func(d *draft) { d.claims.add("exp", "99999999999") }),
	payload("duplicate claim, escaped", "exp is there twice, once with an escape in its name.", func(claims string) string {
		return strings.TrimSuffix(claims, "}") + `,"\u0065xp":99999999999}`
	}),
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
