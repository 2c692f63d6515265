package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
	bearer "github.com/echo-m2m/m2m/middleware"
	"github.com/echo-m2m/m2m/middleware/internal/recent"
)

const (
	defaultInternalLifetime = time.Minute
	minInternalLifetime     = 10 * time.Second
	maxInternalLifetime     = 10 * time.Minute
	defaultInternalCache    = 10_000
	maxInternalCache        = 1_000_000
	internalType            = "at+jwt" // RFC 9068, section 2.1
)

// Internal signs a token of the gateway's own for the upstream, which says who called. The
// upstream verifies it as it would verify any other:
//
//	bearer.New(bearer.Config{Issuer: "https://gateway.internal", Audience: "https://orders.internal",
//		Keys: jwks.NewRemote("https://gateway.internal/.well-known/jwks.json", jwks.RemoteConfig{})})
//
// It has the form of RFC 9068. client_id, sub and scope are those of the caller's token,
// token_issuer is its iss, and token_id its jti. Clients of two issuers may have the same
// client_id, so an upstream that is called for several issuers compares token_issuer too.
type Internal struct {
	// Keys signs the tokens. It is also the handler of the key set: mount it where
	// upstreams fetch it, such as /.well-known/jwks.json. Required. Use a keyring of the
	// gateway's own, not that of an issuer.
	Keys *jwks.Keyring

	// Issuer is the iss of the tokens, such as the URL of the gateway. Required.
	Issuer string

	// Audience is the aud: the upstreams behind this Forwarder. Required. An upstream with
	// an audience of its own cannot use the tokens that it gets at another one.
	Audience string

	// Lifetime is how long a token lives. It ends with the caller's token at the latest.
	// Default 1 min, 10 s to 10 min. A token is sent for half of it.
	Lifetime time.Duration

	// Claims names further claims of the caller's token, which the internal one gets as
	// they are. Default none.
	Claims []string

	// CacheSize is how many tokens are cached, one for each token of a caller. As with the
	// guard, a token is cached on its second use, and not if it is very long. Default 10 000, at most 1 000 000. A
	// negative number turns the cache off.
	CacheSize int
}

// reservedClaims are set by the gateway, or mean something to the upstream that verifies the token.
var reservedClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "cnf", "token_issuer", "token_id"}

type internalTokens struct {
	keys             *jwks.Keyring
	issuer, audience []byte // JSON
	lifetime         time.Duration
	claims           []string
	cache            *recent.Table[internalToken] // by what a token says of the caller
	signing          singleflight.Group
}

type internalToken struct {
	token string
	key   *jose.Key // that signed it
	renew time.Time // when it is sent no more
}

func newInternalTokens(c Internal) (*internalTokens, error) {
	lifetime := cmp.Or(c.Lifetime, defaultInternalLifetime)
	switch {
	case c.Keys == nil:
		return nil, errors.New("gateway: Internal.Keys is nil: write the keyring of jwks.Open")
	case c.Issuer == "":
		return nil, errors.New(`gateway: Internal.Issuer is empty: write a name for the gateway, such as "https://gateway.internal"`)
	case c.Audience == "":
		return nil, errors.New(`gateway: Internal.Audience is empty: write the name of the upstream, such as "https://orders.internal"`)
	case lifetime < minInternalLifetime || lifetime > maxInternalLifetime:
		return nil, fmt.Errorf("gateway: Internal.Lifetime is %v: write %v to %v, or 0 for %v", c.Lifetime, minInternalLifetime, maxInternalLifetime, defaultInternalLifetime)
	case c.CacheSize > maxInternalCache:
		return nil, fmt.Errorf("gateway: Internal.CacheSize is %d: write up to %d, or a negative number for none", c.CacheSize, maxInternalCache)
	}
	// A token has to be verifiable for as long as it lives.
	if retain := c.Keys.Policy().Retain; retain > 0 && retain < lifetime {
		return nil, fmt.Errorf("gateway: Internal.Lifetime is %v, and the keyring retains a key for %v: write at most that", lifetime, retain)
	}
	i := &internalTokens{keys: c.Keys, lifetime: lifetime, cache: recent.New[internalToken](cmp.Or(c.CacheSize, defaultInternalCache))}
	i.claims = slices.Compact(slices.Sorted(slices.Values(c.Claims)))
	for _, name := range i.claims {
		if name == "" || slices.Contains(reservedClaims, name) {
			return nil, fmt.Errorf("gateway: Internal.Claims has %q, which the gateway sets itself, or which cannot be passed on: remove it", name)
		}
	}
	var err error
	if i.issuer, err = json.Marshal(c.Issuer); err != nil {
		return nil, fmt.Errorf("gateway: Internal.Issuer: %w", err)
	}
	if i.audience, err = json.Marshal(c.Audience); err != nil {
		return nil, fmt.Errorf("gateway: Internal.Audience: %w", err)
	}
	return i, nil
}

