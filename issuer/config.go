package issuer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// Config configures an issuer. Issuer, Keys and Store are required. The zero value of
// every other field is the safe default.
type Config struct {
	// Issuer is the issuer identifier (RFC 8414, section 2) and the iss of every token: an
	// https URL without query and fragment, such as "https://auth.example.com". The
	// endpoints are below it. http is accepted for loopback addresses.
	Issuer string

	// Keys sign the tokens. Make them with jwks.Open or jwks.NewKeyring.
	Keys *jwks.Keyring

	// Store holds the clients and the feed of changes.
	Store registry.Store

	// TokenTTL is the longest lifetime of tokens, in whole seconds. Default 15 min. See
	// ExactTTL.
	TokenTTL time.Duration

	// MaxTokenTTL is the upper bound of Client.TokenTTL; longer ones are cut to it. It is
	// at most registry.MaxTokenLifetime, because cut-offs are not kept longer. Default
	// 1 h, or less if the keyring's Policy.Retain covers less. A value that Retain does
	// not cover is refused, because tokens would outlive their key.
	MaxTokenTTL time.Duration

	// ExactTTL gives every token its whole lifetime. Default: each token's lifetime is
	// shortened by a random part of up to 5 %, in whole seconds, so that clients that were
	// started together do not ask for their next tokens together. exp and expires_in agree.
	ExactTTL bool

	// Resources lists the audiences and the scopes of each. If it is set, a token gets
	// those of the client's scopes that every audience of the token lists. An audience
	// that is not in the map has no scopes. Default: the clients' own lists alone decide.
	Resources map[string][]string

	// Claims adds claims to a token, such as a tenant. It is called once per token. A
	// name has 1 to 64 characters of [A-Za-z0-9_:./-]. These names are refused: iss sub
	// aud exp nbf iat jti client_id scope scp cnf act may_act azp active token_type.
	// Every holder of the token can read the claims.
	//
	// If the error is an [*Error] with a Code and a Status from 400 to 599, the client
	// gets that answer and no token. Any other error is answered 500.
	Claims func(ctx context.Context, grant Grant) (map[string]any, error)

	// ClientIP returns the address that a request comes from: an IP address, with or
	// without a port. Limits per network count by the network of that address. Behind a
	// proxy, return the address that the proxy vouches for, never a header that any
	// caller can set.
	//
	// Default: the address of the connection. Endpoints added by Mount, and only those,
	// use Echo's IPExtractor if the app has one. Without either, a request with an
	// X-Forwarded-For, Forwarded or X-Real-IP header has no limits per network, because
	// all callers behind the proxy would share one. Nor has a request for which the
	// result is empty or not an IP address. Observe gets one event about either. An IPv4
	// address inside an IPv6 one (mapped, NAT64 with the well-known prefix, SIIT, 6to4)
	// counts as that IPv4 address.
	ClientIP func(r *http.Request) string

	// ImportedSecrets lets clients also authenticate with chosen secrets: those that a
	// person or another system chose (registry.HashSecret, registry.ImportSecret).
	// Checking one takes a slow hash, and any caller can cause that work by sending wrong
	// secrets. The cost is bounded, but not small. Default: generated secrets only.
	ImportedSecrets bool

	// RequireAssertionType refuses an assertion of private_key_jwt whose header lacks the
	// typ "client-authentication+jwt". Default: "JWT" and no typ are accepted too, because
	// most libraries write these.
	RequireAssertionType bool

	// WorkloadIssuers are the issuers whose tokens prove who a workload is, such as a
	// Kubernetes cluster or a CI system. A client authenticates with such a token if its
	// record says so (Client.Workloads). Default: none.
	WorkloadIssuers []WorkloadIssuer

	// KeySetClient provides the Transport with which the issuer fetches key sets: those of
	// Client.JWKSURI, and of WorkloadIssuers without Keys. Default: that of
	// [jwks.RemoteConfig].Client, which refuses link-local and cloud metadata addresses.
	KeySetClient *http.Client

	// FailedAttempts is how many wrong chosen secrets may be tried at a client before the
	// answer is 429 with Retry-After. One network may try ten times as many, at all clients
	// together. "Wrong secrets" in the package documentation says who is exempt, and how
	// attempts go on after that. Each replica counts for itself. Default 30. Negative: no
	// limit, so an attacker can guess a weak secret.
	FailedAttempts int

	// MaxGrantRate is how many tokens per second a client may get, with bursts of twice
	// as many. Beyond that the answer is 429 with Retry-After, so that one client cannot
	// take all signing. It also bounds how often a client may authenticate with assertions,
	// each of which is recorded until it expires. Each replica counts for itself. Default 200; negative: no limit.
	MaxGrantRate int

	// MaxRevocationLag is how long this process may be unable to read the store's feed.
	// After that it answers 503: the token and introspection endpoints do, and so do
	// guards, because Issuer.Revoked returns an error. A revocation by another replica
	// counts here within 2 s while the feed can be read, and within MaxRevocationLag at
	// the latest: until then, a replica that is cut off from the store accepts tokens that
	// others have revoked. To end that sooner, stop the replica. Default 1 min, at least
	// 2 s. With 2 s, "within 2 s" holds without a condition, but an outage of the store is
	// an outage of the APIs at once. MaxRevocationLag and MaxTokenTTL together are at most
	// registry.CutOffLifetime.
	MaxRevocationLag time.Duration

	// ClientCertificates turns on client authentication by certificate, and tokens that are
	// bound to a certificate (RFC 8705). Default: off, and certificates are ignored. A
	// client whose tokens must be bound to one then gets none.
	ClientCertificates *ClientCertificates

	// DPoP turns on tokens that are bound to a key (RFC 9449). A token request with a proof
	// gets such a token; a client with DPoPBoundTokens must send one. Proofs that were used
	// are recorded by Store, unless Replay is set, or Capacity or PerKey, with which the
	// memory of this process is used. With Nonces, all replicas share one secret. The
	// address in a proof is the token endpoint's below Issuer, or below
	// ClientCertificates.Origin. Default: off, and a token request with a proof is refused,
	// because an unbound token is not what its client wants.
	DPoP *pop.Config

	// TokenPath is the path of the token endpoint below Issuer. Default "/token". The
	// others are /revoke and /introspect.
	TokenPath string

	// OpenIDConfiguration also serves the metadata as /.well-known/openid-configuration
	// (OpenID Connect Discovery, section 4), for gateways and libraries that find a key
	// set only there. Of the members that section 3 of it requires, the document has
	// issuer, token_endpoint, jwks_uri, response_types_supported (empty),
	// subject_types_supported and id_token_signing_alg_values_supported. The last names
	// the algorithm of the access tokens: there are no ID tokens. It lacks
	// authorization_endpoint, because there is no login. Default: not served, so that
	// clients which try this address first go on to the one of RFC 8414.
	OpenIDConfiguration bool

	// InsecureHTTP accepts an http Issuer beyond loopback. Secrets and tokens then cross
	// the network in plain text.
	InsecureHTTP bool

	// Observe is called for every request to the token, revocation and introspection
	// endpoints, for every call of RevokeToken, RevokeClient, RevokeSecret and RevokeAll,
	// and for every change of state in the background: see [Event]. It is called before
	// the answer is sent, so it must be fast, and safe for concurrent use. event.Log logs
	// every event.
	Observe func(ctx context.Context, e Event)

	// Quiet turns off the default log. Default: without Observe, changes of state in the
	// background go to slog.Default().
	Quiet bool
}

