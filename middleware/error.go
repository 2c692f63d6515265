package middleware

import (
	"cmp"
	"fmt"
	"net/http"
)

// Error is a refusal, shaped like RFC 6750 §3. Everything in it is public; the
// cause, which is not, is what Unwrap gives, and nothing prints it.
//
// A check of [Bearer.RequireFunc] may return one of its own.
type Error struct {
	// Status is the HTTP status: 400, 401, 403, 500 or 503.
	Status int

	// Code is the error code of RFC 6750 §3.1: invalid_request, invalid_token or
	// insufficient_scope; temporarily_unavailable with 503 and server_error with
	// 500, as in RFC 6749; empty when no token was sent.
	Code string

	// Description is one sentence for the caller's developer.
	Description string

	// Scope is what the route needs, separated by spaces. Only with 403; empty
	// there when no scope would do.
	Scope string

	cause error
}

// Error is the public text.
func (e *Error) Error() string {
	return "middleware: " + cmp.Or(e.Code, "no token") + ": " + e.Description
}

// Unwrap gives the private cause, such as jwks.ErrUnavailable. It may be nil.
// Keep it from callers.
func (e *Error) Unwrap() error { return e.cause }

func noCredential() *Error {
	return &Error{Status: http.StatusUnauthorized, Description: "an access token is required"}
}

func invalidRequest(format string, args ...any) *Error {
	return &Error{
		Status:      http.StatusBadRequest,
		Code:        "invalid_request",
		Description: "send exactly one access token, in one Authorization header",
		cause:       fmt.Errorf("middleware: "+format, args...),
	}
}

const (
	codeInvalidToken = "invalid_token"
	notValid         = "the access token is not valid"
)

// invalidToken has one description for every cause: which check failed would tell
// a forger how far he got.
func invalidToken(cause error) *Error {
	return &Error{
		Status:      http.StatusUnauthorized,
		Code:        codeInvalidToken,
		Description: notValid,
		cause:       cause,
	}
}

func insufficientScope(scope string, cause error) *Error {
	return &Error{
		Status:      http.StatusForbidden,
		Code:        "insufficient_scope",
		Description: "the access token does not permit this request",
		Scope:       scope,
		cause:       cause,
	}
}

func unavailable(cause error) *Error {
	return &Error{
		Status:      http.StatusServiceUnavailable,
		Code:        "temporarily_unavailable",
		Description: "access tokens cannot be checked right now, try again",
		cause:       cause,
	}
}

func misconfigured(cause error) *Error {
	return &Error{
		Status:      http.StatusInternalServerError,
		Code:        "server_error",
		Description: "access to this route is not configured",
		cause:       cause,
	}
}