// of returns the internal token for a caller's.
func (i *internalTokens) of(ctx context.Context, t *bearer.Token) (string, *forwardError) {
	caller, err := i.caller(t)
	if err != nil {
		return "", unsayable(err)
	}
	// Two tokens that say the same share an internal one, if they end at the same time.
	id := string(strconv.AppendInt(caller, t.ExpiresAt.Unix(), 10))
	if cached := i.cache.Get(id); cached != nil {
		now := time.Now()
		if i.current(ctx, &cached.Value, now) {
			cached.Touch(now)
			return cached.Value.token, nil
		}
	}
	// A key in a KMS takes its time. The first of several requests signs for all, so its
	// end must not fail the others. The keyring bounds the wait.
	made, err, _ := i.signing.Do(id, func() (any, error) { return i.sign(context.WithoutCancel(ctx), id, caller, t) })
	token, ok := made.(internalToken)
	if err != nil || !ok {
		return "", unsigned(err)
	}
	return token.token, nil
}

// current reports whether a token may be sent: it has half of its life left, and the keyring
// still has its key, which an emergency rotation drops.
func (i *internalTokens) current(ctx context.Context, made *internalToken, now time.Time) bool {
	if !now.Before(made.renew) {
		return false
	}
	key, err := i.keys.Key(ctx, made.key.ID(), made.key.Algorithm())
	return err == nil && key == made.key
}

func (i *internalTokens) sign(ctx context.Context, id string, caller []byte, t *bearer.Token) (made internalToken, err error) {
	now := time.Now()
	expires := now.Add(i.lifetime)
	if t.ExpiresAt.Before(expires) {
		expires = t.ExpiresAt
	}
	payload := append(make([]byte, 0, len(caller)+256), `{"iss":`...)
	payload = append(payload, i.issuer...)
	payload = append(payload, `,"aud":`...)
	payload = append(payload, i.audience...)
	payload = append(payload, `,"iat":`...)
	payload = strconv.AppendInt(payload, now.Unix(), 10)
	payload = append(payload, `,"exp":`...)
	payload = strconv.AppendInt(payload, expires.Unix(), 10)
	payload = append(payload, `,"jti":"`...)
	payload = append(payload, rand.Text()...)
	payload = append(payload, `",`...)
	payload = append(payload, caller[1:]...)
	if made.token, err = i.keys.Sign(ctx, internalType, payload); err != nil {
		return made, err
	}
	jws, err := jose.Parse(made.token, 0)
	if err != nil {
		return made, err // longer than any verifier accepts
	}
	made.renew = now.Add(expires.Sub(now) / 2)
	made.key, err = i.keys.Key(ctx, jws.KeyID(), jws.Algorithm())
	// A key that is rotated away in this moment has an error.
	if err == nil && now.Before(made.renew) && len(id) <= maxKnownBytes {
		i.cache.Put(id, ownerOf(t.Issuer, t.ClientID), made.renew, now, func(string, string) internalToken { return made })
	}
	return made, nil
}

// caller returns what the internal token says of the caller, as a JSON object.
func (i *internalTokens) caller(t *bearer.Token) ([]byte, error) {
	scope, err := joined(t.Scopes)
	if err != nil {
		return nil, fmt.Errorf("gateway: scope: %w", err)
	}
	caller, err := json.Marshal(struct {
		Subject  string `json:"sub"`
		ClientID string `json:"client_id"`
		Scope    string `json:"scope,omitempty"`
		Issuer   string `json:"token_issuer"`
		ID       string `json:"token_id,omitempty"`
	}{cmp.Or(t.Subject, t.ClientID), t.ClientID, scope, t.Issuer, t.ID})
	if err != nil || len(i.claims) == 0 {
		return caller, err
	}
	var claims map[string]json.RawMessage
	if err := t.Claims(&claims); err != nil {
		return nil, err
	}
	caller = caller[:len(caller)-1]
	for _, name := range i.claims {
		value, ok := claims[name]
		if !ok {
			continue
		}
		encoded, err := json.Marshal(name)
		if err != nil {
			return nil, fmt.Errorf("gateway: claim %q: %w", name, err)
		}
		caller = append(append(append(append(caller, ','), encoded...), ':'), value...)
	}
	return append(caller, '}'), nil
}
