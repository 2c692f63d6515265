package event

import "time"

// Event is one thing that happened. Fields that do not apply are zero.
type Event struct {
	// Op is what was done or refused.
	Op Op

	// Reason is why it was refused or failed, from the closed list below. Empty
	// when it succeeded.
	Reason Reason

	// Status is the HTTP status of the answer. 0 when no HTTP answer was made
	// here: the guard let the request in, or no request was involved.
	Status int

	// Code is the error code of the answer, such as "invalid_client" (RFC 6749,
	// section 5.2) or "invalid_token" (RFC 6750, section 3.1).
	Code string

	// ClientID is the client that acted. With Claimed it is only what the caller
	// said, and must not become a metric label.
	ClientID string
	Claimed  bool

	// TokenID is the jti of the token that was granted, revoked, introspected or
	// presented. Only of tokens whose signature was good. RevokeToken of an issuer
	// takes it.
	TokenID string

	// SecretID names the secret that authenticated the client.
	SecretID string

	// Audience and Scopes are those of a grant. In events of OpFetchToken they are what
	// was asked for, also of a refusal, and in those of OpReplay Audience is. Read only.
	Audience []string
	Scopes   []string

	// Target is what an operator's action was about: a client id. "*" is all
	// clients.
	Target string

	// KeyID is the kid of the key that a rotation made the signing key.
	KeyID string

	// URL is what was fetched: of OpFetchToken the token endpoint, or the issuer before
	// that was found. Of OpReplay it is the origin of the API.
	URL string

	// Duration is how long the operation took.
	Duration time.Duration

	// Err is the private cause. It never holds a token or a secret. Nil when the
	// operation succeeded.
	Err error
}

// Op names an operation.
type Op string

// The operations.
const (
	OpToken      Op = "token"      // the token endpoint: a grant, or a refusal
	OpRevoke     Op = "revoke"     // the revocation endpoint, or a revocation by the program
	OpIntrospect Op = "introspect" // the introspection endpoint
	OpRequest    Op = "request"    // a request to a guarded route

	OpRegister     Op = "admin.register"      // a client was added
	OpUpdate       Op = "admin.update"        // a client's record was replaced
	OpDelete       Op = "admin.delete"        // a client was deleted
	OpRead         Op = "admin.read"          // clients were read
	OpRotateSecret Op = "admin.rotate_secret" // a secret was generated
	OpAddSecret    Op = "admin.add_secret"    // a secret was added beside the others
	OpRemoveSecret Op = "admin.remove_secret" // a secret was removed
	OpRevokeClient Op = "admin.revoke"        // a client's tokens were revoked

	OpRotateKey  Op = "key.rotate"   // another key signs now, or the keyring could not change it
	OpKeyStore   Op = "key.store"    // the key store cannot be read or written, or can again
	OpFetch      Op = "key.fetch"    // a key set was fetched, or could not be
	OpFollow     Op = "feed.follow"  // the issuer could not follow its store's changes, or can again; the clock is off; the feed was set back
	OpRecord     Op = "store.record" // the issuer could not record when secrets were used, and from where, or can again
	OpFetchToken Op = "token.fetch"  // this program fetched a token for its own requests, or could not
	OpReplay     Op = "token.replay" // an API refused the token of a request of this program; the request was sent again with another token
	OpConfig     Op = "config"       // the configuration does not fit the requests that arrive; Reason says how
)

// Reason says why something was refused or failed. The list is closed: every
// Reason is one of [Reasons].
type Reason string

// Refusals of a request that presents a token.
const (
	NoToken           Reason = "no_token"           // no token was sent
	MalformedToken    Reason = "malformed_token"    // it is no compact JWS that is accepted here
	WrongTokenType    Reason = "wrong_token_type"   // its typ is not at+jwt
	UnknownKey        Reason = "unknown_key"        // the issuer, or the client of an assertion, has no such key
	BadSignature      Reason = "bad_signature"      // the signature is not the key's
	WrongIssuer       Reason = "wrong_issuer"       // its iss is another issuer's
	WrongAudience     Reason = "wrong_audience"     // its aud lacks this API
	InvalidClaims     Reason = "invalid_claims"     // a claim is missing or of the wrong type
	Expired           Reason = "expired"            // its exp has passed
	NotYetValid       Reason = "not_yet_valid"      // its nbf or iat lies ahead
	SenderConstrained Reason = "sender_constrained" // it is bound to a key, and the request does not prove that key
	Unbound           Reason = "unbound"            // it is bound to no key, and the request or the route asks for one that is
	Revoked           Reason = "revoked"            // it, or its client, was revoked
	InsufficientScope Reason = "insufficient_scope" // it lacks a scope of the route
	Forbidden         Reason = "forbidden"          // the app's own check refused it
)

// Refusals of a DPoP proof (RFC 9449).
const (
	InvalidProof  Reason = "invalid_proof"  // it is missing, malformed, or for another request
	ReplayedProof Reason = "replayed_proof" // it was used before
	NonceNeeded   Reason = "nonce_needed"   // it lacks a current nonce of the server; the client sends another one
)

