package profile

import "time"

// Profile says how the tokens of one kind of issuer are read: what is read instead of
// what RFC 9068 has, and what is not checked. It is a table of plain fields. Take a ready
// one, such as [Keycloak], and change it, or write one by hand for an issuer that has
// none here. [Profile.Validate] names a field that is wrong.
//
// A field that names a claim holds the name of a member at the top of the payload, such
// as "scope" or "https://api.example.com/roles". One that begins with a slash is a JSON
// Pointer (RFC 6901) into nested objects, such as "/realm_access/roles".
//
// Whatever a Profile says, a token needs iss, sub and exp, its nbf is checked, and a
// token with cnf is refused unless [Want.CallerChecksProof] is set. The zero Profile
// accepts no token. A Profile is safe for concurrent use as long as nothing changes it.
type Profile struct {
	// Name is for errors, such as "keycloak". "": "own".
	Name string

	// Issuer is the only iss that the profile reads, compared exactly. "": Want.Issuer
	// alone says it. A token must have both if both are set.
	Issuer string

	// Public says that everybody can get a token of this issuer, as at GitHub. Then a
	// token is accepted only if Want.Subject or Require says whose it must be.
	Public bool

	// Types are the accepted values of the header's typ. They compare as media types do:
	// without case, and "application/" may be left out (RFC 7515, section 4.1.9). The
	// element "" accepts a token that has no typ. Required.
	//
	// A token without the typ "at+jwt" is refused if it looks like an ID token or a
	// logout token: with at_hash, c_hash, s_hash, nonce or events, with token_use "id",
	// or with a claim typ as Keycloak gives to tokens that are no access tokens.
	Types []string

	// Algorithms are the accepted values of alg. nil: all that package jose verifies.
	// The key decides as well, so this can only narrow the choice.
	Algorithms []string

	// Require has claims, each with the strings of which it must be one, such as
	// "token_use" with "access".
	Require map[string][]string

	// Refuse has claims that no token may have, even with the value null.
	Refuse []string

	// Client is the claim with the client's id, a string: "client_id", "azp", "appid",
	// "cid". A token of a workload, which has no client id, has "sub" here. Required.
	Client string

	// ClientIsSubject refuses a token whose Client claim and sub differ, such as one that
	// a user gave to a client.
	ClientIsSubject bool

	// SubjectPrefix is what each sub begins with, and something follows. "": any sub.
	SubjectPrefix string

	// SharedSubject is what a sub ends with that many programs have in common, such as
	// ":default" of Kubernetes. A token with such a sub is refused. "": none is.
	SharedSubject string

	// InsecureSharedSubjects accepts the tokens that SharedSubject is about.
	InsecureSharedSubjects bool

	// Scope is the claim with the granted scopes in one string, divided by spaces. "":
	// the issuer has no such claim.
	Scope string

	// ScopeList is the claim with the granted scopes in an array of strings. A token that
	// has Scope too is read for Scope only. "": the issuer has no such claim.
	ScopeList string

	// Roles are claims with roles or groups: each an array of strings, or one string.
	// They are all read into Identity.Roles and never become scopes.
	Roles []string

	// TokenID is the claim with the token's id, mostly "jti". "": the issuer has none,
	// so that one token cannot be told from another.
	TokenID string

	// OptionalTokenID accepts a token without the TokenID claim.
	OptionalTokenID bool

	// OptionalIssuedAt accepts a token without iat.
	OptionalIssuedAt bool

	// MaxAudiences is how many elements aud may have. Each of them can use the token at
	// all the others. 0: any number.
	MaxAudiences int

	// ScopePrefix stands in for aud at an issuer that writes none: a token without aud is
	// accepted if one of its scopes is this and a name. It ends with a slash, colon or
	// dot, such as "orders/", and the name has no such character again. "": a token must
	// have aud. A token that has aud is read for aud.
	ScopePrefix string

	// InsecureNoAudience accepts a token without aud: what the issuer granted for any
	// other API is then accepted here.
	InsecureNoAudience bool

	// MaxLifetime is the most that exp may lie after iat. Of a token without iat, it is
	// the most that exp may lie ahead. 0: no limit.
	MaxLifetime time.Duration

	// MaxAge is how long after iat a token is accepted at most, even if its exp is later.
	// 0: until exp.
	MaxAge time.Duration

	fault error // why no profile could be made; Validate returns it
}