// withDefaults returns the config with the defaults filled in.
func (c Config) withDefaults() Config {
	c.TokenTTL = cmp.Or(c.TokenTTL, 15*time.Minute)
	c.TokenPath = cmp.Or(c.TokenPath, "/token")
	c.FailedAttempts = cmp.Or(c.FailedAttempts, 30)
	c.MaxGrantRate = cmp.Or(c.MaxGrantRate, 200)
	c.MaxRevocationLag = cmp.Or(c.MaxRevocationLag, time.Minute)
	return c
}

// validate returns an error that names the field that is wrong and what to write. It
// also returns the MaxTokenTTL in force.
func (c Config) validate() (maxTTL time.Duration, err error) {
	if err := checkIssuer(c.Issuer, c.InsecureHTTP); err != nil {
		return 0, err
	}
	switch {
	case c.Keys == nil:
		return 0, errors.New(`issuer: Config.Keys is missing: write jwks.Open(ctx, jwks.File("keys.json"), jwks.Policy{})`)
	case c.Store == nil || isNilPointer(c.Store): // nil if the error of its constructor was ignored
		return 0, errors.New("issuer: Config.Store is missing: write registry.NewMemory(clients...), or a lasting store: sqlite.Open(ctx, \"issuer.db\")")
	case !strings.HasPrefix(c.TokenPath, "/") || strings.ContainsAny(c.TokenPath, "?#:*% "):
		return 0, fmt.Errorf(`issuer: Config.TokenPath %q: write a path such as "/token"`, c.TokenPath)
	case slices.Contains(pathsOf(c.Issuer, c.TokenPath).others(), pathsOf(c.Issuer, c.TokenPath).token):
		return 0, fmt.Errorf(`issuer: Config.TokenPath %q is the path of another endpoint: write a path such as "/token"`, c.TokenPath)
	case c.TokenTTL < time.Second || c.TokenTTL%time.Second != 0:
		return 0, fmt.Errorf("issuer: Config.TokenTTL is %v: write whole seconds, at least 1s", c.TokenTTL)
	case c.MaxRevocationLag < 2*time.Second:
		return 0, fmt.Errorf("issuer: Config.MaxRevocationLag is %v: write at least 2s", c.MaxRevocationLag)
	}
	maxTTL, err = longestTTL(c)
	if err != nil {
		return 0, err
	}
	if known := c.MaxRevocationLag + afterExpiry + registry.MaxClockSkew; maxTTL > registry.CutOffLifetime-known {
		return 0, fmt.Errorf("issuer: tokens of up to %v could outlive their cut-offs, because Config.MaxRevocationLag is %v: write a MaxRevocationLag of at most %v, or a shorter TokenTTL and MaxTokenTTL",
			maxTTL, c.MaxRevocationLag, registry.CutOffLifetime-afterExpiry-registry.MaxClockSkew-maxTTL)
	}
	if err := c.ClientCertificates.validate(); err != nil {
		return 0, err
	}
	for audience, scopes := range c.Resources {
		for _, s := range scopes {
			if !registry.ValidScope(s) {
				return 0, fmt.Errorf("issuer: Config.Resources[%q]: %q is not a scope: write printable ASCII without space, quote and backslash", audience, s)
			}
		}
	}
	return maxTTL, nil
}

