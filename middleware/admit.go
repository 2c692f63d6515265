package middleware

import "net/http"

// admission is how a guard let a request in. Guards of the same Bearer further in
// find it, and handlers its token.
type admission struct {
	token *verified
	watch *watch // nil without Observe
}

// own returns the admission if a guard of this Bearer, or of one that [Any] has put into
// it, made it, else none: another Bearer may have verified for another audience.
func (b *Bearer) own(a admission) admission {
	if a.token == nil || a.token.by != b && (b.members == nil || !b.members.has(a.token.by)) {
		return admission{}
	}
	return a
}

// admit authenticates a request. prior is how a guard of the same Bearer further out
// let it in; zero if none did: what that guard has checked, the proof of a bound token
// among it, is not checked again. With mustBind the token must be a bound one. A refusal is
// reported here. by is the Bearer that has decided: b, or the member that is for the
// issuer of the token.
func (b *Bearer) admit(w http.ResponseWriter, r *http.Request, prior admission, extract addressOf, mustBind bool) (by *Bearer, a admission, e *Error) {
	if b.members == nil {
		a, e = b.admitOwn(w, r, prior, extract, mustBind)
		return b, a, e
	}
	began := b.clock()
	m, e := b.members.choose(caller{bearer: b, request: r, extract: extract}, prior.token)
	if e != nil {
		return b, admission{}, b.reported(r, admission{nil, prior.watch}, began, e)
	}
	by = m.Bearer
	if prior.token != nil && prior.token.by != by { // of another credential
		prior = admission{}
	}
	defer func() { m.release(a.token != nil) }() // also if code of the app panics
	a, e = by.admitOwn(w, r, prior, extract, mustBind || by.requireBound)
	return by, a, e
}

// admitOwn is admit for a Bearer of one issuer.
func (b *Bearer) admitOwn(w http.ResponseWriter, r *http.Request, prior admission, extract addressOf, mustBind bool) (admission, *Error) {
	began := b.clock()
	v, dpop, e := b.authenticate(r, prior.token, extract)
	switch {
	case e != nil:
	case mustBind && v.bound == nil:
		e = unbound()
	case v != prior.token && (dpop || v.bound != nil) && !b.proven(r.Context(), v):
		e = b.confirm(w, r, v, dpop)
	}
	if e != nil {
		return admission{}, b.reported(r, admission{v, prior.watch}, began, e)
	}
	return admission{v, b.watched(prior.watch, began)}, nil
}
