package issuer

import (
	"context"
	"net/http"

	"github.com/echo-m2m/m2m/jwks/event"
)

// endpoint is what the token, revocation and introspection endpoints have in
// common: parameters from a form body, a client that authenticates, and JSON
// answers that are not cached.
type endpoint struct {
	issuer   *Issuer
	op       event.Op
	check    func(parameters) *Error // before authentication
	accept   func(*request) *Error   // after authentication: spends the client's credential
	answer   func(request) (answer, *Error)
	clientIP func(*http.Request) string
}

// request is a request to an endpoint.
type request struct {
	http        *http.Request
	form        parameters
	address     string      // where it comes from
	certificate certificate // of the client, nothing if certificates are off
	caller      caller      // once it has authenticated
	bound       binding     // of the token that it gets
}

func (q request) context() context.Context { return q.http.Context() }

// answer is the body of a 200, and what its event reports.
type answer struct {
	body             []byte
	tokenID          string
	audience, scopes []string
	reason           event.Reason // why the operator should look at a 200; usually empty
	cause            error
}

func (e endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !e.issuer.made() {
		notMade().write(w)
		return
	}
	o := e.issuer.observation()
	q := request{http: r}
	answer, claimed, err := e.serve(&q)
	if o.issuer != nil {
		ev := Event{Op: e.op, Status: http.StatusOK, ClientID: claimed, Claimed: claimed != "", TokenID: answer.tokenID, Audience: answer.audience, Scopes: answer.scopes, Reason: answer.reason, Err: answer.cause}
		if q.caller.client != nil {
			ev.ClientID, ev.Claimed, ev.SecretID = q.caller.client.ID, false, q.caller.secretID
		}
		o.report(r.Context(), ev, err)
	}
	if q.bound.nonce != "" {
		w.Header().Set("DPoP-Nonce", q.bound.nonce)
	}
	if err != nil {
		err.write(w)
		return
	}
	writeJSON(w, http.StatusOK, answer.body)
}

// serve also returns the client that a refused caller claims to be.
func (e endpoint) serve(q *request) (a answer, claimed string, err *Error) {
	if q.form, err = readParameters(q.http); err != nil {
		return answer{}, "", err
	}
	if err := e.check(q.form); err != nil {
		return answer{}, "", err
	}
	q.address = e.clientIP(q.http)
	if q.certificate, err = e.issuer.certificates.of(q.http); err != nil {
		return answer{}, "", err
	}
	if q.caller, claimed, err = e.issuer.authenticate(*q); err != nil {
		return answer{}, claimed, err
	}
	if err := e.accept(q); err != nil {
		return answer{}, "", err
	}
	a, err = e.answer(*q)
	return a, claimed, err
}

// spend is the accept of an endpoint that grants no tokens.
func spend(q *request) *Error { return q.caller.spend(q.context()) }

// checkGrant refuses every grant type but that of RFC 6749, section 4.4.
func checkGrant(p parameters) *Error {
	switch p.grantType {
	case "client_credentials":
		return nil
	case "":
		return malformed("grant_type is missing")
	}
	return &Error{
		Status: http.StatusBadRequest, Code: "unsupported_grant_type", Description: "the only grant type here is client_credentials",
		reason: event.UnsupportedGrantType,
	}
}

// checkToken refuses a request without a token parameter.
func checkToken(p parameters) *Error {
	if p.token == "" {
		return malformed("token is missing")
	}
	return nil
}
