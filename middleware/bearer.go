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
	"time"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
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
	// Issuer is who must have issued the token: its iss, compared byte for byte
	// (RFC 9068, section 4), so a trailing slash counts. Required.
	Issuer string

	// Audience is this resource server's name: it must be among the token's aud
	// (RFC 9068, section 4). Required. The token may name other audiences too.
	Audience string

	// Audiences are several such names, instead of Audience, for an API whose
	// identifier changes: a token for any of them is let in. Take the old name out
	// when its last token has expired. [Token.Audience] says which a token is for.
	Audiences []string

	// Keys finds the issuer's public keys: the issuer's own *jwks.Keyring in the
	// same process, a *jwks.Remote, or pinned keys of jwks.NewFixed. Nil finds them
	// over HTTPS through the issuer's metadata (RFC 8414), at the first request;
	// then call [Bearer.Close] when done.
	Keys jwks.Source

	// Revoked says whether a token, or its client since before issuedAt, has been
	// revoked. It is called last, for tokens valid in all else, and at every
	// request. An error means "cannot tell" and is answered 503. Nil revokes
	// nothing: a token is then valid until it expires. It must be safe for
	// concurrent use. Set it or Introspection, not both.
	Revoked func(ctx context.Context, jti, clientID string, issuedAt time.Time) (bool, error)

	// Introspection asks the issuer over HTTP whether a token is still active
	// (RFC 7662), for an API that does not share the issuer's process. As with
	// Revoked, the token has been verified by then, and an issuer that cannot be
	// reached is answered 503. Nil asks nobody. [Bearer.Close] ends its requests.
	Introspection *Introspection

	// CacheSize is how many verified tokens are cached. A token is cached on its
	// second use, and from its third use skips the signature check; all that can
	// change is checked at every request. One client takes a quarter of the cache
	// at most. A token used within the last minute keeps its slot; when all are,
	// others are verified at each request. Default 10 000, at most 10 000 000;
	// negative turns the cache off.
	//
	// A cached token takes about 300 B and its length, 800 B for a common one, and
	// never more than 10 KiB: tokens longer than 4 KiB, or for more than 8
	// audiences, are not cached. New allocates 26 B for each.
	CacheSize int

	// Leeway is how far this clock and the issuer's may differ, applied to exp,
	// nbf and iat. Default 30 s, at most 5 min; for none write time.Nanosecond.
	Leeway time.Duration

	// Realm is the realm of the challenge (RFC 9110, section 11.5), printable
	// ASCII. Default "api" where the challenge has nothing else to say, else none.
	Realm string

	// MaxTokenBytes bounds the length of a token, with any further spaces before
	// it; a longer one is refused unread. Default 16 KiB.
	MaxTokenBytes int

	// ClientIP returns where a request comes from: an IP address, with or without a
	// port. When tokens name keys that Keys does not know, those of one network wait for
	// at most 8 of the 64 places of a jwks.Remote, so that forged ones leave room for a
	// new key's. Behind a proxy, return the address that your proxy vouches for, never a
	// header that any caller can write. Default: the address of the connection; under
	// Echo, its IPExtractor where the app has one. With neither, the bound per network
	// does not apply to a request with X-Forwarded-For, X-Real-IP or Forwarded, as all
	// that a proxy sends on would be one network; an event (event.ProxyUnknown) says so
	// once.
	ClientIP func(r *http.Request) string

	// Observe hears of every request once, in the request's goroutine: keep it
	// quick. A refusal is reported before it is answered. A request that is let in
	// is reported when its handler has returned, for until then a guard further in
	// may refuse it. Guards of two Bearers report one event each, and so does a Handler
	// behind a Require. It also hears of event.OpConfig (see ClientIP). To hear of the
	// fetches of keys, write Keys: jwks.NewIssuerRemote(issuer, jwks.RemoteConfig{Observe: …}).
	// It must be safe for concurrent use. Default none.
	Observe func(ctx context.Context, e Event)

	// Quiet turns the log off. Without Observe, changes of what a Bearer depends on go
	// to [slog.Default]: introspection that begins to fail or succeeds again, the keys
	// that it fetches if Keys is nil, and a proxy that makes callers one network.
	Quiet bool
}

