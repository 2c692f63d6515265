package issuer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/fetch"
	"github.com/echo-m2m/m2m/jwks/profile"
)

// WorkloadIssuer is an issuer whose tokens prove who a workload is: a Kubernetes cluster,
// a CI system, a cloud. A client whose record names this issuer, the workload's subject
// and its audience (Client.Workloads) authenticates with such a token instead of an
// assertion of its own.
type WorkloadIssuer struct {
	// Issuer is the iss of the tokens, exactly. Default Profile.Issuer. Two clusters with
	// the same issuer cannot be told apart, so it may be listed once only.
	Issuer string

	// Profile says how the tokens are read, such as [profile.Kubernetes] or
	// [profile.GitHubActions]. It must have a MaxLifetime or a MaxAge, because a stolen
	// token can be used for that long.
	Profile profile.Profile

	// Keys has the issuer's keys: a [jwks.SetFile] where it cannot be reached, or a
	// [jwks.Remote] with a RemoteConfig.BearerFile for a cluster that asks for a token.
	// Default: found through the metadata of Issuer, which must be an https URL.
	Keys jwks.Source

	// MaxUses is how often one token may be used, over all replicas. Each use gets an
	// access token, so a program needs one use per Config.TokenTTL and audience, and one
	// more for each of its starts. 1 to 1000, default 50.
	MaxUses int
}

const (
	workloadLeeway = 30 * time.Second // that clocks may differ
	defaultUses    = 50
	mostUses       = 1000
)

// trustedIssuer is a WorkloadIssuer in use.
type trustedIssuer struct {
	issuer  string
	keys    jwks.Source
	remote  *jwks.Remote // that New made; nil: Keys was given
	profile profile.Profile
	shared  profile.Profile // for a record that allows shared subjects
	uses    *tokenUses
}

// close ends the fetches of a Remote that New made.
func (from *trustedIssuer) close() { _ = from.remote.Close() } // it returns nil

// remoteConfig is how key sets are fetched.
func remoteConfig(c Config) jwks.RemoteConfig {
	return jwks.RemoteConfig{Client: c.KeySetClient, Observe: c.Observe, Quiet: c.Quiet}
}

func newTrustedIssuers(c Config) (map[string]*trustedIssuer, error) {
	trusted := map[string]*trustedIssuer{}
	for n := range c.WorkloadIssuers {
		w := c.WorkloadIssuers[n]
		if w.Issuer == "" {
			w.Issuer = w.Profile.Issuer
		}
		if problem := w.problem(c.Issuer); problem != "" {
			return nil, fmt.Errorf("issuer: Config.WorkloadIssuers[%d].%s", n, problem)
		}
		if err := w.Profile.Validate(); err != nil {
			return nil, fmt.Errorf("issuer: Config.WorkloadIssuers[%d].Profile: %w", n, err)
		}
		if trusted[w.Issuer] != nil {
			return nil, fmt.Errorf("issuer: Config.WorkloadIssuers[%d].Issuer %q is that of an earlier entry: tokens of the two could not be told apart", n, w.Issuer)
		}
		from := &trustedIssuer{issuer: w.Issuer, keys: w.Keys, profile: w.Profile, shared: w.Profile}
		from.shared.InsecureSharedSubjects = true
		if w.Keys == nil {
			from.remote = jwks.NewIssuerRemote(w.Issuer, remoteConfig(c))
			from.keys = from.remote
		}
		if w.MaxUses == 0 {
			w.MaxUses = defaultUses
		}
		from.uses = newTokenUses(c.Store, w.Issuer, w.MaxUses)
		trusted[w.Issuer] = from
	}
	return trusted, nil
}

// problem returns the field that is wrong, what is wrong with it and what to write.
func (w *WorkloadIssuer) problem(own string) string {
	switch p := &w.Profile; {
	case w.Issuer == "":
		return "Issuer is missing: write the iss of its tokens"
	case p.Issuer != "" && p.Issuer != w.Issuer:
		return fmt.Sprintf("Issuer is %q, and its Profile is for %q: write one of them", w.Issuer, p.Issuer)
	case w.Issuer == own:
		return "Issuer is Config.Issuer: an access token of this issuer is no proof of who holds it"
	case w.Keys != nil && isNilPointer(w.Keys):
		return "Keys is a nil pointer: was the error of its constructor ignored?"
	case w.Keys == nil && fetch.NewClient(nil, false).CheckIssuer(w.Issuer) != nil:
		return fmt.Sprintf("Keys is missing, and they cannot be found at Issuer %.200q (%v): write jwks.NewRemote(url, jwks.RemoteConfig{}) or jwks.NewSetFile(path)", w.Issuer, fetch.NewClient(nil, false).CheckIssuer(w.Issuer))
	case p.Name == "" && p.MaxLifetime <= 0 && p.MaxAge <= 0:
		return "Profile is missing: write profile.Kubernetes(), or that of another platform"
	case p.MaxLifetime <= 0 && p.MaxAge <= 0:
		return "Profile has neither MaxLifetime nor MaxAge, and a stolen token could be used for ever: write Profile.MaxLifetime"
	case p.InsecureNoAudience || p.ScopePrefix != "":
		return "Profile accepts tokens without aud: a token for any other service could be used here: leave out InsecureNoAudience and ScopePrefix"
	case w.MaxUses < 0 || w.MaxUses > mostUses:
		return fmt.Sprintf("MaxUses is %d: write 1 to %d, or leave it out", w.MaxUses, mostUses)
	}
	return ""
}

