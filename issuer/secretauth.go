package issuer

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// secretAuth checks client secrets, for client_secret_basic and client_secret_post. Only
// it limits attempts and computes slow hashes.
type secretAuth struct {
	find    finder
	atOnce  func(id string) bool // the finder needs no query, or one that goes ahead
	queue   *fairQueue           // of the finder's queries
	lockout *lockout             // nil: failures are not limited
	slow    *slowHashes          // nil: chosen secrets are not accepted
	uses    *uses
	key     [32]byte                                         // of fingerprints; never leaves the process
	matches func(stored *registry.Secret, plain string) bool // of a generated secret
}

func newSecretAuth(find finder, atOnce func(id string) bool, queue *fairQueue, limits *lockout, u *uses, importedSecrets bool) (*secretAuth, error) {
	s := &secretAuth{find: find, atOnce: atOnce, queue: queue, lockout: limits, uses: u, matches: (*registry.Secret).Matches}
	_, _ = rand.Read(s.key[:]) // never fails (crypto/rand)
	var err error
	if importedSecrets {
		s.slow, err = newSlowHashes()
	}
	return s, err
}

func (s *secretAuth) sweep() {
	s.lockout.sweep()
	if s.slow != nil {
		s.slow.known.sweep()
	}
}

// Private causes: Observe gets them, the client does not.
var (
	errMalformed   = errors.New("issuer: malformed client id or secret")
	errWrongSecret = errors.New("issuer: wrong or expired secret")
	errNotImported = errors.New("issuer: not a generated secret, and Config.ImportedSecrets is false")
)

// basicAuth is client_secret_basic (RFC 6749, section 2.3.1).
type basicAuth struct{ *secretAuth }

func (basicAuth) presented(q request) bool { return len(authorization(q.http)) > 0 }

// authorization returns the Authorization headers. An empty one is absent.
func authorization(r *http.Request) []string { return present(r.Header.Values("Authorization")) }

func (b basicAuth) read(q request) (credential, *Error) {
	headers := authorization(q.http)
	if len(headers) > 1 {
		return nil, malformed("more than one Authorization header")
	}
	id, secret, err := readBasic(headers[0])
	if err != nil {
		return nil, err
	}
	if q.form.clientID != "" && q.form.clientID != id {
		return nil, malformed("client_id differs from the one in the Authorization header")
	}
	return &secretCredential{b.secretAuth, id, secret, registry.ClientSecretBasic, q.address}, nil
}

// readBasic parses an Authorization header of the Basic scheme. Id and secret are
// form-encoded before they are joined (RFC 6749, section 2.3.1), so the id may contain a
// colon.
func readBasic(header string) (id, secret string, _ *Error) {
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		e := invalidClient(event.WrongMethod, errWrongMethod)
		e.Description = "the Authorization header must use the Basic scheme"
		return "", "", e
	}
	var room [512]byte
	decoded, err := base64.StdEncoding.Strict().AppendDecode(room[:0], []byte(strings.Trim(encoded, " ")))
	id, secret, ok := strings.Cut(string(decoded), ":")
	id, err1 := url.QueryUnescape(id)
	secret, err2 := url.QueryUnescape(secret)
	if err != nil || !ok || err1 != nil || err2 != nil {
		e := invalidClient(event.MalformedCredential, errMalformed)
		e.Description = "the Basic credentials are malformed: form-encode id and secret, join them with a colon, encode as base64"
		return "", "", e
	}
	return id, secret, nil
}

// postAuth is client_secret_post (RFC 6749, section 2.3.1).
type postAuth struct{ *secretAuth }

func (postAuth) presented(q request) bool { return q.form.clientSecret != "" }

func (p postAuth) read(q request) (credential, *Error) {
	if q.form.clientID == "" {
		return nil, malformed("client_id is missing")
	}
	return &secretCredential{p.secretAuth, q.form.clientID, q.form.clientSecret, registry.ClientSecretPost, q.address}, nil
}

// secretCredential is a client id and a secret.
type secretCredential struct {
	*secretAuth
	clientID, secret, method string
	address                  string // where the request comes from
}

func (c *secretCredential) claimedID() string { return c.clientID }

// verify finds the client and checks the secret. All failures get the same answer after
// the same work, until there are too many of them.
func (c *secretCredential) verify(ctx context.Context) (caller, *Error) {
	if !registry.ValidID(c.clientID) || !registry.ValidSecret(c.secret) {
		return caller{}, invalidClient(event.MalformedCredential, errMalformed)
	}
	id, generated := registry.SecretID(c.secret)
	if generated {
		return c.verifyGenerated(ctx, id)
	}
	return c.verifyChosen(ctx)
}