// Bearer checks access tokens for one audience. It is made by [New], caches
// verified tokens, and is safe for concurrent use. A nil or zero Bearer lets nobody
// in: its guards answer 500.
type Bearer struct {
	issuer        string
	keys          jwks.Source
	audiences     []string // at least one
	revoked       func(ctx context.Context, jti, clientID string, issuedAt time.Time) (bool, error)
	introspector  *introspector
	cache         *recent.Table[verified]
	leeway        time.Duration
	realm         string
	invalid       string // the challenge for every invalid token
	maxTokenBytes int
	clientIP      func(r *http.Request) string
	observe       func(ctx context.Context, e Event)
	background    func(ctx context.Context, e Event) // nil: nobody wants to know
	proxy         sync.Once                          // of the event that there is one
	keysFailed    outcome
	revokedFailed outcome
	closeKeys     func() error
	routes        routeIndex // of the Echo apps that it guards
	hits, misses  counter    // of the cache
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
		realm:         c.Realm,
		maxTokenBytes: cmp.Or(c.MaxTokenBytes, defaultMaxTokenBytes),
		clientIP:      c.ClientIP,
		observe:       c.Observe,
		background:    event.Background(c.Observe, c.Quiet),
		closeKeys:     func() error { return nil },
	}
	if len(c.Audiences) == 0 {
		b.audiences = []string{c.Audience}
	}
	if err := b.validate(&c); err != nil {
		return nil, err
	}
	b.invalid = challenge(b.realm, invalidToken("", nil))
	if size := cmp.Or(c.CacheSize, defaultCacheSize); size > 0 {
		b.cache = recent.New[verified](size)
	}
	if c.Introspection != nil {
		i, err := newIntrospector(*c.Introspection)
		if err != nil {
			return nil, err
		}
		if c.Observe == nil { // an observer hears of it by the requests
			i.report = b.background
		}
		b.introspector = i
	}
	if b.keys == nil {
		remote := jwks.NewIssuerRemote(b.issuer, jwks.RemoteConfig{Quiet: c.Quiet || c.Observe != nil})
		if err := remote.Status().LastError; err != nil { // nothing has been fetched: the issuer is no URL to ask
			return nil, fmt.Errorf("middleware: Config.Keys is nil and Config.Issuer cannot be asked for them (for http beyond loopback write Keys: jwks.NewIssuerRemote(issuer, jwks.RemoteConfig{InsecureHTTP: true})): %w", err)
		}
		b.keys, b.closeKeys = remote, remote.Close
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
	case len(c.Audiences) == 0 && c.Audience == "":
		return errors.New(`middleware: Config.Audience is empty: write this API's identifier, such as "https://api.example.com"`)
	case slices.Contains(b.audiences, ""):
		return errors.New("middleware: Config.Audiences holds an empty name: leave it out")
	case slices.ContainsFunc(b.audiences, func(a string) bool { return strings.TrimSpace(a) != a }):
		return fmt.Errorf("middleware: Config.Audience %q has white space around it: it is compared byte for byte", b.audiences)
	case b.leeway < 0 || b.leeway > maxLeeway:
		return fmt.Errorf("middleware: Config.Leeway is %v: write a time between 0 (for %v) and %v", b.leeway, defaultLeeway, maxLeeway)
	case c.CacheSize > maxCacheSize:
		return fmt.Errorf("middleware: Config.CacheSize is %d: write up to %d, or a negative number for none", c.CacheSize, maxCacheSize)
	case c.Revoked != nil && c.Introspection != nil:
		return errors.New("middleware: Config.Revoked and Config.Introspection are both set: write one of them")
	case b.maxTokenBytes < 0:
		return fmt.Errorf("middleware: Config.MaxTokenBytes is %d: write a number of bytes, or 0 for %d", b.maxTokenBytes, defaultMaxTokenBytes)
	case !printable(b.realm):
		return fmt.Errorf("middleware: Config.Realm %q: write printable ASCII", b.realm)
	case isNilPointer(b.keys):
		// The error of jwks.Open was ignored; found now and not at each request.
		return fmt.Errorf("middleware: Config.Keys is a nil %T: check the error of what made it", b.keys)
	}
	return nil
}

// Close stops what New started: the key fetcher it made when Config.Keys was nil,
// and introspection. Keys the caller brought stay the caller's. It may be called
// more than once; requests after it are answered 503 once either is needed.
func (b *Bearer) Close() error {
	if !b.usable() {
		return nil
	}
	if b.introspector != nil {
		b.introspector.close()
	}
	return b.closeKeys()
}

// usable tells a Bearer made by New from a nil one and from a zero value.
func (b *Bearer) usable() bool { return b != nil && b.keys != nil }

func isNilPointer(v any) bool {
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Pointer && r.IsNil()
}
