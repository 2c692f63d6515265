package middleware

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks"
)

const (
	defaultLeeway        = 30 * time.Second
	maxLeeway            = 5 * time.Minute
	defaultMaxTokenBytes = 16 << 10
	defaultMaxVerdicts   = 10_000
	mostVerdicts         = 10_000_000
)

// Config says whose tokens are good here. Issuer and Audience are required; the
// zero value of everything else is the safe default.
type Config struct {
	// Issuer is who must have issued the token: its iss, compared byte for byte
	// (RFC 9068 §4), so a trailing slash counts. Required.
	Issuer string

	// Audience is this resource server's name: it must be among the token's aud
	// (RFC 9068 §4). Required. Other audiences may stand beside it.
	Audience string

	// Keys finds the issuer's public keys: the issuer's own *jwks.Keyring in the
	// same process, or a *jwks.Remote. Nil finds them over HTTPS through the
	// issuer's metadata (RFC 8414), at the first request; then call
	// [Bearer.Close] when done.
	Keys jwks.Source

	// Revoked says whether a token, or its client since before issuedAt, has been
	// revoked. It is asked last, about tokens valid in all else, and at every
	// request. An error means "cannot tell" and is answered 503. Nil revokes
	// nothing: a token is then good until it expires. It must be safe for
	// concurrent use.
	Revoked func(ctx context.Context, jti, clientID string, issuedAt time.Time) (bool, error)

	// MaxVerdicts is about how many verified tokens are remembered, so that one
	// that goes on coming costs no signature check: from the third time on, for
	// what comes once is not worth a place. What can change is checked at every
	// request all the same. One client takes a quarter of the places at the most. A
	// token that has come within a minute keeps its place; when all do, others are
	// verified at each request. Expired ones go as others come.
	//
	// A place takes some 300 B and the token's length, 800 B for a common token,
	// and never more than 10 KiB: tokens longer than 4 KiB, or for more than 8
	// audiences, are not remembered. Some 20 B of each are taken by New. Default
	// 10 000, at most 10 000 000; negative remembers none.
	MaxVerdicts int

	// Leeway is how far this clock and the issuer's may differ, applied to exp,
	// nbf and iat. Default 30 s, at most 5 min; for none write time.Nanosecond.
	Leeway time.Duration

	// Realm is the realm of the challenge (RFC 9110 §11.5), printable ASCII.
	// Default "api" where the challenge has nothing else to say, else none.
	Realm string

	// MaxTokenBytes bounds the length of a token, with any further spaces before
	// it; a longer one is refused unread. Default 16 KiB.
	MaxTokenBytes int

	// Skipper, when it returns true, calls the next handler with no check at all
	// and no token. Default never. Decide by c.Path(), the route: the raw path of
	// a request has many spellings.
	Skipper Skipper

	// ErrorHandler turns a refusal into what the middleware returns. Headers are
	// set by then. The handler behind is not called even if it returns nil; if
	// it has not answered either, the refusal itself is returned.
	// Default: the refusal itself, an *echo.HTTPError around an *[Error].
	ErrorHandler ErrorHandler

	// ContextKey is a name under which c.Get finds a *[Token], one for all handlers
	// of a request, there also when its scopes were refused. Default none:
	// [TokenFrom] makes one when a handler asks for it.
	ContextKey string

	// Observe hears of every decision, in the request's goroutine: keep it quick.
	// It must be safe for concurrent use. Default none.
	Observe func(ctx context.Context, event Event)
}

// Bearer checks access tokens for one audience. It is made by [New], remembers tokens,
// and safe for concurrent use. A nil or zero Bearer lets nobody in: its
// middleware answers 500.
type Bearer struct {
	issuer        string
	audience      string
	keys          jwks.Source
	audiences     []string // audience alone, as most tokens have it
	revoked       func(ctx context.Context, jti, clientID string, issuedAt time.Time) (bool, error)
	verdicts      *verdicts
	leeway        time.Duration
	realm         string
	invalid       string // the challenge for every invalid token
	maxTokenBytes int
	skipper       Skipper
	errorHandler  ErrorHandler
	contextKey    string
	observe       func(ctx context.Context, event Event)
	closeKeys     func() error
}

// New checks the configuration and copies it. It makes no request. The error
// names the field at fault and what to write there.
func New(c Config) (*Bearer, error) {
	b := &Bearer{
		issuer:        c.Issuer,
		audience:      c.Audience,
		audiences:     []string{c.Audience},
		keys:          c.Keys,
		revoked:       c.Revoked,
		leeway:        cmp.Or(c.Leeway, defaultLeeway),
		realm:         c.Realm,
		maxTokenBytes: cmp.Or(c.MaxTokenBytes, defaultMaxTokenBytes),
		skipper:       c.Skipper,
		errorHandler:  c.ErrorHandler,
		contextKey:    c.ContextKey,
		observe:       c.Observe,
		closeKeys:     func() error { return nil },
	}
	if err := b.validate(&c); err != nil {
		return nil, err
	}
	b.invalid = challenge(b.realm, invalidToken(nil))
	if limit := cmp.Or(c.MaxVerdicts, defaultMaxVerdicts); limit > 0 {
		b.verdicts = newVerdicts(limit)
	}
	if b.keys == nil {
		remote := jwks.Discover(b.issuer, jwks.RemoteConfig{})
		if err := remote.Status().LastError; err != nil { // nothing has been fetched: the issuer is no URL to ask
			return nil, fmt.Errorf("middleware: Config.Keys is nil and Config.Issuer cannot be asked for them (for http beyond loopback write Keys: jwks.Discover(issuer, jwks.RemoteConfig{InsecureHTTP: true})): %w", err)
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
	case b.audience == "":
		return errors.New(`middleware: Config.Audience is empty: write this API's identifier, such as "https://api.example.com"`)
	case strings.TrimSpace(b.audience) != b.audience:
		return fmt.Errorf("middleware: Config.Audience %q has white space around it: it is compared byte for byte", b.audience)
	case b.leeway < 0 || b.leeway > maxLeeway:
		return fmt.Errorf("middleware: Config.Leeway is %v: write a time between 0 (for %v) and %v", b.leeway, defaultLeeway, maxLeeway)
	case c.MaxVerdicts > mostVerdicts:
		return fmt.Errorf("middleware: Config.MaxVerdicts is %d: write up to %d, or a negative number for none", c.MaxVerdicts, mostVerdicts)
	case b.maxTokenBytes < 0:
		return fmt.Errorf("middleware: Config.MaxTokenBytes is %d: write a number of bytes, or 0 for %d", b.maxTokenBytes, defaultMaxTokenBytes)
	case !printable(b.realm):
		return fmt.Errorf("middleware: Config.Realm %q: write printable ASCII", b.realm)
	case b.contextKey == verdictKey:
		return fmt.Errorf("middleware: Config.ContextKey %q is the package's own: write another", b.contextKey)
	case isNilPointer(b.keys):
		// The error of jwks.Open was ignored; found now and not at each request.
		return fmt.Errorf("middleware: Config.Keys is a nil %T: check the error of what made it", b.keys)
	}
	return nil
}

// Close stops what New started: the key fetcher it made when Config.Keys was
// nil. Keys the caller brought stay the caller's. It may be called more than
// once; requests after it are answered 503 once keys are needed.
func (b *Bearer) Close() error {
	if !b.usable() {
		return nil
	}
	return b.closeKeys()
}

// usable tells a Bearer made by New from a nil one and from a zero value.
func (b *Bearer) usable() bool { return b != nil && b.keys != nil }

func isNilPointer(v any) bool {
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Pointer && r.IsNil()
}
