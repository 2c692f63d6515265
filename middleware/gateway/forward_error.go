package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// forwardError is why a request cannot go upstream. All but the cause is public.
type forwardError struct {
	status     int
	code       string
	text       string
	retryAfter int // in seconds; 0 sends none
	cause      error
}

func misconfigured() *forwardError {
	return &forwardError{
		status: http.StatusInternalServerError, code: "server_error", text: "access to this route is not configured",
		cause: errors.New("gateway: the Forwarder has not been made, or has no proxy behind it: check the error of NewForwarder"),
	}
}

func unsayable(cause error) *forwardError {
	return &forwardError{status: http.StatusForbidden, code: "insufficient_scope", text: "the access token does not permit this request", cause: cause}
}

// signRetry, in seconds, spreads callers out without making a short outage long.
const signRetry = 5

func unsigned(cause error) *forwardError {
	return &forwardError{
		status: http.StatusServiceUnavailable, code: "temporarily_unavailable", text: "the request cannot be forwarded right now, try again",
		retryAfter: signRetry, cause: cause,
	}
}

// answer writes the error as the guard writes its refusals.
func (e *forwardError) answer(w http.ResponseWriter) {
	body, err := json.Marshal(map[string]string{"error": e.code, "error_description": e.text})
	if err != nil {
		body = []byte(`{"error":"server_error"}`)
	}
	h := w.Header()
	if e.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(e.retryAfter))
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.status)
	_, _ = w.Write(body) // the client may have left
}
