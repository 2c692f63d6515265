package middleware

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/profile"
	"github.com/echo-m2m/m2m/middleware/internal/recent"
)

const (
	defaultLeeway        = 30 * time.Second
	maxLeeway            = 5 * time.Minute
	defaultMaxTokenBytes = 16 << 10
	defaultCacheSize     = 10_000
	maxCacheSize         = 10_000_000
)

// Config says whose tokens are valid here. Issuer and Audience (or Audiences) are
// required; the zero value of everything else is the safe default.
type Config struct {
	// Issuer is the issuer of the tokens: their iss, compared byte for byte
	// (RFC 9068, section 4), so a trailing slash counts. Required.
	Issuer string

	// Audience is this resource server's name: it must be among the token's aud
	// (RFC 9068, section 4). Required. The token may name other audiences too.
	Audience string

	// Audiences are several such names, instead of Audience, for an API whose
	// identifier changes: a token for any of them is valid. Remove the old name when
	// its last token has expired. [Token.Audience] says which a token is for.
	Audiences []string

	// Profile says how the tokens of an issuer that does not follow RFC 9068 are read:
	// which claims are read instead, and what is not checked. Package profile has ready
	// ones, such as profile.Keycloak. With [profile.Profile].Issuer, Issuer may be empty. A
	// profile that does without aud needs no Audience. One that is Public needs Require.
	// Default: RFC 9068.
	//
	// If the profile accepts tokens without an id or without iat, Revoked gets "" as their
	// jti and the zero time, and [Token] has the same: of such a token its client alone can
	// be revoked.
	Profile *profile.Profile

	// Keys finds the issuer's public keys: the issuer's own *jwks.Keyring in the
	// same process, a *jwks.Remote, or pinned keys of jwks.NewFixed. Nil finds them
	// over HTTPS through the issuer's metadata (RFC 8414), at the first request;
	// then call [Bearer.Close] when done.
	Keys jwks.Source

	// Revoked reports whether a token is revoked, on its own or by a cut-off of its
	// client after issuedAt. It is called last, at every request whose token is
	// valid otherwise. An error is answered 503. It must be safe for concurrent use.
	// Default: no token is revoked, and each is valid until it expires. Set Revoked or
	// Introspection, not both.
	Revoked func(ctx context.Context, jti, clientID string, issuedAt time.Time) (bool, error)

	// Introspection asks the issuer over HTTP whether a token is still active
	// (RFC 7662), for an API that does not share the issuer's process. As with
	// Revoked, it is asked last. If the issuer cannot be reached, the answer is 503.
	// Default: no issuer is asked. [Bearer.Close] ends its requests.
	Introspection *Introspection

	// DPoP accepts tokens that are bound to a key of the client, with their proofs
	// (RFC 9449). Default: such tokens are refused.
	DPoP *DPoP

	// ClientCertificates accepts tokens that are bound to a certificate of the client
	// (RFC 8705). Default: such tokens are refused.
	ClientCertificates *ClientCertificates

	// RequireBound refuses tokens that are bound to nothing, on all routes. For some
	// routes see [Bearer.RequireBound] and [Bearer.HandlerBound]. It needs DPoP or
	// ClientCertificates.
	RequireBound bool

	// CacheSize is how many verified tokens are cached. A token is cached on its
	// second use, and from its third use skips the signature check. Whatever can
	// change is checked at every request. One client takes a quarter of the cache
	// at most. A token used within the last minute keeps its slot. When all slots are
	// taken so, further tokens are verified at each request. Default 10 000, at most
	// 10 000 000. A negative number turns the cache off.
	//
	// A cached token takes about 300 B and its length, 800 B for a common one, and
	// never more than 10 KiB: tokens longer than 4 KiB, or for more than 8
	// audiences, are not cached. New allocates 26 B for each.
	CacheSize int

	// Leeway is how far this clock and the issuer's may differ, applied to exp,
	// nbf and iat. Default 30 s, at most 5 min; for none write time.Nanosecond.
	Leeway time.Duration

	// Realm is the realm of the challenge (RFC 9110, section 11.5), printable
	// ASCII. Default: realm="api" when no token was sent; left out when the challenge
	// carries an error.
	Realm string

	// Resource publishes metadata about this API (RFC 9728), which tell a client where to
	// get tokens. Every challenge then names their URL. [Bearer.ResourceMetadata] serves
	// them. Default: there are none.
	Resource *Resource

	// MaxTokenBytes bounds the length of a token, with any further spaces before
	// it; a longer one is refused unread. Default 16 KiB.
	MaxTokenBytes int

	// ClientIP returns where a request comes from: an IP address, with or without a
	// port. Its network counts ([fetch.NetworkOf]): tokens that name keys unknown to
	// Keys take at most 8 of the 64 slots of a jwks.Remote per network, so forged tokens
	// leave slots for a new key. Behind a proxy, return the address that your proxy
	// vouches for, never a header that any caller can write.
	//
	// Default: Echo's IPExtractor if the app has set one, else the address of the
	// connection. The bound per network is off for a request whose address is not known:
	// ClientIP returned no IP address, or there is no ClientIP and the request has
	// X-Forwarded-For, X-Real-IP or Forwarded, because all callers behind a proxy would be
	// one network. An event with event.ProxyUnknown reports that once.
	ClientIP func(r *http.Request) string

	// Observe is called once for every request, in the request's goroutine, so it must
	// be quick and safe for concurrent use. A refusal is reported before it is answered.
	// A request that is let in is reported when its handler has returned, because a
	// guard further in may still refuse it. Guards of two Bearers report one event each,
	// and so does a Handler behind a Require. Observe also gets event.OpConfig (see
	// ClientIP) and, if Keys is nil, event.OpFetch for each fetch of the keys, in the
	// goroutine of the fetch. Default none.
	Observe func(ctx context.Context, e Event)

	// Quiet turns the log off. Without Observe, these changes are logged to
	// [slog.Default]: introspection begins to fail or succeeds again, the keys that
	// are fetched if Keys is nil cannot be fetched, the address of callers is not known.
	Quiet bool
}

