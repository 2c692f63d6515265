package middleware

import "net/http"

// Judge returns how a guard of this Bearer would decide about a request, without deciding:
// nothing is answered, no request is reported to [Config.Observe], and no proof is used up.
// So it can judge a request that another guard serves, such as by settings that are not in
// force yet. e is nil if a guard would let the request in. With an e, the token is there
// only if its signature is valid, and it has expired, is not valid yet, was revoked, or is
// not bound as it must be.
//
// It checks all that a guard checks but two things: whether a DPoP proof was used before,
// and the scopes of a route. As a guard does, it may fetch keys, call [Config.Revoked],
// ask by [Config.Introspection], and cache a verified token, which changes no later answer.
// Of the address of the caller it knows [Config.ClientIP], and not Echo's IPExtractor.
func (b *Bearer) Judge(r *http.Request) (t *Token, e *Error) {
	if cause := b.fault(false); cause != nil {
		return nil, misconfigured(cause)
	}
	v, e := b.judge(r)
	if v == nil {
		return nil, e
	}
	return v.token(), e
}

func (b *Bearer) judge(r *http.Request) (*verified, *Error) {
	if b.members != nil {
		m, e := b.members.choose(caller{bearer: b, request: r, silent: true}, nil)
		if e != nil {
			return nil, e
		}
		verified := false
		defer func() { m.release(verified) }() // also if code of the app panics
		v, e := m.judge(r)
		verified = e == nil
		return v, e
	}
	raw, dpop, e := b.credential(r)
	if e != nil {
		return nil, e
	}
	v, e := b.valid(caller{bearer: b, request: r, silent: true}, raw)
	switch {
	case e != nil:
	case b.requireBound && v.bound == nil:
		e = unbound()
	case dpop || v.bound != nil:
		e = b.confirm(nil, r, v, dpop)
	}
	return v, e
}
