package issuer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// assertionType is the only client_assertion_type (RFC 7523, section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionAuth reads client assertions (RFC 7521, section 4.2). There are two kinds:
// those that the client has signed itself (private_key_jwt), whose iss and sub are its id,
// and the tokens that another issuer gave to a workload.
type assertionAuth struct {
	issuer      string // the only aud of the first kind
	requireType bool
	find        finder
	queue       *fairQueue // of the finder's queries
	store       registry.Store
	rate        *grantLimit // of records per client; nil: no limit
	keys        *clientKeys
	costly      *costlyChecks
	trusted     map[string]*trustedIssuer // whose workloads are accepted, by iss
}

func newAssertionAuth(c Config, find finder, queue *fairQueue, costly *costlyChecks) (*assertionAuth, error) {
	trusted, err := newTrustedIssuers(c)
	if err != nil {
		return nil, err
	}
	dummyKeys() // here, so that no request takes longer than the others
	a := &assertionAuth{
		issuer: c.Issuer, requireType: c.RequireAssertionType, find: find, queue: queue, store: c.Store,
		keys: newClientKeys(remoteConfig(c)), costly: costly, trusted: trusted,
	}
	if c.MaxGrantRate > 0 {
		a.rate = newGrantLimit(c.MaxGrantRate)
	}
	return a, nil
}

func (a *assertionAuth) sweep() {
	a.rate.sweep()
	a.keys.sweep()
	for _, from := range a.trusted {
		from.uses.sweep()
	}
}

// close ends all fetches of key sets.
func (a *assertionAuth) close() {
	a.keys.close()
	for _, from := range a.trusted {
		from.close()
	}
}

func (a *assertionAuth) presented(q request) bool { return q.form.clientAssertion != "" }

func (a *assertionAuth) read(q request) (credential, *Error) {
	if q.form.assertionType != assertionType {
		e := invalidClient(event.WrongMethod, errWrongMethod)
		e.Description = "client_assertion_type must be " + assertionType
		return nil, e
	}
	s := signed{assertionAuth: a, address: q.address}
	if err := s.parse(q.form.clientAssertion); err != nil {
		if signedWithSecret(q.form.clientAssertion) {
			e := invalidClient(event.WrongMethod, err)
			e.Description = "client_secret_jwt is not accepted"
			return nil, e
		}
		return nil, invalidClient(event.MalformedCredential, err)
	}
	if from := a.trusted[s.issuer]; from != nil && s.issuer != s.subject {
		if q.form.clientID == "" {
			return nil, malformed("client_id is missing: the token of a workload does not name the client")
		}
		return &workloadCredential{signed: s, from: from, clientID: q.form.clientID}, nil
	}
	if s.issuer != s.subject {
		return nil, invalidClient(event.BadAssertion, errNotOfClient)
	}
	if q.form.clientID != "" && s.subject != "" && q.form.clientID != s.subject {
		return nil, malformed("client_id differs from the one in the assertion")
	}
	return &keyCredential{s}, nil
}

// signedWithSecret reports whether an assertion is one of client_secret_jwt (OpenID Connect
// Core, section 9): its alg is HMAC with the client's secret.
func signedWithSecret(assertion string) bool {
	encoded, _, _ := strings.Cut(assertion, ".")
	header, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return false
	}
	members, err := jose.ParseObject(string(header))
	if err != nil {
		return false
	}
	alg, _, err := members.String("alg")
	return err == nil && strings.HasPrefix(alg, "HS")
}

// signed is an assertion whose form was checked. Its signature was not.
type signed struct {
	*assertionAuth
	jws             jose.JWS
	payload         string
	claims          jose.Object
	issuer, subject string
	address         string // where the request comes from
}

func (s *signed) parse(assertion string) (err error) {
	if s.jws, err = jose.Parse(assertion, 0); err != nil {
		return err
	}
	if s.payload, err = s.jws.UnverifiedPayload(); err != nil {
		return err
	}
	if s.claims, err = jose.ParseObject(s.payload); err != nil {
		return err
	}
	if s.issuer, _, err = s.claims.String("iss"); err != nil {
		return err
	}
	s.subject, _, err = s.claims.String("sub")
	return err
}

// admit decides on the account. While the queue would refuse an unknown id of the same
// network, a failure gets that answer too.
func (s *signed) admit(a account, failure *Error) *Error {
	failure = a.admit(registry.PrivateKeyJWT, failure)
	if failure != nil && failure.Status == 401 && s.queue.full(networkOf(s.address)) {
		return unavailable(event.Busy, errQueueFull)
	}
	return failure
}

// verifying runs a check of the signature with one of the keys.
func (s *signed) verifying(ctx context.Context, check func(), keys ...*jose.Key) *Error {
	if slices.ContainsFunc(keys, isCostly) {
		return s.costly.run(ctx, networkOf(s.address), check)
	}
	check()
	return nil
}

// onceID returns the name of a replay record. It is a hash, because clients choose the
// length and the characters of the text.
func onceID(text string) string {
	sum := sha256.Sum256([]byte(text))
	var id [(sha256.Size*8 + 5) / 6]byte
	base64.RawURLEncoding.Encode(id[:], sum[:])
	return string(id[:])
}

// recordUntil returns the time until which a use is recorded. The credential is accepted
// until end. The store's clock, which deletes the record, may be ahead of this one, and
// the store may be slow.
func recordUntil(end time.Time) time.Time { return end.Add(registry.MaxClockSkew + 2*storeTimeout) }

// ended reports whether a credential has expired. It is checked again right before a use
// is recorded: the record of an expired credential would be deleted at once, and allow a
// second use.
func ended(end time.Time) bool { return !time.Now().Before(end) }

// Private causes: Observe gets them, the client does not.
const (
	errNotOfClient = constError("issuer: iss and sub of the assertion differ, and iss is not one of Config.WorkloadIssuers")
	errReplayed    = constError("issuer: the assertion was used before: the client must make one for each request")
)
