package issuer

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Error is an error answer in the form of RFC 6749, section 5.2. Its text is public. It
// never holds the private cause, which Unwrap returns.
//
// Config.Claims may return one to refuse a token with that answer.
type Error struct {
	Status      int    // HTTP status, 400 to 599
	Code        string // the error member: invalid_request, invalid_client, ...
	Description string // the error_description member; it does not vary with the request
	RetryAfter  int    // seconds; 0: no Retry-After header

	reason event.Reason // for Observe
	cause  error        // for Observe
	allow  string       // the Allow header of a 405
	accept string       // the Accept-Encoding header of a 415
}

// Error returns the public text.
func (e *Error) Error() string {
	if e == nil {
		return "issuer: no error"
	}
	return "issuer: " + e.Code + ": " + e.Description
}

// Unwrap returns the private cause, nil if there is none. Do not send it to clients.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.cause
}

func malformed(description string) *Error { return invalidRequest(event.MalformedRequest, description) }

func invalidRequest(reason event.Reason, description string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "invalid_request", Description: description, reason: reason}
}

func methodNotAllowed(allow, description string) *Error {
	e := malformed(description)
	e.Status, e.allow = http.StatusMethodNotAllowed, allow
	return e
}

// invalidClient is the one answer to every failed authentication.
func invalidClient(reason event.Reason, cause error) *Error {
	return &Error{Status: http.StatusUnauthorized, Code: "invalid_client", Description: "client authentication failed", reason: reason, cause: cause}
}

func serverError(reason event.Reason, cause error) *Error {
	return &Error{Status: http.StatusInternalServerError, Code: "server_error", Description: "the token could not be made", reason: reason, cause: cause}
}

// unavailable is the answer when a store or a key cannot be reached and the same request
// may succeed soon. RFC 6749 defines the code for another endpoint (section 4.1.2.1);
// clients understand it here too.
func unavailable(reason event.Reason, cause error) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Code: "temporarily_unavailable", Description: "try again in a moment", RetryAfter: 1, reason: reason, cause: cause}
}

// errNotMade is returned by the methods of an Issuer that New did not make.
var errNotMade = errors.New("issuer: the Issuer was not made by New")

func notMade() *Error {
	e := serverError(event.Misconfigured, errNotMade)
	e.Description = "the issuer is not set up"
	return e
}

// write sends the error. Every 401 has a challenge (RFC 9110, section 15.5.2), even if
// the client sent its secret in the body. The challenge repeats the error, because some
// clients show nothing else of a 401: Java's HttpURLConnection loses the body of a 401
// when it streams the request.
func (e *Error) write(w http.ResponseWriter) {
	h := w.Header()
	if e.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", e.challenge())
	}
	if e.accept != "" {
		h.Set("Accept-Encoding", e.accept)
	}
	if e.allow != "" {
		h.Set("Allow", e.allow)
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	body, err := json.Marshal(struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}{e.Code, e.Description})
	if err != nil {
		body = []byte(`{"error":"server_error"}`)
	}
	writeJSON(w, e.Status, body)
}

// challenge returns the challenge of Basic, the one scheme that the header can use here.
func (e *Error) challenge() string {
	c := `Basic realm="token", charset="UTF-8", error="` + quotable(e.Code) + `"`
	if e.Description != "" {
		c += `, error_description="` + quotable(e.Description) + `"`
	}
	return c
}

// quotable returns the text without characters that a quoted-string of a header, or an
// error_description (RFC 6749, section 5.2), cannot hold unescaped. The text may be from
// Config.Claims.
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r > '~':
			return ' '
		case r == '"' || r == '\\':
			return '\''
		}
		return r
	}, s)
}

// writeJSON sends an answer. RFC 6749, section 5.1 requires both cache headers.
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have left
}
