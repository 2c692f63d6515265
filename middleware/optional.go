package middleware

import (
	"context"
	"net/http"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
)

// HandlerOptional calls next for requests without a credential, for which
// [TokenFromContext] is nil, and for requests that [Bearer.Handler] would let in. A
// credential that is there and not valid is refused, and never the same as none.
//
// A credential is an Authorization header of any scheme that is not empty, and an
// access_token in the query. So a request with Basic authentication, or with its token in
// the query alone, is refused, as it is by Handler. With a scope that cannot exist it lets
// no request in.
func (b *Bearer) HandlerOptional(next http.Handler, scopes ...string) http.Handler {
	rule := newScopeRule(scopes, false)
	return b.handler(next, httpGuard{mustBind: b.requiresBound(), optional: rule.cause == nil}, func(_ *http.Request, v *verified) *Error { return rule.check(v.scope) })
}

// isAnonymous reports whether a request has no credential.
func isAnonymous(r *http.Request) bool {
	for _, h := range r.Header["Authorization"] {
		if strings.TrimSpace(h) != "" {
			return false
		}
	}
	return r.URL.RawQuery == "" || !queryHasToken(r.URL.RawQuery)
}

// anonymousKey finds the *watch of a request that a guard of this Bearer let in without a
// credential.
type anonymousKey struct{ by *Bearer }

// anonymous lets a request without a credential in. done reports it, when its handler has
// returned, unless a guard of the same Bearer further in has done so.
func (b *Bearer) anonymous(r *http.Request) (in *http.Request, done func()) {
	ctx := r.Context()
	if b.observe == nil || ctx.Value(anonymousKey{b}) != nil {
		return r, func() {}
	}
	w := &watch{}
	in = r.WithContext(context.WithValue(ctx, anonymousKey{b}, w))
	return in, func() {
		if w.decide() {
			b.observe(ctx, Event{Op: event.OpRequest})
		}
	}
}
