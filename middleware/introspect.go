package middleware

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/patrickmn/go-cache"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// Introspection is how an API asks its issuer about tokens, for
// [Config.Introspection]. Endpoint, ClientID and ClientSecret are required.
//
// Answers are cached, at most 10 000 of them, and a token is asked about once,
// however many requests bring it.
type Introspection struct {
	// Endpoint is the issuer's introspection endpoint: https, or http on the
	// loopback, such as "https://auth.example.com/introspect".
	Endpoint string

	// ClientID and ClientSecret are this API's own credentials at the issuer
	// (client_secret_basic). The client must be allowed to see the tokens that
	// are presented here; for package issuer, by Client.Introspects.
	ClientID, ClientSecret string

	// CacheFor is how long an answer is cached, and so how late a revocation may be
	// noticed. Default 10 s.
	CacheFor time.Duration

	// Timeout of a request. Default 2 s.
	Timeout time.Duration

	// Client makes the requests. Default: one that follows no redirect.
	Client *http.Client

	// InsecureHTTP allows http beyond the loopback: the credentials and every
	// token then cross the network for all to read.
	InsecureHTTP bool
}

const (
	maxIntrospected  = 10_000
	maxIntrospection = 64 << 10    // bytes of an answer
	maxFlights       = 256         // tokens asked about at the same time
	pause            = time.Second // after a failure, so that an issuer in trouble is left alone
)

func (c *Introspection) validate() error {
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return fmt.Errorf(`middleware: Config.Introspection.Endpoint %q: write the issuer's introspection endpoint, such as "https://auth.example.com/introspect"`, c.Endpoint)
	case u.Scheme != "https" && (u.Scheme != "http" || !c.InsecureHTTP && !isLoopback(u.Hostname())):
		return fmt.Errorf("middleware: Config.Introspection.Endpoint %q: write https; http is for loopback only, unless InsecureHTTP is set", c.Endpoint)
	case c.ClientID == "" || c.ClientSecret == "":
		return errors.New("middleware: Config.Introspection.ClientID and ClientSecret: write this API's own credentials at the issuer")
	case c.CacheFor < 0 || c.Timeout < 0:
		return errors.New("middleware: Config.Introspection.CacheFor and Timeout: write positive durations, or leave them out")
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// introspector asks, and caches what it was told.
type introspector struct {
	Introspection
	answers *cache.Cache // jti → whether revoked
	flights singleflight.Group
	limit   *semaphore.Weighted
	closed  context.Context
	close   context.CancelFunc

	mu      sync.Mutex
	failure error     // of the latest request
	failed  time.Time // when that was; for a moment nothing more is asked
}

func newIntrospector(c Introspection) (*introspector, error) {
	c.CacheFor, c.Timeout = cmp.Or(c.CacheFor, 10*time.Second), cmp.Or(c.Timeout, 2*time.Second)
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.Client == nil {
		c.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	i := &introspector{
		Introspection: c,
		answers:       cache.New(c.CacheFor, 0), // no janitor, so nothing to stop: keep evicts
		limit:         semaphore.NewWeighted(maxFlights),
	}
	i.closed, i.close = context.WithCancel(context.Background())
	return i, nil
}

// revoked reports whether the issuer says that a token, which has been verified, is
// no longer active. Only an answer that says so clearly is no error.
func (i *introspector) revoked(ctx context.Context, jti, token string) (bool, error) {
	if revoked, ok := i.answers.Get(jti); ok {
		return revoked == true, nil
	}
	jti = strings.Clone(jti)               // what it is a part of need not be kept
	detached := context.WithoutCancel(ctx) // one caller's leaving is not the others' concern
	flight := i.flights.DoChan(jti, func() (any, error) { return i.fly(detached, jti, token) })
	select {
	case answer := <-flight:
		return answer.Val == true, answer.Err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// trouble returns the failure of the latest request, while nothing more is asked.
func (i *introspector) trouble() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.failure != nil && time.Since(i.failed) < pause {
		return i.failure
	}
	return nil
}

// fly asks for all who wait. It ends after Timeout at the latest, and by Close.
func (i *introspector) fly(ctx context.Context, jti, token string) (revoked bool, err error) {
	if err := i.trouble(); err != nil {
		return false, err
	}
	if !i.limit.TryAcquire(1) {
		return false, errors.New("middleware: introspection: too many tokens are being asked about")
	}
	defer i.limit.Release(1)
	if known, ok := i.answers.Get(jti); ok { // since a moment ago
		return known == true, nil
	}
	if err := i.closed.Err(); err != nil {
		return false, errors.New("middleware: introspection: the Bearer was closed")
	}
	ctx, cancel := context.WithTimeout(ctx, i.Timeout)
	defer cancel()
	defer context.AfterFunc(i.closed, cancel)()
	active, err := i.ask(ctx, token)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.failure, i.failed = err, time.Now(); err != nil {
		return false, err
	}
	i.keep(jti, !active)
	return !active, nil
}

// keep caches an answer. A full cache drops its expired answers, or all of them if
// none has expired.
func (i *introspector) keep(jti string, revoked bool) {
	if i.answers.ItemCount() >= maxIntrospected {
		if i.answers.DeleteExpired(); i.answers.ItemCount() >= maxIntrospected {
			i.answers.Flush()
		}
	}
	i.answers.SetDefault(jti, revoked)
}

// ask is one request of RFC 7662, section 2.1.
func (i *introspector) ask(ctx context.Context, token string) (active bool, err error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, i.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return false, fmt.Errorf("middleware: introspection: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	r.SetBasicAuth(url.QueryEscape(i.ClientID), url.QueryEscape(i.ClientSecret)) // RFC 6749, section 2.3.1
	answer, err := i.Client.Do(r)
	if err != nil {
		return false, fmt.Errorf("middleware: introspection: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxIntrospection))
	if err != nil {
		return false, fmt.Errorf("middleware: introspection: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return false, fmt.Errorf("middleware: introspection: %s answered %d", i.Endpoint, answer.StatusCode)
	}
	return i.active(string(body))
}

// active reads the one member that decides (RFC 7662, section 2.2). The strict
// reader takes no other spelling of its name, and no name twice.
func (i *introspector) active(answer string) (bool, error) {
	members, err := jose.ParseObject(answer)
	if err != nil {
		return false, fmt.Errorf("middleware: introspection: %s: %w", i.Endpoint, err)
	}
	switch value, _ := members.Raw("active"); string(value) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("middleware: introspection: %s did not say whether the token is active", i.Endpoint)
}
