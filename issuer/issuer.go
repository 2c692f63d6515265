package issuer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
)

// Config says what an issuer is made of. Issuer, Keys and Store are required;
// the zero value of every other field is the safe default.
type Config struct {
	// Issuer is the issuer identifier (RFC 8414, section 2), the iss of every token: an
	// https URL without query and fragment, such as "https://auth.example.com".
	// The endpoints lie under it. http is accepted for loopback addresses.
	Issuer string

	// Keys sign the tokens: jwks.Open or jwks.NewKeyring.
	Keys *jwks.Keyring

	// Store has the clients.
	Store registry.Store

	// TokenTTL is the lifetime of tokens, in whole seconds. Default 15 min.
	TokenTTL time.Duration

	// MaxTokenTTL cuts the lifetime that a client asks for in Client.TokenTTL. At
	// most registry.MaxTokenLifetime, as no cut-off is kept for longer. Default 1 h,
	// or less where the keyring's Policy.Retain covers less; a value that Retain does
	// not cover is refused, since such a token would outlive its key.
	MaxTokenTTL time.Duration

	// Resources lists the audiences and the scopes that each has. When set, a
	// client is granted, of its own scopes, those that every audience of the
	// token has; an audience that is not listed has none. Default: the clients'
	// own lists are all there is.
	Resources map[string][]string

	// Claims adds claims to a token, such as a tenant. It is called once per
	// token. Names are 1 to 64 of [A-Za-z0-9_:./-], and none that this package or
	// RFC 7519 gives a meaning: iss sub aud exp nbf iat jti client_id scope scp
	// cnf act may_act azp active token_type. Every holder of the token can read
	// the claims.
	//
	// An error that is an [*Error] with a Code and a Status from 400 to 599 is
	// the answer: no token, for this reason. Any other error is answered 500.
	Claims func(ctx context.Context, grant Grant) (map[string]any, error)

	// ClientIP returns where a request comes from: an IP address, with or without
	// a port. Bounds per network are those of that address's network. Behind a
	// proxy, return the address that your proxy vouches for, never a header that
	// any caller can write. Default: the address of the connection; for the endpoints
	// that Mount adds, and no others, Echo's IPExtractor where the app has one. With
	// neither, bounds per network do not apply to a request with an X-Forwarded-For,
	// Forwarded or X-Real-IP header, as all that a proxy sends on would be one network;
	// nor do they where what is returned is empty or no address. Observe is told so
	// once. IPv4 addresses in IPv6 ones (mapped, NAT64 with the well-known prefix, SIIT,
	// 6to4) count as themselves.
	ClientIP func(r *http.Request) string

	// ImportedSecrets lets clients authenticate with secrets that a person or
	// another system chose (HashSecret, ImportSecret), and not only with generated
	// ones. Such a secret takes a slow hash to check, which every caller can make
	// the issuer compute by sending wrong ones. The cost is bounded, not small.
	ImportedSecrets bool

	// FailedAttempts is how many wrong chosen secrets a client may be sent before the
	// answer is 429. Then one is let through per 5 s, for all networks (a /24 of IPv4,
	// a /56 of IPv6) in turn; Retry-After says when a network's turn is. A network may
	// send ten times as many, to whichever clients, then one per 30 s. From an address
	// at which the client has succeeded a right secret always works, unless 10 000
	// wrong ones were sent from there; from the rest of its network it does unless
	// such attempts use up a sixth of FailedAttempts. The 16 latest addresses of a
	// client count. A store that is a registry.NetworkRecorder keeps them; others forget
	// them at a restart. An attempt counts when its secret was compared, whether or not
	// the caller waits for the answer, and whatever that is.
	// Default 30; negative is no limit. Right generated secrets are not limited,
	// unless the client was not seen for an hour and its network has failed as often.
	// Each replica counts for itself.
	FailedAttempts int

	// MaxGrantRate is how many tokens a client may get per second; for a moment it may
	// get twice as many. More are answered 429 with Retry-After, so that one client
	// cannot take all signing. Default 200; negative is no limit. Each replica counts
	// for itself.
	MaxGrantRate int

	// MaxRevocationLag is how long the store's feed may be out of reach before this
	// process refuses to guess: Issuer.Revoked returns an error, a guard answers
	// 503, and so does the token endpoint. What is revoked elsewhere counts here
	// within 2 s while the feed is read, and within MaxRevocationLag at the latest.
	// Default 1 min, at least 2 s; 2 s makes "within 2 s" true without a condition,
	// and an outage of the store one of the APIs at once. A replica that is cut off from
	// the store takes tokens that others have revoked until then: to end them sooner,
	// stop it. With MaxTokenTTL it is at most as long as cut-offs are kept,
	// registry.CutOffLifetime.
	MaxRevocationLag time.Duration

	// TokenPath is the path of the token endpoint below Issuer.
	// Default "/token". The others are /revoke and /introspect.
	TokenPath string

	// OpenIDConfiguration also serves the metadata as /.well-known/openid-configuration,
	// for gateways and libraries that look for an issuer's key set there alone (OpenID
	// Connect Discovery, section 4). Of the members that section 3 of it requires, the
	// document has issuer, token_endpoint, jwks_uri, response_types_supported (empty),
	// subject_types_supported and id_token_signing_alg_values_supported, which names
	// the algorithm of the access tokens: there are no ID tokens. It lacks
	// authorization_endpoint, as nobody logs in here. Default: not served, so that
	// clients which try this address first go on to that of RFC 8414.
	OpenIDConfiguration bool

	// InsecureHTTP accepts an http Issuer beyond loopback: secrets and tokens
	// then cross the network for all to read.
	InsecureHTTP bool

	// Observe is told of every request to the token, revocation and introspection
	// endpoints, of every call of RevokeToken, RevokeClient, RevokeSecret and
	// RevokeAll, and of changes of what happens in the background: see [Event]. It is
	// called before the answer is sent, so it must be quick, and safe for concurrent
	// use. event.Log logs all of it.
	Observe func(ctx context.Context, e Event)

	// Quiet has changes of what happens in the background reported nowhere without
	// Observe. Default: they go to slog.Default().
	Quiet bool
}

