package outbound

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

// Source gives access tokens for the requests of this program, and keeps them fresh. Make
// one with [New] and share it: it is safe for concurrent use. The zero Source and nil
// give no token and send no request.
type Source struct {
	family *family
	want   *want
	cell   atomic.Pointer[cell] // of the want; calls replace one that the family evicted
}

// New returns a Source. It sends no request; the first call does. A configuration that
// contradicts itself is an error.
func New(c Config) (*Source, error) {
	c = c.withDefaults()
	client := fetch.NewClient(c.HTTP, c.InsecureHTTP)
	if err := c.validate(client); err != nil {
		return nil, err
	}
	named, err := parseOrigins(c.Origins, client)
	if err != nil {
		return nil, err
	}
	w := &want{resources: c.Resources, scopes: c.Scopes, origins: named}
	if len(named) == 0 {
		w.origins = originsOf(c.Resources, client)
	}
	if err := w.origins.refusePlain(c); err != nil {
		return nil, err
	}
	return newFamily(c, client, w)
}

// For returns a Source of tokens for another resource (RFC 8707) with other scopes. It
// shares client, credentials and backoff with this one, and a token with every Source of
// the same resource and scopes. An empty resource means Config.Resources. No scopes means
// that none are asked for.
//
// Tokens for the resource may be sent to Config.Origins, or to the resource's own origin
// if none are set. A resource or a scope that cannot be is the error of every call. While
// 1 024 different tokens are in use, so is the want of another one. Resource and scopes
// have at most 16 KiB.
//
// Close of any of them closes all.
func (s *Source) For(resource string, scopes ...string) *Source {
	if s.zero() {
		return s
	}
	f := s.family
	w := &want{resources: f.config.Resources, scopes: slices.Clone(scopes)}
	if resource != "" {
		w.resources = []string{resource}
		w.refusal = checkResource(resource)
	}
	for _, scope := range scopes {
		w.refusal = cmp.Or(w.refusal, checkScope(scope))
	}
	if size := w.size(); size > maxWant {
		w.refusal = fmt.Errorf("the resource and the scopes have %d bytes, more than %d", size, maxWant)
	}
	if w.refusal != nil {
		w.refusal = fmt.Errorf("outbound: For: %w", w.refusal)
	}
	client := f.fetcher.discovery.client
	if len(f.config.Origins) > 0 {
		w.origins, _ = parseOrigins(f.config.Origins, client) // New has checked them
	} else {
		w.origins = originsOf(w.resources, client)
	}
	w.refusal = cmp.Or(w.refusal, w.origins.refusePlain(f.config))
	return f.source(w)
}

func (s *Source) zero() bool { return s == nil || s.family == nil }

// String names the client and the token endpoint. Without it, package fmt would read the
// fields of a Source while calls change them.
func (s *Source) String() string {
	if s.zero() {
		return "no source"
	}
	return fmt.Sprintf("tokens of %q from %s", s.family.config.ClientID, s.family.fetcher.at())
}

// GoString is String, for %#v.
func (s *Source) GoString() string { return s.String() }

// Token returns a token that is valid for a request now. With one in hand, which is the
// usual case, that takes an atomic load and a reading of the clock. Otherwise the call waits
// for a fetch that all callers share.
//
// The error is one of these:
//   - The context's error: it ended while the call waited.
//   - [ErrUnavailable], with its cause: a fetch failed, and none that begins within
//     Config.Timeout can help.
//   - [*Error]: the authorization server refused.
//   - [ErrClosed].
func (s *Source) Token(ctx context.Context) (Token, error) {
	h, err := s.held(ctx)
	return Token{h}, err
}

func (s *Source) held(ctx context.Context) (*held, error) {
	if s.zero() {
		return nil, errZero
	}
	if h := s.cell.Load().held.Load(); h != nil && h.use.Load() == used && time.Until(h.until) > 0 {
		return h, nil
	}
	return s.token(ctx)
}

// Close ends fetches and refreshes, of those that For made too, and waits for them to
// end. Calls that wait for a token return [ErrClosed], and so does every later call. It
// always returns nil.
func (s *Source) Close() error {
	if !s.zero() {
		s.family.close()
	}
	return nil
}
