package issuer

import (
	"context"
	"net/http"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// request is what an authenticated client asks of an endpoint.
type request struct {
	tokenRequest
	client *registry.Client
}

// serve is what the token, revocation and introspection endpoints have in
// common: parameters from a form body, a client that proves who it is, JSON
// answers that nobody caches. address is where the request comes from.
func (i *Issuer) serve(w http.ResponseWriter, r *http.Request, address string, check func(tokenRequest) *Error, answer func(context.Context, request) ([]byte, *Error)) {
	body, clientID, err := i.answer(r, address, check, answer)
	if err != nil {
		i.refused(r.Context(), clientID, err)
		err.write(w, r)
		return
	}
	writeJSON(w, http.StatusOK, body)
}

// answer gives the body of a 200, or the error and whom the caller claims to be.
// check is for what needs no authentication to be refused.
func (i *Issuer) answer(r *http.Request, address string, check func(tokenRequest) *Error, answer func(context.Context, request) ([]byte, *Error)) (body []byte, clientID string, err *Error) {
	form, err := readTokenRequest(r)
	if err != nil {
		return nil, "", err
	}
	if err := check(form); err != nil {
		return nil, "", err
	}
	presented, err := readCredential(r, form)
	if err != nil {
		return nil, "", err
	}
	presented.address = address
	client, err := i.authenticate(r.Context(), presented)
	if err != nil {
		return nil, presented.reportedID(), err
	}
	body, err = answer(r.Context(), request{form, client})
	return body, client.ID, err
}

// checkGrant refuses what is not the grant of RFC 6749 §4.4.
func checkGrant(t tokenRequest) *Error {
	switch t.grantType {
	case "client_credentials":
		return nil
	case "":
		return invalidRequest("grant_type is missing")
	}
	return &Error{Status: http.StatusBadRequest, Code: "unsupported_grant_type", Description: "the only grant type here is client_credentials"}
}

// checkToken refuses a request about a token that names none.
func checkToken(t tokenRequest) *Error {
	if t.token == "" {
		return invalidRequest("token is missing")
	}
	return nil
}
