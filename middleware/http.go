package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// TokenFromContext returns the valid token of the request with this context, or nil
// when no [Bearer.Handler] has let it in. Each call makes one. It does not find a
// plain bearer token that Echo's [Bearer.Require] verified, because a context costs more
// than the check of a cached token. [TokenFrom] finds both. A test may give the token itself: [WithToken].
func TokenFromContext(ctx context.Context) *Token {
	switch a := ctx.Value(admittedKey{}).(type) {
	case *admitted:
		return a.token.token()
	case *given:
		return a.token.clone()
	}
	return nil
}

// admitted is the context of a request that a Handler let in.
type admitted struct {
	context.Context
	admission
}

// admittedKey finds the *admitted or *given in a context. Its type is not exported, so
// no other package can put one there.
type admittedKey struct{}

func (a *admitted) Value(key any) any {
	if key == (admittedKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// admissionOf returns the admission by the innermost Handler; zero if there was none.
func admissionOf(ctx context.Context) admission {
	if a, ok := ctx.Value(admittedKey{}).(*admitted); ok {
		return a.admission
	}
	return admission{}
}

// Handler calls next for requests with a valid token that was granted all the
// scopes; with none named, any valid token. It answers all other requests itself,
// with a JSON body as in RFC 6749, section 5.2. With a scope that cannot exist (RFC 6749,
// section 3.3: the empty one, or one with a space) it lets no request in.
//
// A Handler within another of the same Bearer verifies nothing again.
func (b *Bearer) Handler(next http.Handler, scopes ...string) http.Handler {
	rule := newScopeRule(scopes, false)
	return b.handler(next, httpGuard{mustBind: b.requiresBound()}, func(_ *http.Request, v *verified) *Error { return rule.check(v.scope) })
}

// HandlerBound is [Bearer.Handler] for tokens that are bound to a key of the client. A
// plain bearer token is refused with 401. It needs [Config.DPoP] or
// [Config.ClientCertificates]; with neither it lets no request in.
func (b *Bearer) HandlerBound(next http.Handler, scopes ...string) http.Handler {
	rule := newScopeRule(scopes, false)
	return b.handler(next, httpGuard{mustBind: true}, func(_ *http.Request, v *verified) *Error { return rule.check(v.scope) })
}

// HandlerAny calls next for requests with a valid token that was granted at least
// one of the scopes. With none named it lets no request in.
func (b *Bearer) HandlerAny(next http.Handler, scopes ...string) http.Handler {
	rule := newScopeRule(scopes, true)
	return b.handler(next, httpGuard{mustBind: b.requiresBound()}, func(_ *http.Request, v *verified) *Error { return rule.check(v.scope) })
}

// HandlerFunc calls next for requests with a valid token for which check returns
// nil. check runs after all validation. An *[Error] that it returns is answered
// with its challenge, and any other error is a 403 whose cause stays private.
func (b *Bearer) HandlerFunc(next http.Handler, check func(r *http.Request, t *Token) error) http.Handler {
	if check == nil {
		return b.handler(next, httpGuard{mustBind: b.requiresBound()}, func(*http.Request, *verified) *Error { return misconfigured(errNoCheck) })
	}
	return b.handler(next, httpGuard{mustBind: b.requiresBound()}, func(r *http.Request, v *verified) *Error {
		if err := check(r, v.token()); err != nil {
			return refusal(err)
		}
		return nil
	})
}

var (
	errUnusable = errors.New("middleware: the guard has no Bearer, or nothing to guard: check the error of New")
	errNoCheck  = errors.New("middleware: the guard was given a nil func as its check")
)

// httpGuard is what a Handler demands besides its check.
type httpGuard struct {
	mustBind bool
	optional bool // a request without a credential is let in
}

func (b *Bearer) handler(next http.Handler, g httpGuard, check func(r *http.Request, v *verified) *Error) http.Handler {
	cause := b.fault(g.mustBind)
	if next == nil {
		cause = errUnusable
	}
	if cause != nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, misconfigured(cause)) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.optional && isAnonymous(r) {
			in, done := b.anonymous(r)
			defer done()
			next.ServeHTTP(w, in)
			returnForm(r, in)
			return
		}
		prior := b.own(admissionOf(r.Context()))
		by, a, e := b.admit(w, r, prior, nil, g.mustBind)
		in := r
		if e == nil && a != prior {
			in = r.WithContext(&admitted{r.Context(), a})
		}
		if e == nil {
			began := by.clock()
			if e = check(in, a.token); e != nil {
				by.reportRefusal(in.Context(), a, began, eventOf(e))
			}
		}
		if e != nil {
			tellRefused(r, e)
			by.announce(w.Header(), r, e, g.mustBind)
			answer(w, e)
			return
		}
		if a.watch != prior.watch {
			defer by.reportAdmission(in.Context(), a)
		}
		next.ServeHTTP(w, in)
		returnForm(r, in)
	})
}

// returnForm gives a multipart form that was parsed behind the guard to the
// request in front of it: the server deletes the files of the form it knows.
func returnForm(r, in *http.Request) {
	if in.MultipartForm != nil {
		r.MultipartForm = in.MultipartForm
	}
}

// answer writes a refusal, its challenge aside.
func answer(w http.ResponseWriter, e *Error) {
	body, err := json.Marshal(struct {
		Code        string `json:"error,omitempty"`
		Description string `json:"error_description,omitempty"`
	}{e.Code, e.Description})
	if err != nil {
		body = []byte(`{"error":"server_error"}`)
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.Status)
	_, _ = w.Write(body) // the client may have left
}