// Refusals of a client at the issuer's endpoints.
const (
	MalformedRequest     Reason = "malformed_request"      // not one well-formed request
	RequestTooLarge      Reason = "request_too_large"      // its body is over the limit
	NoCredential         Reason = "no_credential"          // no client authentication was sent
	MalformedCredential  Reason = "malformed_credential"   // client id or secret cannot be one
	UnknownClient        Reason = "unknown_client"         // there is no such client
	ClientDisabled       Reason = "client_disabled"        // the client is disabled
	WrongSecret          Reason = "wrong_secret"           // the secret is wrong or has expired
	WrongCertificate     Reason = "wrong_certificate"      // the certificate is missing, not valid, or not the client's
	WrongMethod          Reason = "wrong_method"           // the client may not authenticate this way
	ImportedSecretsOff   Reason = "imported_secrets_off"   // the secret is a chosen one, and those are not accepted
	LockedOut            Reason = "locked_out"             // too many failures of this client or network
	UnsupportedGrantType Reason = "unsupported_grant_type" // not client_credentials
	InvalidScope         Reason = "invalid_scope"          // the client may not have the scope
	InvalidTarget        Reason = "invalid_target"         // the client may not have the audience
	ForeignToken         Reason = "foreign_token"          // the token is another client's
	ClaimsRefused        Reason = "claims_refused"         // the app's Claims func refused or failed
	TooManyGrants        Reason = "too_many_grants"        // the client has got too many tokens in a moment
	BadAssertion         Reason = "bad_assertion"          // the client assertion is not for this issuer, not of this client, or not valid now
	ReplayedAssertion    Reason = "replayed_assertion"     // the client assertion was used before, or the token of a workload too often
)

// Refusals of an operator's action.
const (
	InvalidClient Reason = "invalid_client_metadata" // the record is not valid
	NotFound      Reason = "not_found"               // there is no such client or secret
	Conflict      Reason = "conflict"                // the id is taken, or the record has changed
)

// Failures of this program as a client.
const (
	TokenUnavailable  Reason = "token_unavailable"  // no token could be fetched, and none is held
	CredentialRefused Reason = "credential_refused" // the authorization server refused the client or its secret
	SecretUnreadable  Reason = "secret_unreadable"  // the secret of this client could not be read
	TokenRefused      Reason = "token_refused"      // an API refused a token before its end
)

// Failures on this side.
const (
	Busy                   Reason = "busy"                    // too much of this is under way
	StoreUnavailable       Reason = "store_unavailable"       // the store did not answer, or failed
	KeysUnavailable        Reason = "keys_unavailable"        // no key set, or no key that may sign
	RevocationsUnavailable Reason = "revocations_unavailable" // it is not known whether the token is revoked
	ReplaysUnavailable     Reason = "replays_unavailable"     // it is not known whether the proof was used before
	FetchFailed            Reason = "fetch_failed"            // the issuer did not answer with a usable document
	Misconfigured          Reason = "misconfigured"           // the guard was not set up
	ProxyUnknown           Reason = "proxy_unknown"           // the address of callers is not known, as behind an unknown proxy
	KeySkipped             Reason = "key_skipped"             // an entry of a key set cannot be used; the others are
	KeysNotWritten         Reason = "keys_not_written"        // the stored keys can be read, and a planned change cannot be written
	ClockOff               Reason = "clock_off"               // this machine's clock has jumped, or differs from the store's by more than is allowed
	StateOlder             Reason = "state_older"             // a store holds an older state than this process knows, as after a restored backup
	StateForeign           Reason = "state_foreign"           // a store holds the state of another keyring or issuer
	KeysExposed            Reason = "keys_exposed"            // the key file cannot be trusted: other users may read it, or it is a link
	Internal               Reason = "internal"                // a fault of this program
)

// Reasons returns every Reason, in the order of this page.
func Reasons() []Reason {
	return []Reason{
		NoToken, MalformedToken, WrongTokenType, UnknownKey, BadSignature, WrongIssuer, WrongAudience, InvalidClaims,
		Expired, NotYetValid, SenderConstrained, Unbound, Revoked, InsufficientScope, Forbidden,
		InvalidProof, ReplayedProof, NonceNeeded,
		MalformedRequest, RequestTooLarge, NoCredential, MalformedCredential, UnknownClient, ClientDisabled, WrongSecret, WrongCertificate, WrongMethod,
		ImportedSecretsOff, LockedOut, UnsupportedGrantType, InvalidScope, InvalidTarget, ForeignToken, ClaimsRefused, TooManyGrants, BadAssertion, ReplayedAssertion,
		InvalidClient, NotFound, Conflict,
		TokenUnavailable, CredentialRefused, SecretUnreadable, TokenRefused,
		Busy, StoreUnavailable, KeysUnavailable, RevocationsUnavailable, ReplaysUnavailable, FetchFailed, Misconfigured, ProxyUnknown,
		KeySkipped, KeysNotWritten, ClockOff, StateOlder, StateForeign, KeysExposed, Internal,
	}
}

// Text returns the text of an error, or "" for nil. The JSON of the Status types of this
// module has errors in this form.
func Text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
