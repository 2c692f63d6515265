package outbound

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/fetch"
)

// Event is what Config.Observe receives. See package event.
type Event = event.Event

// Config configures a [Source]. Issuer or TokenURL, ClientID and one of
// Secret, Assertion and Certificate are required.
type Config struct {
	// Issuer is the URL of the authorization server, byte for byte as in its metadata and
	// in the iss of its tokens: a slash at the end counts, and so does localhost. Its
	// metadata (RFC 8414) names the token endpoint, which may be on another host. If that
	// is at a private address or on the loopback, the issuer must be too: an issuer outside
	// cannot make this program send requests inside.
	Issuer string

	// TokenURL is the token endpoint itself, instead of Issuer. It may be at a private
	// address.
	TokenURL string

	// ClientID is the id of this client at the authorization server.
	ClientID string

	// Secret returns the client's secret. It is called for each token request, so a
	// rotated secret is used at the next one. Use [SecretFile], [SecretEnv], [Secret] or
	// a func of your own.
	Secret SecretFunc

	// Assertion is used in place of a secret: a token that the client signs
	// ([PrivateKeyJWT]) or that its platform gives it ([WorkloadToken]).
	Assertion Assertion

	// AssertionAudience is the audience of a signed Assertion. Default: Issuer, as RFC
	// 10070 requires. With TokenURL it must be set, to the issuer identifier of the
	// server. Some servers want the URL of the token endpoint.
	AssertionAudience string

	// Certificate is shown to the token endpoint and to the APIs, which must be https
	// (RFC 8705): use [CertificateFiles] or [Certificate]. Without Secret and Assertion,
	// the client authenticates with it (tls_client_auth or self_signed_tls_client_auth).
	// A server may bind the token to it. A token is used at most until the certificate
	// expires, and over connections that show the certificate that it was fetched with.
	// Metadata may name another token endpoint for it (mtls_endpoint_aliases), and must do
	// so for an Issuer with http on the loopback.
	Certificate CertificateFunc

	// DPoP is the key that tokens are bound to (RFC 9449): use [NewDPoPKey], or [DPoPKey]
	// for a key of yours. Each request then has a proof, so a stolen token is of no use.
	// A server that does not bind the token is an error. The clock here must not be ahead
	// of the servers' by more than they allow, such as 10 s.
	DPoP ProofKey

	// Method is how the client sends its Secret: "client_secret_basic", which is the
	// default, or "client_secret_post" (RFC 6749, section 2.3.1).
	Method string

	// RawBasic sends id and secret in HTTP Basic as they are. The default is to
	// form-encode them first, as RFC 6749, section 2.3.1 says. Some servers do not decode
	// them. It makes no difference for ids and secrets of letters, digits, - and _.
	RawBasic bool

	// Resources are the APIs that tokens are for (RFC 8707): absolute URIs without a
	// fragment. Each is an API's audience as the authorization server lists it, byte for
	// byte: a slash at the end counts. Default: none, and the server decides.
	Resources []string

	// Scopes are asked for. Default: none, and the server decides.
	Scopes []string

	// Params are more parameters of a token request, such as Auth0's audience. They are
	// no place for secrets: they show when a Config is printed.
	Params url.Values

	// Origins are where tokens may be sent, such as "https://api.example.com": scheme,
	// host and port. Default: the origins of the resources that a Source asks for.
	// Without any, a Source gives tokens and sends no request.
	Origins []string

	// HTTP provides the Transport for token requests and for [Source.Client]; its other
	// fields are not used. With Certificate, it must be an *http.Transport. Default: a
	// transport of its own for token requests, and [http.DefaultTransport] for the client.
	// The former refuses to dial link-local, multicast, unspecified and cloud metadata
	// addresses, as package fetch does. With a transport of yours, or a proxy, what
	// resolves the names must refuse them.
	HTTP *http.Client

	// InsecureHTTP allows http to hosts other than the loopback. Then anyone on the
	// network path can read secrets and tokens.
	InsecureHTTP bool

	// Timeout bounds one fetch of a token, discovery included. A call that needs a token
	// also waits for a retry that begins within this time. Default 5 s.
	Timeout time.Duration

	// Observe receives an event for each fetch (event.OpFetchToken) and for each request
	// that an API refused and that was sent again (event.OpReplay). Both have ClientID,
	// Audience and URL, and after a refusal Status and Code. A fetch also has Scopes,
	// Duration and Err.
	//
	// Observe runs in the goroutine of the fetch or the request, must be safe for concurrent
	// use, and must not call Close.
	//
	// After a fetch, it is called when calls have the token. One that blocks holds up
	// Close, but no call and no refresh. After a refusal, it holds up that request alone.
	// A panic is logged with its stack, and the fetch or the request goes on.
	Observe func(context.Context, Event)

	// Quiet turns the log off. Without Observe, changes go to [log/slog.Default]: fetches
	// begin to fail, fail in another way, or succeed again. A panic of Observe, Secret or
	// HTTP's Transport in a fetch is logged in any case.
	Quiet bool
}

// The methods of client authentication.
const (
	methodBasic = "client_secret_basic"
	methodPost  = "client_secret_post"
)

// reserved are the parameters that a token request has from other fields.
var reserved = []string{
	"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "resource", "scope",
}