// verifyGenerated verifies a generated secret. It is apart from verifyChosen so that its
// variables stay on the stack.
func (c *secretCredential) verifyGenerated(ctx context.Context, id string) (caller, *Error) {
	var (
		found  account
		secret *registry.Secret
		now    time.Time
	)
	err := c.lockout.generated(attempt{clientID: c.clientID, address: c.address}, steps{
		atOnce: func() bool { return c.atOnce(c.clientID) },
		find: func() (lookedUp, *Error) {
			var err *Error
			found, err = c.find(ctx, c.clientID, c.address)
			now = time.Now()
			return lookedUp{found.client != nil, found.stale}, err
		},
		check: func(bool) (bool, *Error) {
			var wrong *Error
			secret, wrong = c.checkGenerated(found.client, id, now)
			return true, c.admit(found, wrong)
		},
	})
	if err != nil {
		return caller{}, err
	}
	c.uses.note(c.clientID, secret.ID, now)
	return caller{client: found.client, number: found.number, secretID: secret.ID}, nil
}

// verifyChosen verifies a chosen secret.
func (c *secretCredential) verifyChosen(ctx context.Context) (caller, *Error) {
	var (
		found  account
		secret *registry.Secret
		now    time.Time
	)
	a := attempt{c.clientID, c.address, networkOf(c.address), c.fingerprint()}
	err := c.lockout.chosen(ctx, a, steps{
		atOnce: func() bool { return c.atOnce(c.clientID) },
		find: func() (lookedUp, *Error) {
			var err *Error
			found, err = c.find(ctx, c.clientID, c.address)
			now = time.Now()
			return lookedUp{found.client != nil, found.stale}, err
		},
		full: func() bool { return c.queue.full(a.network) },
		matchCached: func() (cached bool, wrong *Error) {
			secret, cached, wrong = c.matchCached(found.client, now, a.secret)
			return cached, found.admit(c.method, wrong)
		},
		check: func(ahead bool) (compared bool, wrong *Error) {
			secret, compared, wrong = c.checkChosen(ctx, found.client, now, a, ahead)
			return compared, found.admit(c.method, wrong)
		},
	})
	if err != nil {
		return caller{}, err
	}
	c.uses.note(c.clientID, secret.ID, now)
	return caller{client: found.client, number: found.number, secretID: secret.ID}, nil
}

// fingerprint identifies the secret within this process. Outside it, it reveals nothing.
func (c *secretCredential) fingerprint() string {
	mac := hmac.New(sha256.New, c.key[:])
	mac.Write([]byte(c.secret))
	return string(mac.Sum(nil))
}

// admit decides on the account of a generated secret. While the queue would refuse an
// unknown id of the same network, a failure gets that answer too.
func (c *secretCredential) admit(a account, failure *Error) *Error {
	failure = a.admit(c.method, failure)
	if failure != nil && failure.Status == http.StatusUnauthorized && c.queue.full(networkOf(c.address)) {
		return unavailable(event.Busy, errQueueFull)
	}
	return failure
}

// checkGenerated returns the client's secret of that id if it matches. It costs one
// SHA-256, even if there is no such secret or no such client.
func (c *secretCredential) checkGenerated(client *registry.Client, id string, now time.Time) (*registry.Secret, *Error) {
	stored := current(client, now, func(s *registry.Secret) bool { return s.Generated() && s.ID == id })
	if stored == nil {
		c.matches(&noSecret, c.secret)
		return nil, wrongSecret()
	}
	if !c.matches(stored, c.secret) {
		return nil, wrongSecret()
	}
	return stored, nil
}

// checkChosen returns the client's imported secret if it matches, and whether it was
// compared. It costs one slow hash, even if there is no such secret or no such client.
func (c *secretCredential) checkChosen(ctx context.Context, client *registry.Client, now time.Time, a attempt, ahead bool) (*registry.Secret, bool, *Error) {
	if c.slow == nil {
		if current(client, time.Time{}, imported) == nil {
			return nil, true, wrongSecret()
		}
		return nil, true, invalidClient(event.ImportedSecretsOff, errNotImported)
	}
	stored := current(client, now, imported)
	match, compared, err := c.slow.check(ctx, slowCheck{c.clientID, stored, c.secret, a.secret, a.network, ahead})
	switch {
	case err != nil:
		return nil, false, unavailable(event.Busy, err)
	case !match:
		return nil, compared, wrongSecret()
	}
	return stored, true, nil
}

// matchCached compares with the cached fingerprint of the client's imported secret. It
// also reports whether there is one.
func (c *secretCredential) matchCached(client *registry.Client, now time.Time, fingerprint string) (*registry.Secret, bool, *Error) {
	if c.slow == nil {
		return nil, false, wrongSecret()
	}
	stored := current(client, now, imported)
	match, cached := c.slow.matchCached(stored, fingerprint)
	if !match {
		return nil, cached, wrongSecret()
	}
	return stored, true, nil
}

func imported(s *registry.Secret) bool { return !s.Generated() }

func wrongSecret() *Error { return invalidClient(event.WrongSecret, errWrongSecret) }

// current returns the last of the client's secrets of the kind that has not expired, nil
// if there is none.
func current(client *registry.Client, now time.Time, kind func(*registry.Secret) bool) (found *registry.Secret) {
	if client == nil {
		return nil
	}
	for n := range client.Secrets {
		if s := &client.Secrets[n]; kind(s) && !s.Expired(now) {
			found = s
		}
	}
	return found
}

// noSecret takes the place of a stored secret if there is none, so that the comparison
// takes the same time.
var _, noSecret = registry.GenerateSecret()
