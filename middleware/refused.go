package middleware

import (
	"context"
	"net/http"
)

// OnRefusal returns a context for a request in front of a guard of net/http, such as
// [Bearer.Handler]. If the guard refuses the request, it calls refused first, once; then the
// func that the context had before. With Echo the guard returns the refusal, and this is not
// needed.
func OnRefusal(ctx context.Context, refused func(*Error)) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	if refused == nil {
		return ctx
	}
	if before, ok := ctx.Value(refusedKey{}).(func(*Error)); ok {
		own := refused
		refused = func(e *Error) {
			own(e)
			before(e)
		}
	}
	return context.WithValue(ctx, refusedKey{}, refused)
}

// refusedKey finds the func of OnRefusal in a context.
type refusedKey struct{}

func tellRefused(r *http.Request, e *Error) {
	if refused, ok := r.Context().Value(refusedKey{}).(func(*Error)); ok {
		refused(e)
	}
}
