package issuer

import (
	"context"
	"errors"
)

// Event is one answer of the token endpoint, or a refusal of another one, for logs, metrics and traces. It
// holds no secret and no token.
type Event struct {
	// ClientID is the client's, or, when Err is not nil, only what the caller
	// claimed to be. Empty when it was not even well formed.
	ClientID string

	TokenID  string   // jti of the granted token
	Audience []string // aud of the granted token; read only
	Scope    string   // scope of the granted token

	// Err is nil when a token was granted, else an [*Error]; its Unwrap is the
	// cause that the client was not told.
	Err error
}

func (i *Issuer) refused(ctx context.Context, clientID string, err *Error) {
	if i.observe != nil {
		i.observe(ctx, Event{ClientID: clientID, Err: err})
	}
}

// Causes of a failed authentication. The client sees none of them.
var (
	errUnknownClient = errors.New("issuer: no such client")
	errDisabled      = errors.New("issuer: the client is disabled")
	errWrongMethod   = errors.New("issuer: the client may not authenticate this way")
	errWrongSecret   = errors.New("issuer: wrong or expired secret")
	errNotImported   = errors.New("issuer: not a generated secret, and Config.ImportedSecrets is false")
	errLockedOut     = errors.New("issuer: too many failed attempts of this client or network")
	errMalformed     = errors.New("issuer: malformed client id or secret")
)