// withDefaults returns a copy with the defaults filled in.
func (c Config) withDefaults() Config {
	if c.Secret != nil {
		c.Method = cmp.Or(c.Method, methodBasic)
	}
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.Resources, c.Scopes, c.Origins = slices.Clone(c.Resources), slices.Clone(c.Scopes), slices.Clone(c.Origins)
	params := url.Values{}
	for name, values := range c.Params {
		params[name] = slices.Clone(values)
	}
	c.Params = params
	return c
}

func (c Config) validate(client *fetch.Client) error {
	switch {
	case c.Issuer == "" && c.TokenURL == "":
		return errors.New("outbound: Config.Issuer is missing: write the authorization server's URL, or set TokenURL")
	case c.Issuer != "" && c.TokenURL != "":
		return errors.New("outbound: Config.Issuer and Config.TokenURL are both set: leave one out")
	case c.ClientID == "":
		return errors.New("outbound: Config.ClientID is missing")
	case c.Timeout < 0:
		return fmt.Errorf("outbound: Config.Timeout is %v: write a positive duration, or leave it out", c.Timeout)
	}
	if err := c.validateCredentials(); err != nil {
		return err
	}
	if c.Issuer != "" {
		if err := client.CheckIssuer(c.Issuer); err != nil {
			return fmt.Errorf("outbound: Config.Issuer: %w", err)
		}
	} else if err := client.CheckURL(c.TokenURL); err != nil {
		return fmt.Errorf("outbound: Config.TokenURL: %w", err)
	}
	for _, name := range reserved {
		if c.Params.Has(name) {
			return fmt.Errorf("outbound: Config.Params has %s: set its own field instead", name)
		}
	}
	for _, resource := range c.Resources {
		if err := checkResource(resource); err != nil {
			return fmt.Errorf("outbound: Config.Resources: %w", err)
		}
	}
	for _, scope := range c.Scopes {
		if err := checkScope(scope); err != nil {
			return fmt.Errorf("outbound: Config.Scopes: %w", err)
		}
	}
	return nil
}

// validateCredentials checks how the client authenticates and what tokens are bound to.
func (c Config) validateCredentials() error {
	asserts := !c.Assertion.zero()
	switch {
	case c.Secret == nil && !asserts && c.Certificate == nil:
		return errors.New("outbound: Config.Secret is missing: write outbound.SecretFile(path), outbound.SecretEnv(name) or outbound.Secret(text), or set Assertion or Certificate")
	case c.Secret != nil && asserts:
		return errors.New("outbound: Config.Secret and Config.Assertion are both set: leave one out")
	case c.Assertion.mistaken != nil:
		return fmt.Errorf("outbound: Config.Assertion: %w", c.Assertion.mistaken)
	case c.DPoP.mistaken != nil:
		return fmt.Errorf("outbound: Config.DPoP: %w", c.DPoP.mistaken)
	case c.Assertion.signs && c.Issuer == "" && c.AssertionAudience == "":
		return errors.New("outbound: Config.AssertionAudience is missing: with TokenURL, write the issuer identifier of the server, or set Issuer in place of TokenURL")
	case c.AssertionAudience != "" && !asserts:
		return errors.New("outbound: Config.AssertionAudience is for Assertion: leave it out, or set Assertion")
	case c.Secret == nil && c.Method != "":
		return errors.New("outbound: Config.Method is for Secret: leave it out")
	case c.Secret == nil && c.RawBasic:
		return errors.New("outbound: Config.RawBasic is for Secret: leave it out")
	case c.Secret != nil && c.Method != methodBasic && c.Method != methodPost:
		return fmt.Errorf("outbound: Config.Method is %.100q: write %q or %q", c.Method, methodBasic, methodPost)
	case c.RawBasic && c.Method != methodBasic:
		return fmt.Errorf("outbound: Config.RawBasic is for %s: leave one of RawBasic and Method out", methodBasic)
	case c.RawBasic && strings.Contains(c.ClientID, ":"):
		return errors.New("outbound: Config.ClientID has a colon, which ends the id in HTTP Basic: set RawBasic to false, or Method to client_secret_post") // RFC 7617, section 2
	case reflect.ValueOf(c.Certificate).Pointer() == reflect.ValueOf(unnamedPair).Pointer():
		return errUnnamedPair
	case c.Certificate != nil && isPlain(c.TokenURL):
		return errors.New("outbound: Config.Certificate is shown over https only: write https in TokenURL")
	}
	return checkArgument(c.Secret)
}

// isPlain reports whether a URL is http.
func isPlain(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "http"
}

// checkResource refuses what is no resource indicator (RFC 8707, section 2).
func checkResource(resource string) error {
	u, err := url.Parse(resource)
	switch {
	case err != nil:
		return err
	case !u.IsAbs() || strings.Contains(resource, "#"):
		return fmt.Errorf("%.200q is not an absolute URI without a fragment", resource)
	}
	return nil
}

// checkScope refuses what is no scope-token (RFC 6749, section 3.3).
func checkScope(scope string) error {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }
	if scope == "" || strings.ContainsFunc(scope, bad) {
		return fmt.Errorf("%.100q is not one scope: write each scope as an element of its own", scope)
	}
	return nil
}
