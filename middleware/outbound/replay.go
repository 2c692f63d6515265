package outbound

import (
	"io"
	"net/http"
)

// replayable reports whether a request can be sent again.
func replayable(r *http.Request) bool {
	return r.Body == nil || r.Body == http.NoBody || r.GetBody != nil
}

// bodyAgain returns the body of a request that is sent again. It cannot be if its context
// has ended.
func bodyAgain(r *http.Request) (body io.ReadCloser, ok bool) {
	if r.Context().Err() != nil {
		return nil, false
	}
	if r.Body == nil || r.Body == http.NoBody || r.GetBody == nil {
		return r.Body, replayable(r)
	}
	body, err := r.GetBody()
	return body, err == nil && body != nil
}

// another returns another token than the one that an API refused, and the body to send
// with it. It returns no token if there is none, or if the request cannot be sent again:
// then the refusal is the answer.
func (t *transport) another(r *http.Request, refused *held) (io.ReadCloser, *held) {
	next := t.source.cell.Load().replace(r.Context(), refused, replayable(r))
	if next == nil {
		return nil, nil
	}
	body, ok := bodyAgain(r)
	if !ok {
		return nil, nil
	}
	return body, next
}

// again notes that a request is sent again after a refusal.
func (t *transport) again(r *http.Request, refusal *http.Response) {
	closeUnread(refusal)
	t.source.cell.Load().replayed(r.Context(), r.URL)
}

// closeUnread closes the body of a refusal. Its bytes may be slow to arrive, or never end.
// The request is sent again at once, so this connection could not be used for it.
func closeUnread(refusal *http.Response) {
	if refusal.Body != nil { // a RoundTripper of the app may leave it out
		_ = refusal.Body.Close()
	}
}
