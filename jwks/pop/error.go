package pop

import "errors"

// ErrUnavailable is wrapped by an error of [Verifier.Verify] when nobody can tell
// whether a proof is a replay: the replay store has failed, or it is full. Answer 503.
var ErrUnavailable = errors.New("pop: replays cannot be checked")

// The codes of an Error (RFC 9449, section 12.2; RFC 6750, section 3.1).
const (
	invalidProof = "invalid_dpop_proof"
	useNonce     = "use_dpop_nonce"
	invalidToken = "invalid_token"
)

// Error is a refused proof. Errors of [Verifier.Verify] are an *Error or wrap
// [ErrUnavailable].
type Error struct {
	// Code is the error code of the answer: "invalid_dpop_proof"; "use_dpop_nonce" if
	// the client shall try again with Nonce; or "invalid_token" if the proof is of
	// another key than the access token is bound to (RFC 9449, section 7.1).
	Code string
	// Description says what is wrong, for error_description. It quotes nothing of the
	// request.
	Description string
	// Nonce goes into the DPoP-Nonce header of the answer, unless it is "".
	Nonce string
	// Replayed is true if nothing but an earlier use of the proof is wrong. Someone may have
	// copied it, or the client sends a request twice with one proof.
	Replayed bool

	cause error
}

// Error returns a text for logs. It holds no token.
func (e *Error) Error() string {
	text := "pop: " + e.Code + ": " + e.Description
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap returns the private cause, nil if Description says all.
func (e *Error) Unwrap() error { return e.cause }

func refuse(description string, cause error) *Error {
	return &Error{Code: invalidProof, Description: description, cause: cause}
}
