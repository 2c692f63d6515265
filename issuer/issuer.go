package issuer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
)

// Config is what [New] makes an issuer of. Issuer, Keys and Store are required;
// the zero value of every other field is the safe default.
type Config struct {
	// Issuer is the issuer identifier (RFC 8414 §2), the iss of every token: an
	// https URL without query and fragment, such as "https://auth.example.com".
	// The endpoints lie under it. http is accepted for loopback addresses.
	Issuer string

	// Keys sign the tokens: jwks.Open or jwks.Static.
	Keys *jwks.Keyring

	// Store has the clients.
	Store registry.Store

	// TokenTTL is the lifetime of tokens, in whole seconds. Default 15 min.
	TokenTTL time.Duration

	// MaxTokenTTL cuts the lifetime that a client asks for in Client.TokenTTL.
	// Default 1 h, or less where the keyring's Policy.Retain covers less; a
	// value that Retain does not cover is refused, since such a token would
	// outlive its key.
	MaxTokenTTL time.Duration

	// Resources lists the audiences and the scopes that each has. When set, a
	// client is granted, of its own scopes, those that every audience of the
	// token has; an audience that is not listed has none. Default: the clients'
	// own lists are all there is.
	Resources map[string][]string

	// Claims adds claims to a token, such as a tenant. It is called once per
	// token; its error makes the answer a 500. Names are 1 to 64 of
	// [A-Za-z0-9_:./-], and none that this package or RFC 7519 gives a meaning:
	// iss sub aud exp nbf iat jti client_id scope scp cnf act may_act azp active
	// token_type.
	// Whatever it returns is readable by whoever holds the token.
	Claims func(ctx context.Context, grant Grant) (map[string]any, error)

	// ImportedSecrets lets clients authenticate with secrets that somebody
	// chose (HashSecret, ImportSecret), and not only with generated ones. Such
	// a secret takes a slow hash to check, which is a price that anybody can
	// make the issuer pay by sending wrong ones. It is bounded, not small.
	ImportedSecrets bool

	// FailedAttempts is how often in a row a client may fail to authenticate
	// with a chosen secret, and, times ten, everybody in one network (a /24 or
	// an IPv6 /56), before the answer is 429 and one attempt is let through in
	// 30 s. Default 30; negative is no limit. A generated secret works whatever
	// has failed, and a client from where it has lately succeeded is counted
	// apart. Each replica counts for itself.
	FailedAttempts int

	// MaxRevocationLag is how long the store's revocations may be out of reach
	// before Issuer.Revoked answers with an error, and a guard with 503, rather
	// than guess. Default 1 min, at least 2 s.
	MaxRevocationLag time.Duration

	// TokenPath is the path of the token endpoint below Issuer.
	// Default "/token". The others are /revoke and /introspect.
	TokenPath string

	// InsecureHTTP accepts an http Issuer beyond loopback: secrets and tokens
	// then cross the network for all to read.
	InsecureHTTP bool

	// Observe hears of every answer of the token endpoint. It is called before
	// the answer is sent, so it must be quick, and by many requests at once.
	Observe func(ctx context.Context, event Event)
}

// Grant is what a token is about to say.
type Grant struct {
	Client   *registry.Client // read only
	Audience []string         // read only
	Scopes   []string         // read only
}

// Issuer grants tokens. It is safe for concurrent use.
type Issuer struct {
	url       string
	keys      *jwks.Keyring
	store     registry.Store
	clients   *clientCache
	uses      *uses
	lockout   *lockout // nil: failures are not counted
	ttl       time.Duration
	maxTTL    time.Duration
	resources map[string][]string
	claims    func(context.Context, Grant) (map[string]any, error)
	observe   func(context.Context, Event)
	slow      *slowHashes // nil: imported secrets are not accepted
	tokenPath string
	metadata  []byte
	issClaim  []byte // the start of every payload

	feed    *follower
	revoked *revoked
	loops   *background
}

