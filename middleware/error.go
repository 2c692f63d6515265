package middleware

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Error is a refusal, shaped like RFC 6750, section 3. Everything in it is public.
// Unwrap returns the private cause, which is not printed.
//
// A check of [Bearer.HandlerFunc] or [Bearer.RequireFunc] may return one of its own.
type Error struct {
	// Status is the HTTP status: 400, 401, 403, 500 or 503.
	Status int

	// Code is the error code of RFC 6750, section 3.1: invalid_request,
	// invalid_token or insufficient_scope; invalid_dpop_proof or use_dpop_nonce of
	// RFC 9449, section 7.1; temporarily_unavailable with 503 and server_error with 500,
	// as in RFC 6749; empty when no token was sent.
	Code string

	// Description is one sentence for the caller's developer.
	Description string

	// Scope is what the route needs, separated by spaces. Only with 403; empty
	// there when no scope would do.
	Scope string

	// RetryAfter is the Retry-After header, in seconds. 0 sends none.
	RetryAfter int

	reason event.Reason
	cause  error
	at     string // the check of an Explanation that failed, if the reason does not tell
}

// Error returns the public text.
func (e *Error) Error() string {
	if e == nil {
		return "middleware: no error"
	}
	return "middleware: " + cmp.Or(e.Code, "no token") + ": " + e.Description
}

// Unwrap returns the private cause, such as jwks.ErrUnavailable. It may be nil.
// Keep it from callers.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.cause
}

// Reason returns why the request was refused, as [Config.Observe] hears it: it is for
// operators, and tells a forger which check has failed. Of an Error that the app made it is
// event.InsufficientScope with that Code and a Scope, event.Busy with status 429, and else
// event.Forbidden.
func (e *Error) Reason() event.Reason {
	switch {
	case e == nil:
		return ""
	case e.reason != "":
		return e.reason
	case e.Code == codeInsufficientScope && e.Scope != "":
		return event.InsufficientScope
	case e.Status == http.StatusTooManyRequests:
		return event.Busy
	}
	return event.Forbidden
}

func noCredential() *Error {
	return &Error{Status: http.StatusUnauthorized, Description: "an access token is required", reason: event.NoToken}
}

func invalidRequest(format string, args ...any) *Error {
	return &Error{
		Status:      http.StatusBadRequest,
		Code:        "invalid_request",
		Description: "send exactly one access token, in one Authorization header",
		reason:      event.MalformedRequest,
		cause:       fmt.Errorf("middleware: "+format, args...),
	}
}

const (
	codeInvalidToken = "invalid_token"
	notValid         = "the access token is not valid"

	codeInsufficientScope = "insufficient_scope"
)

// invalidToken has the same description for every cause, so a forger does not learn which
// check failed.
func invalidToken(reason event.Reason, cause error) *Error {
	return &Error{
		Status:      http.StatusUnauthorized,
		Code:        codeInvalidToken,
		Description: notValid,
		reason:      reason,
		cause:       cause,
	}
}

func insufficientScope(reason event.Reason, scope string, cause error) *Error {
	return &Error{
		Status:      http.StatusForbidden,
		Code:        codeInsufficientScope,
		Description: "the access token does not permit this request",
		Scope:       scope,
		reason:      reason,
		cause:       cause,
	}
}

// retryAfter, in seconds, spreads callers out without making a short outage long.
const retryAfter = 5

func unavailable(reason event.Reason, cause error) *Error {
	return &Error{
		Status:      http.StatusServiceUnavailable,
		Code:        "temporarily_unavailable",
		Description: "access tokens cannot be checked right now, try again",
		RetryAfter:  retryAfter,
		reason:      reason,
		cause:       cause,
	}
}

func misconfigured(cause error) *Error {
	return &Error{
		Status:      http.StatusInternalServerError,
		Code:        "server_error",
		Description: "access to this route is not configured",
		reason:      event.Misconfigured,
		cause:       cause,
	}
}

// refusal is the answer to what an app's own check returned. An error that is no
// *Error, or one that cannot be an answer, is a 403 whose cause stays private.
func refusal(err error) *Error {
	e, ok := err.(*Error) //nolint:errorlint // a wrapped one was not meant as the answer
	if isNilPointer(err) {
		err = fmt.Errorf("middleware: the check returned a nil %T as its error", err)
	}
	if !ok || e == nil || e.Status < 400 || e.Status > 599 {
		return insufficientScope(event.Forbidden, "", err)
	}
	return e
}