// Grant is what a token is about to say. What the program keeps beside a client,
// such as its tenant, is in Client.Metadata.
type Grant struct {
	Client   *registry.Client // read only
	Audience []string         // read only
	Scopes   []string         // read only
}

// Issuer grants tokens. It is safe for concurrent use. [New] makes one: the
// handlers of a zero Issuer answer 500, its other methods return an error.
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
	resources map[string][]string
	claims    func(context.Context, Grant) (map[string]any, error)
	clientIP  func(*http.Request) string // nil: the address of the connection
	observe   func(context.Context, Event)
	notify    func(context.Context, Event) // of the background; nil: nobody
	metadata  []byte
	openID    []byte // the same for OpenID Connect Discovery; nil: not served
	issClaim  []byte // the start of every payload

	mechanisms []mechanism
	secrets    *secretAuth
	grants     *grantLimit // nil: no limit
	proxy      sync.Once   // reports that a proxy's callers cannot be told apart
	feed       *follower
	revoked    *revoked
	ledger     *ledger
	restoring  atomic.Int64 // revocations that are to be written again
	writing    *writing     // revocations of clients
	advice     *advice
	loops      *background

	usesState, networksState condition // of recording them
}

// New returns an issuer. The error names the field that is wrong and what to
// write. What does not fit the clients of the store is no error: an event says so
// soon afterwards (event.Misconfigured), where the store is a registry.Manager.
func New(c Config) (*Issuer, error) {
	c.TokenTTL = cmp.Or(c.TokenTTL, 15*time.Minute)
	c.TokenPath = cmp.Or(c.TokenPath, "/token")
	c.FailedAttempts = cmp.Or(c.FailedAttempts, 30)
	c.MaxGrantRate = cmp.Or(c.MaxGrantRate, 200)
	c.MaxRevocationLag = cmp.Or(c.MaxRevocationLag, time.Minute)
	if err := checkIssuer(c.Issuer, c.InsecureHTTP); err != nil {
		return nil, err
	}
	switch {
	case c.Keys == nil:
		return nil, errors.New(`issuer: Config.Keys is missing: write jwks.Open(ctx, jwks.File("keys.json"), jwks.Policy{})`)
	case c.Store == nil || isNilPointer(c.Store): // the error of what made it was ignored
		return nil, errors.New("issuer: Config.Store is missing: write registry.NewMemory(clients...), or a store that lasts")
	case !strings.HasPrefix(c.TokenPath, "/") || strings.ContainsAny(c.TokenPath, "?#:*% "):
		return nil, fmt.Errorf(`issuer: Config.TokenPath %q: write a path such as "/token"`, c.TokenPath)
	case slices.Contains(pathsOf(c.Issuer, c.TokenPath).others(), pathsOf(c.Issuer, c.TokenPath).token):
		return nil, fmt.Errorf(`issuer: Config.TokenPath %q is another endpoint's: write a path such as "/token"`, c.TokenPath)
	case c.TokenTTL < time.Second || c.TokenTTL%time.Second != 0:
		return nil, fmt.Errorf("issuer: Config.TokenTTL is %v: write whole seconds, at least 1s", c.TokenTTL)
	case c.MaxRevocationLag < 2*time.Second:
		return nil, fmt.Errorf("issuer: Config.MaxRevocationLag is %v: write at least 2s", c.MaxRevocationLag)
	}
	maxTTL, err := longestTTL(c)
	if err != nil {
		return nil, err
	}
	if known := c.MaxRevocationLag + afterExpiry + registry.MaxClockSkew; maxTTL > registry.CutOffLifetime-known {
		return nil, fmt.Errorf("issuer: tokens of up to %v could outlive the cut-offs that are about them, as Config.MaxRevocationLag is %v: write a MaxRevocationLag of at most %v, or a shorter TokenTTL and MaxTokenTTL",
			maxTTL, c.MaxRevocationLag, registry.CutOffLifetime-afterExpiry-registry.MaxClockSkew-maxTTL)
	}
	for audience, scopes := range c.Resources {
		for _, s := range scopes {
			if !registry.ValidScope(s) {
				return nil, fmt.Errorf("issuer: Config.Resources[%q]: %q is not a scope: write printable ASCII without space, quote and backslash", audience, s)
			}
		}
	}
	lookups := newLookups()
	i := &Issuer{
		url: c.Issuer, at: pathsOf(c.Issuer, c.TokenPath), tokenPath: c.TokenPath, keys: c.Keys, store: c.Store, uses: newUses(c.Store),
		ttl: c.TokenTTL, maxTTL: maxTTL, resources: maps.Clone(c.Resources), claims: c.Claims, clientIP: c.ClientIP, observe: c.Observe, notify: event.Background(c.Observe, c.Quiet),
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
	i.mechanisms = []mechanism{basicAuth{i.secrets}, postAuth{i.secrets}, assertionAuth{}}
	i.revoked, i.ledger, i.feed = newRevoked(maxTTL), newLedger(), newFollower(c.Store, c.MaxRevocationLag, i.apply, i.reportState)
	i.ledger.longest, i.feed.taken = i.revoked.longest, i.revoked.dropCovered
	i.feed.setBack, i.feed.restored = i.ledger.setBack, i.feedRestored
	i.advice = newAdvice(fitted{i.resources, maxTTL, c.ImportedSecrets}, i.reportFault)
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

// Close stops what the issuer does in the background, which begins at its first
// use: following the store's revocations, and writing when secrets were used.
// Revoked returns an error soon after. It may be called more than once. The
// keyring and the store stay the caller's to close.
func (i *Issuer) Close() error {
	if !i.made() {
		return errNotMade
	}
	i.loops.close()
	i.feed.close()
	_ = i.uses.flush(context.Background()) // what cannot be written now is lost
	i.secrets.lockout.flush(context.Background())
	return nil
}

// longestTTL returns the MaxTokenTTL in force.
func longestTTL(c Config) (time.Duration, error) {
	limit := c.MaxTokenTTL
	if limit == 0 {
		limit = max(time.Hour, c.TokenTTL)
	}
	if limit > registry.MaxTokenLifetime {
		return 0, fmt.Errorf("issuer: Config.TokenTTL or MaxTokenTTL is %v: write at most %v, as no cut-off is kept for longer", limit, registry.MaxTokenLifetime)
	}
	if limit < c.TokenTTL {
		return 0, fmt.Errorf("issuer: Config.MaxTokenTTL is %v: write at least TokenTTL = %v", limit, c.TokenTTL)
	}
	policy := c.Keys.Policy()
	if policy.Retain == 0 {
		return limit, nil // static keys: the caller decides how long they are kept
	}
	covered := (policy.Retain - policy.Skew).Truncate(time.Second)
	switch {
	case limit <= covered:
		return limit, nil
	case c.MaxTokenTTL == 0 && c.TokenTTL <= covered:
		return covered, nil
	}
	return 0, fmt.Errorf("issuer: tokens of up to %v would outlive their keys: write jwks.Policy.Retain of at least %v, or a shorter Config.TokenTTL and MaxTokenTTL", limit, limit+policy.Skew)
}

func checkIssuer(issuer string, insecure bool) error {
	u, err := url.Parse(issuer)
	switch {
	case issuer == "":
		return errors.New(`issuer: Config.Issuer is missing: write the public URL of this issuer, such as "https://auth.example.com"`)
	case err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsAny(issuer, "?#"):
		return fmt.Errorf("issuer: Config.Issuer %q: write an https URL without user, query and fragment (RFC 8414, section 2)", issuer)
	case strings.ContainsFunc(u.Hostname(), func(r rune) bool { return r > '~' }):
		return fmt.Errorf("issuer: Config.Issuer %q: write the host in its ASCII form (xn--…, RFC 5890)", issuer)
	case u.String() != issuer && checkIssuer(u.String(), insecure) == nil:
		return fmt.Errorf("issuer: Config.Issuer %q: write it as verifiers will compare it, such as %q", issuer, u)
	case u.String() != issuer:
		return checkIssuer(u.String(), insecure) // which says what else is wrong
	case strings.ContainsAny(u.Path, ":*"): // Echo would take them for patterns
		return fmt.Errorf("issuer: Config.Issuer %q: write a path without : and *", issuer)
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && (insecure || isLoopback(u.Hostname())):
		return nil
	}
	return fmt.Errorf("issuer: Config.Issuer %q: write https; http is for loopback only, unless InsecureHTTP is set", issuer)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

func isNilPointer(v any) bool {
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Pointer && r.IsNil()
}

// pathOf returns the path of a URL that checkIssuer has accepted, as it is
// written.
func pathOf(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return cmp.Or(u.RawPath, u.Path)
}
