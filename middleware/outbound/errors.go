package outbound

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrUnavailable is in the error of a call that got no token although nothing is known
// to be wrong with the client: the authorization server does not answer, or the secret
// cannot be read. A later call may succeed.
var ErrUnavailable = errors.New("outbound: no token can be fetched now")

// ErrClosed is the error of a call to a Source that was closed.
var ErrClosed = errors.New("outbound: the source is closed")

var errZero = errors.New("outbound: a zero Source: make it with outbound.New")

// errNoProof is the error of what gives a token to code that makes no proofs.
var errNoProof = errors.New("outbound: the token is bound to the key of Config.DPoP, and each request needs a proof: use Client or Transport")

// Error is a refusal of the authorization server (RFC 6749, section 5.2). With a status
// of 5xx, 408, 425 or 429, and with the codes server_error and temporarily_unavailable, it
// is also an [ErrUnavailable].
type Error struct {
	// Code is the member error, such as "invalid_client". Empty if the answer has none.
	Code string

	// Description is the member error_description, for the client's developer. It is
	// the server's text, cut to 200 bytes.
	Description string

	// Status is the HTTP status of the answer.
	Status int

	retryAfter time.Duration
	about      string // what was asked for, if the code is about that
	cause      error
}

// Error returns the status, the code, the description, and the scopes or resources that were
// refused.
func (e *Error) Error() string {
	if e == nil {
		return "outbound: no error"
	}
	text := fmt.Sprintf("outbound: the authorization server answered %d", e.Status)
	switch {
	case e.Code != "":
		text += " " + e.Code
	case e.cause == nil:
		text += " without an OAuth error: something before it may have answered"
	}
	if e.about != "" {
		text += " for " + e.about
	}
	if e.Description != "" {
		text += ": " + e.Description
	}
	return text
}

// Unwrap returns the cause, [ErrUnavailable] among them. It may be nil.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.cause
}

// unavailable marks an error as temporary. An end of the fetch's own context is told as
// text only, so that it is not taken for the end of the caller's.
func unavailable(cause error) error {
	if errors.Is(cause, context.DeadlineExceeded) || errors.Is(cause, context.Canceled) {
		return fmt.Errorf("%w: %v", ErrUnavailable, cause) //nolint:errorlint // as text only
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, cause)
}

// secretError is an error of the SecretFunc.
type secretError struct{ error }

func (e secretError) Unwrap() error { return e.error }

// unusableError is what is wrong with a token that was granted. Fetching another one at
// once would not help.
type unusableError struct{ text string }

func (e *unusableError) Error() string { return "outbound: the token endpoint's answer: " + e.text }