// Bearer checks access tokens for one audience. [New] makes it, for one issuer; [Any] and
// [AnyTenant] make one of several. It caches verified
// tokens and is safe for concurrent use. The guards of a nil or zero Bearer answer 500.
type Bearer struct {
	issuer        string
	profile       *profile.Profile // nil: RFC 9068
	keys          jwks.Source
	audiences     []string // at least one
	revoked       func(ctx context.Context, jti, clientID string, issuedAt time.Time) (bool, error)
	introspector  *introspector
	dpop          *proofs             // nil: off
	certificates  *ClientCertificates // nil: off
	requireBound  bool
	cache         *recent.Table[verified]
	leeway        time.Duration
	resource      *Resource // nil: no metadata
	hint          hint      // in every challenge
	invalid       string    // the challenge for every invalid token
	maxTokenBytes int
	clientIP      func(r *http.Request) string
	observe       func(ctx context.Context, e Event)
	background    func(ctx context.Context, e Event) // nil: not observed
	proxy         sync.Once                          // of the event that callers are not known
	keysFailed    outcome
	revokedFailed outcome
	replaysFailed outcome
	remote        *jwks.Remote            // made by New; nil with Config.Keys
	routes        routeIndex              // of the Echo apps that it guards
	hits, misses  counter                 // of the cache
	members       *members                // of Any and AnyTenant; nil: the Bearer is for one issuer
	owner         atomic.Pointer[tenants] // whose Bearer func has made it
}

// New checks the configuration and copies it. It makes no request. The error
// names the field at fault and what to write there.
func New(c Config) (*Bearer, error) {
	b := &Bearer{
		issuer:        c.Issuer,
		audiences:     slices.Clone(c.Audiences),
		keys:          c.Keys,
		revoked:       c.Revoked,
		leeway:        cmp.Or(c.Leeway, defaultLeeway),
		requireBound:  c.RequireBound,
		maxTokenBytes: cmp.Or(c.MaxTokenBytes, defaultMaxTokenBytes),
		clientIP:      c.ClientIP,
		observe:       c.Observe,
		background:    event.Background(c.Observe, c.Quiet),
	}
	if len(c.Audiences) == 0 && c.Audience != "" {
		b.audiences = []string{c.Audience}
	}
	if err := b.follow(c.Profile); err != nil {
		return nil, err
	}
	if err := b.validate(&c); err != nil {
		return nil, err
	}
	if c.Resource != nil {
		own, err := newResource(*c.Resource, b.audiences)
		if err != nil {
			return nil, err
		}
		b.resource, b.hint.metadata = own, own.metadataURL()
	}
	b.hint.realm = c.Realm
	b.invalid = b.hint.challenge(schemeBearer, "", invalidToken("", nil))
	if c.DPoP != nil {
		p, err := newProofs(*c.DPoP)
		if err != nil {
			return nil, err
		}
		b.dpop = p
	}
	if c.ClientCertificates != nil {
		b.certificates = &ClientCertificates{TrustedProxies: slices.Clone(c.ClientCertificates.TrustedProxies)}
		if err := b.certificates.validate(); err != nil {
			return nil, err
		}
	}
	if size := cmp.Or(c.CacheSize, defaultCacheSize); size > 0 {
		b.cache = recent.New[verified](size)
	}
	if c.Introspection != nil {
		i, err := newIntrospector(*c.Introspection)
		if err != nil {
			return nil, err
		}
		if c.Observe == nil { // an observer gets the failure with each request
			i.report = b.background
		}
		b.introspector = i
	}
	if b.keys == nil {
		remote := jwks.NewIssuerRemote(b.issuer, jwks.RemoteConfig{Observe: c.Observe, Quiet: c.Quiet})
		if err := remote.Status().LastError; err != nil { // nothing has been fetched: the issuer is no URL to ask
			return nil, fmt.Errorf("middleware: Config.Keys is nil and Config.Issuer cannot be asked for them (for http beyond loopback write Keys: jwks.NewIssuerRemote(issuer, jwks.RemoteConfig{InsecureHTTP: true})): %w", err)
		}
		b.keys, b.remote = remote, remote
	}
	return b, nil
}

