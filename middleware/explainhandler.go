package middleware

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"
)

const maxExplained = 64 << 10 // bytes of a form

// ExplainHandler answers POST requests that have a token in the field "token" of a form
// (application/x-www-form-urlencoded) with its [Explanation]: as JSON, or as text if the
// request has Accept: text/plain. It is guarded by this Bearer and the scope. There is no
// unguarded one: with the scope "" it lets no request in.
//
//	mux.Handle("POST /explain", auth.ExplainHandler("tokens:explain"))
//
// Of several issuers each can grant any scope. Put a guard of your own issuer's Bearer
// around it: ours.Handler(auth.ExplainHandler("tokens:explain")).
func (b *Bearer) ExplainHandler(scope string) http.Handler {
	return b.Handler(http.HandlerFunc(b.explain), scope)
}

func (b *Bearer) explain(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodPost {
		h.Set("Allow", http.MethodPost)
		http.Error(w, "send the token in the body of a POST", http.StatusMethodNotAllowed)
		return
	}
	token, err := tokenOf(w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	x := b.Explain(r.Context(), token)
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Accept")); err == nil && kind == "text/plain" {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(x.String())) // the client may have left
		return
	}
	h.Set("Content-Type", "application/json")
	document, err := json.MarshalIndent(x, "", "  ")
	if err != nil {
		answer(w, misconfigured(err))
		return
	}
	_, _ = w.Write(append(document, '\n')) // the client may have left
}

var errNoField = errors.New(`send a form with one field "token"`)

// tokenOf returns the token in a form. The error quotes nothing of it.
func tokenOf(w http.ResponseWriter, r *http.Request) (string, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return "", errNoField
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxExplained)
	if err := r.ParseForm(); err != nil {
		return "", errNoField
	}
	list := r.PostForm["token"]
	if len(list) != 1 || strings.TrimSpace(list[0]) == "" {
		return "", errNoField
	}
	return strings.TrimSpace(list[0]), nil
}
