package profile

import (
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// Want is what the program that reads a token expects of it.
type Want struct {
	// Issuer is the iss that the token must have, exactly. "": Profile.Issuer says it.
	Issuer string

	// Audiences are the names of this API or authorization server. The token's aud must
	// have one of them, exactly. Required, unless the profile does without aud.
	Audiences []string

	// Subject is the sub that the token must have, exactly: "*" is no wildcard. "": any.
	Subject string

	// Now is the time of the check. Zero: time.Now().
	Now time.Time

	// Leeway is how far the clocks of issuer and reader may differ. 0: not at all.
	Leeway time.Duration

	// CallerChecksTime leaves exp, nbf and iat to the caller, who calls
	// [Identity.Current] at each use. It is for those who keep the Identity.
	CallerChecksTime bool

	// CallerChecksProof accepts a token with cnf (RFC 7800). The caller must then check
	// the proof that cnf asks for, at each use.
	CallerChecksProof bool
}

// Identity is what a verified token says. The zero Identity has expired.
type Identity struct {
	Issuer    string    // iss
	Subject   string    // sub
	ClientID  string    // the claim Profile.Client
	TokenID   string    // the claim Profile.TokenID; "" if the token has none
	Audience  []string  // aud; empty if the profile does without
	Scopes    []string  // of Profile.Scope or Profile.ScopeList; empty if nothing was granted
	Roles     []string  // of all Profile.Roles
	IssuedAt  time.Time // iat; zero if the token has none
	NotBefore time.Time // nbf; zero if the token has none, or 0
	Expires   time.Time // exp, or iat + Profile.MaxAge if that is earlier; without leeway

	// Claims are all claims of the token. The signature covers them. Nothing else has
	// been checked about those that no other field is about.
	Claims jose.Object
}

// Current returns nil as long as the identity is valid: from its nbf and iat until it
// expires, the leeway added at both ends. The Reason of its [Error] is event.Expired or
// event.NotYetValid.
func (id *Identity) Current(now time.Time, leeway time.Duration) error {
	switch {
	case id == nil:
		return &Error{event.Expired, "none", fmt.Errorf("no identity")}
	case now.Unix() >= id.Expires.Unix() && now.Add(-leeway).Unix() >= id.Expires.Unix():
		return &Error{event.Expired, "time", fmt.Errorf("expired at %v", id.Expires.UTC())}
	case ahead(id.NotBefore, now, leeway):
		return &Error{event.NotYetValid, "time", fmt.Errorf("nbf: not valid before %v", id.NotBefore.UTC())}
	case ahead(id.IssuedAt, now, leeway):
		return &Error{event.NotYetValid, "time", fmt.Errorf("iat: issued in the future, at %v", id.IssuedAt.UTC())}
	}
	return nil
}

// ahead reports whether a second lies in the future, leeway included.
func ahead(at, now time.Time, leeway time.Duration) bool {
	return !at.IsZero() && now.Unix() < at.Unix() && now.Add(leeway).Unix() < at.Unix()
}
