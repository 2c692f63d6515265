package middleware

import "net/http"

// admission is how a guard let a request in. Guards of the same Bearer further in
// find it, and handlers its token.
type admission struct {
	token *verified
	watch *watch // nil without Observe
}

// admit authenticates a request that earlier guards let in as prior, which is zero
// if there were none. A refusal is reported here.
func (b *Bearer) admit(r *http.Request, prior admission) (admission, *Error) {
	if prior.token != nil && prior.token.by != b {
		prior = admission{}
	}
	began := b.clock()
	v, e := b.authenticate(r, prior.token)
	if e != nil {
		b.reportRefusal(r.Context(), admission{watch: prior.watch}, began, eventOf(e))
		return admission{}, e
	}
	return admission{v, b.watched(prior.watch, began)}, nil
}
