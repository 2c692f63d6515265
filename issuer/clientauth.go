package issuer

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The names of RFC 7591 §2 for how a client authenticates.
const (
	methodBasic = "client_secret_basic"
	methodPost  = "client_secret_post"
)

// credential is what a request presents, not checked yet.
type credential struct {
	clientID, secret, method string
}

// reportedID is the claimed client id, if it is one that can be logged. A
// secret in its place, by mistake, is not.
func (c credential) reportedID() string {
	if _, secret := generatedID(c.clientID); secret || !isVSChar(c.clientID, maxClientID) {
		return ""
	}
	return c.clientID
}

// readCredential takes the one credential of the request. More than one is
// refused (RFC 6749 §2.3), as is none.
func readCredential(r *http.Request, t tokenRequest) (credential, *Error) {
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return credential{}, invalidRequest("more than one Authorization header")
	}
	if t.clientAssertion != "" {
		if len(headers) > 0 || t.clientSecret != "" {
			return credential{}, invalidRequest("more than one client authentication")
		}
		return credential{}, invalidClient(errWrongMethod)
	}
	if len(headers) == 1 {
		if t.clientSecret != "" {
			return credential{}, invalidRequest("more than one client authentication")
		}
		c, err := readBasic(headers[0])
		if err != nil {
			return credential{}, err
		}
		if t.clientID != "" && t.clientID != c.clientID {
			return credential{}, invalidRequest("client_id differs from the one in the Authorization header")
		}
		return c, nil
	}
	switch {
	case t.clientID == "" && t.clientSecret == "":
		e := invalidClient(nil)
		e.Description = "client authentication is missing"
		return credential{}, e
	case t.clientID == "":
		return credential{}, invalidRequest("client_id is missing")
	}
	return credential{t.clientID, t.clientSecret, methodPost}, nil
}

// readBasic reads an Authorization header of the Basic scheme. The id and the
// secret are form-encoded before they are joined (RFC 6749 §2.3.1), so that the
// id may hold a colon.
func readBasic(header string) (credential, *Error) {
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		e := invalidClient(errWrongMethod)
		e.Description = "the Authorization header must use the Basic scheme"
		return credential{}, e
	}
	malformed := invalidClient(errMalformed)
	malformed.Description = "the Basic credentials are malformed: form-encode id and secret, join them with a colon, encode as base64"
	decoded, err := base64.StdEncoding.Strict().DecodeString(strings.Trim(encoded, " "))
	if err != nil {
		return credential{}, malformed
	}
	id, secret, ok := strings.Cut(string(decoded), ":")
	if !ok {
		return credential{}, malformed
	}
	id, err1 := url.QueryUnescape(id)
	secret, err2 := url.QueryUnescape(secret)
	if err1 != nil || err2 != nil {
		return credential{}, malformed
	}
	return credential{id, secret, methodBasic}, nil
}

// authenticate finds the client and checks its secret. Every way to fail is the
// same answer after the same work.
func (i *Issuer) authenticate(ctx context.Context, c credential) (*Client, *Error) {
	if !isVSChar(c.clientID, maxClientID) || !isVSChar(c.secret, maxSecret) {
		return nil, invalidClient(errMalformed)
	}
	client, err := i.store.Client(ctx, c.clientID)
	if err == nil && (client == nil || client.ID != c.clientID) {
		err = errors.New("issuer: the store returned another client than was asked for, and no error")
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, unavailable(err)
	}
	if err != nil {
		client = nil
	}
	match, err := i.checkSecret(ctx, client, c.secret)
	switch {
	case errors.Is(err, errNotImported):
		return nil, invalidClient(err)
	case err != nil:
		return nil, unavailable(err)
	case client == nil:
		return nil, invalidClient(errUnknownClient)
	case !match:
		return nil, invalidClient(errWrongSecret)
	case client.Disabled:
		return nil, invalidClient(errDisabled)
	case client.AuthMethod != "" && client.AuthMethod != c.method:
		return nil, invalidClient(errWrongMethod)
	}
	return client, nil
}

// checkSecret compares the secret with the one of the client's that it could
// be. It costs one hash whether there is such a one, or such a client, or not.
func (i *Issuer) checkSecret(ctx context.Context, client *Client, plain string) (bool, error) {
	id, generated := generatedID(plain)
	if !generated && i.slow == nil {
		return false, errNotImported
	}
	var candidate *Secret
	if client != nil {
		now := time.Now()
		for n := range client.Secrets {
			s := &client.Secrets[n]
			if s.generated() == generated && (!generated || s.ID == id) && !s.expired(now) {
				candidate = s
			}
		}
	}
	if !generated {
		return i.slow.check(ctx, candidate, plain)
	}
	known := candidate != nil
	if !known {
		candidate = &noSecret
	}
	return candidate.matchesFast(plain) && known, nil
}

// noSecret is what a secret is compared with when there is nothing to compare
// it with.
var noSecret = Secret{Hash: fastHash("")}
