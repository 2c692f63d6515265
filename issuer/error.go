package issuer

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// Error is an answer of RFC 6749 §5.2. Its text is public: it never holds the
// cause, which Unwrap gives.
type Error struct {
	Status      int    // HTTP status
	Code        string // the error member: invalid_request, invalid_client, ...
	Description string // the error_description member, the same for the same fault
	RetryAfter  int    // seconds, 0 = no Retry-After header

	cause error
}

// Error is the public text.
func (e *Error) Error() string { return "issuer: " + e.Code + ": " + e.Description }

// Unwrap is the private cause, if there is one. It is not for the client.
func (e *Error) Unwrap() error { return e.cause }

func invalidRequest(description string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "invalid_request", Description: description}
}

// invalidClient is the one answer to every failed authentication.
func invalidClient(cause error) *Error {
	return &Error{Status: http.StatusUnauthorized, Code: "invalid_client", Description: "client authentication failed", cause: cause}
}

func serverError(cause error) *Error {
	return &Error{Status: http.StatusInternalServerError, Code: "server_error", Description: "the token could not be made", cause: cause}
}

// unavailable is for what may work again in a moment: a store or a key that
// cannot be reached. RFC 6749 has the code for another endpoint (§4.1.2.1);
// clients understand it here too.
func unavailable(cause error) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Code: "temporarily_unavailable", Description: "try again in a moment", RetryAfter: 1, cause: cause}
}

// write sends the error. A 401 names the scheme to use to a client that tried
// one in a header (RFC 6749 §5.2). To one that sent its secret in the body it
// does not: clients that see a challenge report that, and leave the error
// unread.
func (e *Error) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	switch e.Status {
	case http.StatusUnauthorized:
		if len(r.Header.Values("Authorization")) > 0 {
			h.Set("WWW-Authenticate", `Basic realm="token", charset="UTF-8"`)
		}
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodPost)
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

// writeJSON sends an answer of the token endpoint. RFC 6749 §5.1 wants both
// cache headers.
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	values := [...]string{"no-store", "no-cache", "application/json", strconv.Itoa(len(body))} // one allocation, not four
	for n, name := range [...]string{"Cache-Control", "Pragma", "Content-Type", "Content-Length"} {
		h[name] = values[n : n+1 : n+1]
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that left is no concern of ours
}