// workloadCredential is the token of a workload, sent as a client assertion (RFC 7523,
// section 2.2). Its method is private_key_jwt.
type workloadCredential struct {
	signed
	from     *trustedIssuer
	clientID string
}

func (c *workloadCredential) claimedID() string { return c.clientID }

// verify finds the issuer's key before the client, so what it costs and what it answers
// when there is none says nothing about the client.
func (c *workloadCredential) verify(ctx context.Context) (caller, *Error) {
	if !registry.ValidID(c.clientID) {
		return caller{}, invalidClient(event.MalformedCredential, errMalformed)
	}
	if err := c.from.profile.CheckHeader(&c.jws); err != nil {
		return caller{}, refusedToken(err)
	}
	key, keyErr := c.from.keys.Key(c.inNetwork(ctx), c.jws.KeyID(), c.jws.Algorithm())
	if keyErr != nil && (ctx.Err() != nil || !errors.Is(keyErr, jwks.ErrUnknownKey) || errors.Is(keyErr, jwks.ErrUnavailable)) {
		return caller{}, unavailable(event.KeysUnavailable, keyErr)
	}
	found, failed := c.find(ctx, c.clientID, c.address)
	if failed != nil {
		return caller{}, failed
	}
	var id profile.Identity
	var failure *Error
	as := c.workloadOf(found.client)
	switch {
	case keyErr != nil:
		failure = c.checkNothing(ctx, event.UnknownKey, keyErr)
	case as == nil:
		// The same work as for a client that trusts the token.
		if failure = c.verifying(ctx, func() { _, _ = c.jws.Verify(key) }, key); failure == nil {
			failure = invalidClient(event.BadAssertion, errNoWorkload)
		}
	default:
		reader := &c.from.profile
		if as.InsecureSharedSubject {
			reader = &c.from.shared
		}
		want := profile.Want{Issuer: c.from.issuer, Audiences: []string{as.Audience}, Subject: c.subject, Leeway: workloadLeeway}
		var err error
		if failure = c.verifying(ctx, func() { id, err = reader.Verify(&c.jws, key, want) }, key); failure == nil && err != nil {
			failure = refusedToken(err)
		}
	}
	if err := c.admit(found, failure); err != nil {
		return caller{}, err
	}
	return caller{client: found.client, number: found.number, consume: func(ctx context.Context) *Error {
		if err := c.rate.take(c.clientID); err != nil {
			return err
		}
		return c.from.uses.take(ctx, c.tokenName(&id), id.Expires.Add(workloadLeeway))
	}}, nil
}

// refusedToken is the answer to a token that a profile refuses.
func refusedToken(err error) *Error {
	reason := event.BadAssertion
	if refused, ok := errors.AsType[*profile.Error](err); ok {
		reason = refused.Reason
	}
	return invalidClient(reason, err)
}

// tokenName identifies the token among those of its issuer. The signature is no part of
// it, because an ECDSA signature has two forms.
func (c *workloadCredential) tokenName(id *profile.Identity) string {
	if id.TokenID != "" {
		return "jti " + id.TokenID
	}
	return "payload " + c.payload
}

// workloadOf returns the entry of the client's record that the token claims to meet: that
// with its issuer, its subject, and one of its audiences. nil: there is none.
func (c *workloadCredential) workloadOf(client *registry.Client) *registry.Workload {
	if client == nil {
		return nil
	}
	audience, _, err := c.claims.Strings("aud")
	if err != nil {
		return nil
	}
	for n := range client.Workloads {
		w := &client.Workloads[n]
		if w.Issuer == c.from.issuer && isSubject(w, c.subject) && slices.Contains(audience, w.Audience) {
			return w
		}
	}
	return nil
}

// isSubject reports whether the subject is the workload's: exactly, or for a shared one
// that ends in *, by what it begins with.
func isSubject(w *registry.Workload, subject string) bool {
	if prefix, wildcard := strings.CutSuffix(w.Subject, "*"); wildcard && w.InsecureSharedSubject {
		return strings.HasPrefix(subject, prefix) && len(subject) > len(prefix) && prefix != ""
	}
	return subject != "" && subject == w.Subject
}

const errNoWorkload = constError("issuer: the client has no workload with the issuer, the subject and one of the audiences of this token")
