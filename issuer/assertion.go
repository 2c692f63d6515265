package issuer

import "github.com/echo-m2m/m2m/jwks/event"

// assertionAuth refuses client assertions (RFC 7521, section 4.2). This issuer does not
// support them.
type assertionAuth struct{}

func (assertionAuth) presented(q request) bool { return q.form.clientAssertion != "" }

func (assertionAuth) read(request) (credential, *Error) {
	return nil, invalidClient(event.WrongMethod, errWrongMethod)
}