// longestTTL returns the MaxTokenTTL in force.
func longestTTL(c Config) (time.Duration, error) {
	limit := c.MaxTokenTTL
	if limit == 0 {
		limit = max(time.Hour, c.TokenTTL)
	}
	if limit > registry.MaxTokenLifetime {
		return 0, fmt.Errorf("issuer: Config.TokenTTL or MaxTokenTTL is %v: write at most %v, because cut-offs are not kept longer", limit, registry.MaxTokenLifetime)
	}
	if limit < c.TokenTTL {
		return 0, fmt.Errorf("issuer: Config.MaxTokenTTL is %v: write at least TokenTTL = %v", limit, c.TokenTTL)
	}
	policy := c.Keys.Policy()
	if policy.Retain == 0 {
		return limit, nil // static keys: the caller decides how long to keep them
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
	case err == nil && u.User != nil: // the text is not quoted: it may hold a password
		return errors.New("issuer: Config.Issuer holds a user: write an https URL without user, query and fragment (RFC 8414, section 2)")
	case err != nil || u.Hostname() == "" || strings.ContainsAny(issuer, "?#"):
		return fmt.Errorf("issuer: Config.Issuer %q: write an https URL without user, query and fragment (RFC 8414, section 2)", issuer)
	case strings.ContainsFunc(u.Hostname(), func(r rune) bool { return r > '~' }):
		return fmt.Errorf("issuer: Config.Issuer %q: write the host in its ASCII form (xn--…, RFC 5890)", issuer)
	case u.String() != issuer && checkIssuer(u.String(), insecure) == nil:
		return fmt.Errorf("issuer: Config.Issuer %q: write it in the form that verifiers compare, such as %q", issuer, u)
	case u.String() != issuer:
		return checkIssuer(u.String(), insecure) // it says what else is wrong
	case strings.ContainsAny(u.Path, ":*"): // Echo would take them for patterns
		return fmt.Errorf("issuer: Config.Issuer %q: write a path without : and *", issuer)
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && (insecure || isLoopback(u.Hostname())):
		return nil
	}
	return fmt.Errorf("issuer: Config.Issuer %q: write https; http is for loopback only, or with InsecureHTTP", issuer)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

func isNilPointer(v any) bool {
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Pointer && r.IsNil()
}

// pathOf returns the path of a URL that checkIssuer has accepted, as it was
// written.
func pathOf(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return cmp.Or(u.RawPath, u.Path)
}
