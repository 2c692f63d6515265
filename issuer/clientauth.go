package issuer

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// credential is what a request presents, not checked yet.
type credential struct {
	clientID, secret, method string
	address                  string // where the request comes from
}

// reportedID is the claimed client id, if it is one that can be logged. A
// secret in its place, by mistake, is not.
func (c credential) reportedID() string {
	if _, secret := registry.SecretID(c.clientID); secret || !registry.ValidID(c.clientID) {
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
	return credential{clientID: t.clientID, secret: t.clientSecret, method: registry.ClientSecretPost}, nil
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
	var room [512]byte
	decoded, err := base64.StdEncoding.Strict().AppendDecode(room[:0], []byte(strings.Trim(encoded, " ")))
	id, secret, ok := strings.Cut(string(decoded), ":")
	id, err1 := url.QueryUnescape(id)
	secret, err2 := url.QueryUnescape(secret)
	if err != nil || !ok || err1 != nil || err2 != nil {
		e := invalidClient(errMalformed)
		e.Description = "the Basic credentials are malformed: form-encode id and secret, join them with a colon, encode as base64"
		return credential{}, e
	}
	return credential{clientID: id, secret: secret, method: registry.ClientSecretBasic}, nil
}

// authenticate finds the client and checks its secret. Every way to fail is the
// same answer after the same work, until there have been too many.
func (i *Issuer) authenticate(ctx context.Context, c credential) (*registry.Client, *Error) {
	if !registry.ValidID(c.clientID) || !registry.ValidSecret(c.secret) {
		return nil, invalidClient(errMalformed)
	}
	i.background()
	a := attempt{clientID: c.clientID, address: c.address}
	id, generated := registry.SecretID(c.secret)
	if !generated {
		if err := i.lockout.refusedUnread(a); err != nil {
			return nil, err
		}
	}
	client, stale, err := i.clients.client(ctx, c.clientID)
	if err != nil {
		return nil, unavailable(err)
	}
	a.exists = client != nil
	if !generated {
		if err := i.lockout.refused(a); err != nil {
			return nil, err
		}
	}
	now := time.Now()
	secret, err := i.checkSecret(ctx, client, c.secret, id, generated, now)
	if err != nil && !errors.Is(err, errNotImported) {
		return nil, unavailable(err)
	}
	switch {
	case client == nil:
		err = errUnknownClient
	case err != nil:
		if !slices.ContainsFunc(client.Secrets, func(s registry.Secret) bool { return !s.Generated() }) {
			err = errWrongSecret
		}
	case secret == nil:
		err = errWrongSecret
	case client.Disabled:
		err = errDisabled
	case client.AuthMethod != "" && client.AuthMethod != c.method:
		err = errWrongMethod
	}
	if err != nil && stale {
		return nil, unavailable(err) // what was right a moment ago may be wrong, and the reverse
	}
	if err != nil || !generated {
		// Asked again, as many may have got here at once: those find out nothing
		// that come after the attempts are used up, the right secret included.
		if refused := i.lockout.refused(a); refused != nil {
			return nil, refused
		}
	}
	if err != nil {
		i.lockout.failed(a)
		return nil, invalidClient(err)
	}
	if !generated {
		i.lockout.succeeded(a)
	}
	i.uses.note(client.ID, secret.ID, now)
	return client, nil
}

// checkSecret compares a secret with the one of the client's that it could be,
// and returns that if it is. It costs one hash whether there is such a one, or
// such a client, or not.
func (i *Issuer) checkSecret(ctx context.Context, client *registry.Client, plain, id string, generated bool, now time.Time) (*registry.Secret, error) {
	if !generated && i.slow == nil {
		return nil, errNotImported
	}
	var candidate *registry.Secret
	if client != nil {
		for n := range client.Secrets {
			s := &client.Secrets[n]
			if s.Generated() == generated && (!generated || s.ID == id) && !s.Expired(now) {
				candidate = s
			}
		}
	}
	if !generated {
		if match, err := i.slow.check(ctx, candidate, plain); !match || err != nil {
			return nil, err
		}
		return candidate, nil
	}
	compared := candidate
	if candidate == nil {
		compared = &noSecret
	}
	if !compared.Matches(plain) {
		return nil, nil
	}
	return candidate, nil
}

// noSecret is what a secret is compared with when there is nothing to compare
// it with.
var _, noSecret = registry.GenerateSecret()
