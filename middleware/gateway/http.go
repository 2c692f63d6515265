package gateway

import (
	"net/http"

	"github.com/echo-m2m/m2m/jwks/event"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// Handler calls next for requests with a valid token that the policy permits, and answers
// all others itself. It goes into a [http.ServeMux], whose pattern is the route, and in
// front of what changes the path, such as http.StripPrefix:
//
//	mux.Handle("/orders/{path...}", gw.Handler(proxy))
//
// Without a ServeMux in front of it there is no route, and it lets nothing in. The token is
// that of bearer.TokenFromContext.
func (g *Gateway) Handler(next http.Handler) http.Handler {
	if !g.usable() || next == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { misconfigured().answer(w) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route := muxRoute(r)
		err := checkTarget(r)
		if err == nil {
			err = checkMuxSpelling(route, r.URL.RawPath)
		}
		if err != nil {
			g.refuse(r, event.MalformedRequest, ambiguous(err)).answer(w)
			return
		}
		p, e := g.enter(r, route, nil)
		if e != nil {
			g.refuse(r, event.Busy, e).answer(w)
			return
		}
		defer p.leave()
		in := r
		if p.state.report != nil || p.attempt.limiter != nil {
			in = r.WithContext(bearer.OnRefusal(r.Context(), p.refused))
		}
		g.auth.HandlerFunc(next, func(_ *http.Request, t *bearer.Token) error { return p.decide(t) }).ServeHTTP(w, in)
		if in.MultipartForm != nil {
			r.MultipartForm = in.MultipartForm // the server deletes the files of the form it knows
		}
	})
}
