package issuer

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
)

// Grant is the content of a token that is about to be signed. What the program stores
// with a client, such as its tenant, is in Client.Metadata.
type Grant struct {
	Client   *registry.Client // read only
	Audience []string         // read only
	Scopes   []string         // read only
}

// Issuer grants tokens. It is safe for concurrent use. [New] makes one. The handlers of
// a zero Issuer answer 500, and its other methods return an error.
type Issuer struct {
	url       string
	at        paths
	tokenPath string
	keys      *jwks.Keyring
	store     registry.Store
	clients   *clientCache
	uses      *uses
	ttl       time.Duration
	maxTTL    time.Duration
	exactTTL  bool
	resources map[string][]string
	claims    func(context.Context, Grant) (map[string]any, error)
	clientIP  func(*http.Request) string // nil: the address of the connection
	observe   func(context.Context, Event)
	notify    func(context.Context, Event) // of changes in the background; nil: no one
	metadata  []byte
	openID    []byte // the metadata of OpenID Connect Discovery; nil: not served
	issClaim  []byte // the start of every payload

	mechanisms []mechanism
	certified  *certAuth // by certificate, if a request presents nothing else; nil: off
	methods    []string  // of client authentication, for the metadata

	certificates *ClientCertificates // nil: off
	proofs       *proofs             // nil: DPoP is off

	secrets    *secretAuth
	assertions *assertionAuth
	grants     *grantLimit // nil: no limit
	proxy      sync.Once   // reports once that the callers behind a proxy are not known
	feed       *follower
	revoked    *revoked
	ledger     *ledger
	restoring  atomic.Int64 // revocations still to be restored
	writing    *writing     // revocations under way, per client
	advice     *advice
	loops      *background

	usesState, networksState condition // whether they can be recorded
}

// New returns an issuer. The error names the field that is wrong and what to write. A
// config that does not fit the clients of the store is not an error: if the store is a
// registry.Manager, an event with the reason event.Misconfigured says so soon after.
func New(c Config) (*Issuer, error) {
	c = c.withDefaults()
	maxTTL, err := c.validate()
	if err != nil {
		return nil, err
	}
	lookups := newLookups()
	i := &Issuer{
		url: c.Issuer, at: pathsOf(c.Issuer, c.TokenPath), tokenPath: c.TokenPath, keys: c.Keys, store: c.Store, uses: newUses(c.Store),
		ttl: c.TokenTTL, maxTTL: maxTTL, exactTTL: c.ExactTTL, resources: maps.Clone(c.Resources), claims: c.Claims, clientIP: c.ClientIP, observe: c.Observe, notify: event.Background(c.Observe, c.Quiet),
	}
	for audience, scopes := range i.resources {
		i.resources[audience] = slices.Clone(scopes)
	}
	var limits *lockout
	if c.FailedAttempts > 0 {
		limits = newLockout(c.Store, lookups.queue, c.FailedAttempts)
		limits.trust.recorded = func(err error) { i.recorded(&i.networksState, err) }
	}
	if c.MaxGrantRate > 0 {
		i.grants = newGrantLimit(c.MaxGrantRate)
	}
	if i.secrets, err = newSecretAuth(i.find, i.findsAtOnce, lookups.queue, limits, i.uses, c.ImportedSecrets); err != nil {
		return nil, err
	}
	costly := newCostlyChecks()
	if i.assertions, err = newAssertionAuth(c, i.find, lookups.queue, costly); err != nil {
		return nil, err
	}
	i.mechanisms = []mechanism{basicAuth{i.secrets}, postAuth{i.secrets}, i.assertions}
	i.methods = []string{registry.ClientSecretBasic, registry.ClientSecretPost, registry.PrivateKeyJWT}
	i.useCertificates(c.ClientCertificates, lookups.queue, i.assertions.keys.all, costly)
	if i.proofs, err = newProofs(c); err != nil {
		return nil, err
	}
	i.revoked, i.ledger, i.feed = newRevoked(maxTTL), newLedger(), newFollower(c.Store, c.MaxRevocationLag, i.apply, i.reportState)
	i.ledger.longest, i.feed.taken = i.revoked.longest, i.revoked.dropCovered
	i.feed.setBack, i.feed.restored = i.ledger.setBack, i.feedRestored
	i.advice = newAdvice(fitted{i.resources, maxTTL, c.ImportedSecrets, i.assertions.trusted, c.ClientCertificates, c.DPoP != nil}, i.reportFault)
	i.clients, i.writing = newClientCache(c.Store, i.feed, lookups), newWriting()
	i.loops = newBackground(i.feed.run, i.housekeep, limits.run, i.restore)
	i.issClaim = append(appendString([]byte(`{"iss":`), c.Issuer), `,"sub":`...)
	if c.OpenIDConfiguration {
		if i.openID, err = i.newMetadata(true); err != nil {
			return nil, err
		}
	}
	if i.metadata, err = i.newMetadata(false); err != nil {
		return nil, err
	}
	if manager, ok := c.Store.(registry.Manager); !ok {
		i.clients.seen = i.advice.client
	} else if i.notify != nil {
		i.advise(manager)
	}
	return i, nil
}

// Close stops the issuer's background work, which began at its first use: reading the
// store's feed, and recording when secrets were last used. Revoked returns an error
// soon after. Close may be called more than once. It does not close the keyring and
// the store.
func (i *Issuer) Close() error {
	if !i.made() {
		return errNotMade
	}
	i.loops.close()
	i.feed.close()
	i.assertions.close()
	_ = i.uses.flush(context.Background()) // what cannot be written now is lost
	i.secrets.lockout.flush(context.Background())
	return nil
}