// New makes an issuer. The error names the field that is wrong and what to
// write.
func New(c Config) (*Issuer, error) {
	c.TokenTTL = cmp.Or(c.TokenTTL, 15*time.Minute)
	c.TokenPath = cmp.Or(c.TokenPath, "/token")
	c.FailedAttempts = cmp.Or(c.FailedAttempts, 30)
	c.MaxRevocationLag = cmp.Or(c.MaxRevocationLag, time.Minute)
	if err := checkIssuer(c.Issuer, c.InsecureHTTP); err != nil {
		return nil, err
	}
	switch {
	case c.Keys == nil:
		return nil, errors.New(`issuer: Config.Keys is missing: write jwks.Open(ctx, jwks.File("keys.json"), jwks.Policy{})`)
	case c.Store == nil || c.Store == (*registry.Memory)(nil):
		return nil, errors.New("issuer: Config.Store is missing: write registry.NewMemory(clients...), or a store that lasts")
	case !strings.HasPrefix(c.TokenPath, "/") || strings.ContainsAny(c.TokenPath, "?#:* "):
		return nil, fmt.Errorf(`issuer: Config.TokenPath %q: write a path such as "/token"`, c.TokenPath)
	case slices.Contains([]string{revokePath, introspectPath, jwksPath, metadataPath}, c.TokenPath):
		return nil, fmt.Errorf(`issuer: Config.TokenPath %q is another endpoint's: write a path such as "/token"`, c.TokenPath)
	case c.TokenTTL < time.Second || c.TokenTTL%time.Second != 0:
		return nil, fmt.Errorf("issuer: Config.TokenTTL is %v: write whole seconds", c.TokenTTL)
	case c.MaxRevocationLag < 2*time.Second:
		return nil, fmt.Errorf("issuer: Config.MaxRevocationLag is %v: write at least 2s", c.MaxRevocationLag)
	}
	maxTTL, err := longestTTL(c)
	if err != nil {
		return nil, err
	}
	for audience, scopes := range c.Resources {
		for _, s := range scopes {
			if !registry.ValidScope(s) {
				return nil, fmt.Errorf("issuer: Config.Resources[%q]: %q is not a scope", audience, s)
			}
		}
	}
	i := &Issuer{
		url: c.Issuer, keys: c.Keys, store: c.Store, clients: newClientCache(c.Store), uses: newUses(c.Store), ttl: c.TokenTTL, maxTTL: maxTTL,
		resources: maps.Clone(c.Resources), claims: c.Claims, observe: c.Observe, tokenPath: c.TokenPath,
	}
	for audience, scopes := range i.resources {
		i.resources[audience] = slices.Clone(scopes)
	}
	if c.ImportedSecrets {
		if i.slow, err = newSlowHashes(); err != nil {
			return nil, err
		}
	}
	if c.FailedAttempts > 0 {
		i.lockout = newLockout(c.FailedAttempts)
	}
	i.revoked, i.feed, i.loops = newRevoked(), newFollower(c.Store, c.MaxRevocationLag, i.apply), newBackground()
	i.issClaim = append(appendString([]byte(`{"iss":`), c.Issuer), `,"sub":`...)
	i.metadata, err = i.newMetadata()
	return i, err
}

// Close stops what the issuer does in the background, which begins at its first
// use: following the store's revocations, and writing when secrets were used.
// Revoked answers with an error soon after. It may be called more than once.
// The keyring and the store stay the caller's to close.
func (i *Issuer) Close() error {
	if i.ready() != nil {
		return nil
	}
	i.loops.close()
	i.uses.flush(context.Background())
	return nil
}

// longestTTL is the MaxTokenTTL in force.
func longestTTL(c Config) (time.Duration, error) {
	limit := c.MaxTokenTTL
	if limit == 0 {
		limit = max(time.Hour, c.TokenTTL)
	}
	if limit < c.TokenTTL {
		return 0, fmt.Errorf("issuer: Config.MaxTokenTTL is %v: write at least TokenTTL = %v", limit, c.TokenTTL)
	}
	policy := c.Keys.Policy()
	if policy.Retain == 0 {
		return limit, nil // static keys: how long they are kept is the caller's to see to
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
		return fmt.Errorf("issuer: Config.Issuer %q: write an https URL without user, query and fragment (RFC 8414 section 2)", issuer)
	case u.String() != issuer:
		return fmt.Errorf("issuer: Config.Issuer %q: write it as verifiers will compare it, such as %q", issuer, u)
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