func (b *Bearer) validate(c *Config) error {
	switch {
	case b.issuer == "":
		return errors.New(`middleware: Config.Issuer is empty: write the issuer's identifier, such as "https://auth.example.com"`)
	case strings.TrimSpace(b.issuer) != b.issuer:
		return fmt.Errorf("middleware: Config.Issuer %q has white space around it: it is compared byte for byte", b.issuer)
	case c.Audience != "" && len(c.Audiences) > 0:
		return errors.New("middleware: Config.Audience and Config.Audiences are both set: write all names into Audiences")
	case len(b.audiences) == 0 && !b.withoutAudience():
		return errors.New(`middleware: Config.Audience is empty: write this API's identifier, such as "https://api.example.com"`)
	case slices.Contains(b.audiences, ""):
		return errors.New("middleware: Config.Audiences holds an empty name: leave it out")
	case slices.ContainsFunc(b.audiences, func(a string) bool { return strings.TrimSpace(a) != a }):
		return fmt.Errorf("middleware: Config.Audience %q has white space around it: it is compared byte for byte", b.audiences)
	case b.leeway < 0 || b.leeway > maxLeeway:
		return fmt.Errorf("middleware: Config.Leeway is %v: write a time between 0 (for %v) and %v", b.leeway, defaultLeeway, maxLeeway)
	case c.CacheSize > maxCacheSize:
		return fmt.Errorf("middleware: Config.CacheSize is %d: write up to %d, or a negative number for none", c.CacheSize, maxCacheSize)
	case c.RequireBound && c.DPoP == nil && c.ClientCertificates == nil:
		return errors.New("middleware: Config.RequireBound is set, and nothing checks what a token is bound to: set Config.DPoP or Config.ClientCertificates")
	case c.Revoked != nil && c.Introspection != nil:
		return errors.New("middleware: Config.Revoked and Config.Introspection are both set: write one of them")
	case b.maxTokenBytes < 0:
		return fmt.Errorf("middleware: Config.MaxTokenBytes is %d: write a number of bytes, or 0 for %d", b.maxTokenBytes, defaultMaxTokenBytes)
	case !printable(c.Realm):
		return fmt.Errorf("middleware: Config.Realm %q: write printable ASCII", c.Realm)
	case isNilPointer(b.keys):
		// The error of jwks.Open was ignored; found now and not at each request.
		return fmt.Errorf("middleware: Config.Keys is a nil %T: check the error of what made it", b.keys)
	}
	return nil
}

// Close stops what New started: the key fetcher it made when Config.Keys was nil,
// and introspection. It leaves Config.Keys alone. Of a Bearer of several issuers it closes
// those of all. It may be called more
// than once. Requests after it are answered 503 if they need either.
func (b *Bearer) Close() error {
	if !b.usable() {
		return nil
	}
	if b.members != nil {
		return b.members.close()
	}
	if b.introspector != nil {
		b.introspector.close()
	}
	if b.remote == nil {
		return nil
	}
	return b.remote.Close()
}

// usable reports whether New, Any or AnyTenant made the Bearer: it is neither nil nor the zero value.
func (b *Bearer) usable() bool { return b != nil && (b.keys != nil || b.members != nil) }

// requiresBound reports whether all guards accept bound tokens only.
func (b *Bearer) requiresBound() bool { return b != nil && b.requireBound }

// fault returns why a guard cannot serve; nil if it can. The app may have ignored the error
// of New.
func (b *Bearer) fault(mustBind bool) error {
	switch {
	case !b.usable():
		return errUnusable
	case mustBind && b.dpop == nil && b.certificates == nil && (b.members == nil || b.members.tenants == nil):
		return errNoBound
	}
	return nil
}

func isNilPointer(v any) bool {
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Pointer && r.IsNil()
}
