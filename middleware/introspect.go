package middleware

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/fetch"
)

// Introspection is how an API asks its issuer about tokens, for
// [Config.Introspection]. Endpoint, ClientID and ClientSecret are required.
//
// At most 10 000 answers are cached. Requests with the same token share one question.
// At most 256 questions are open at the same time. One client, by the client_id of its
// tokens, has at most a quarter of each: its further tokens are answered 503, and its
// own oldest answers are evicted.
//
// If the issuer answers 4xx about a token, or something that cannot be read, requests
// with that token are answered 503 for a second without another question. Other tokens
// are not affected. If the issuer fails (no answer, 401, 429, or any status but 200 and
// 4xx), it is asked nothing for a second, or for as long as Retry-After of a 429 or 503
// says, up to a minute. Cached answers stay in use.
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
	// token are then readable on the network.
	InsecureHTTP bool
}

const (
	maxIntrospection = 64 << 10       // bytes of an answer
	maxFlights       = 256            // tokens asked about at the same time
	maxOwnFlights    = maxFlights / 4 // of one client
	pause            = time.Second    // after a failure, in which the issuer is asked nothing
	longestPause     = time.Minute    // that Retry-After can ask for
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

// introspector asks the issuer, and caches its answers.
type introspector struct {
	Introspection
	flights singleflight.Group
	closed  context.Context
	close   context.CancelFunc
	report  func(context.Context, Event) // of changes; nil: not observed

	mu      sync.Mutex
	answers *answers
	flying  int // requests under way
	trouble trouble
}

// trouble is a failure of the issuer. Until its end no token is asked about.
type trouble struct {
	err  error
	ends time.Time
	told bool // the issuer sent Retry-After: an answer to an earlier request does not end it
}

func newIntrospector(c Introspection) (*introspector, error) {
	c.CacheFor, c.Timeout = cmp.Or(c.CacheFor, 10*time.Second), cmp.Or(c.Timeout, 2*time.Second)
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.Client == nil {
		c.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	i := &introspector{Introspection: c, answers: newAnswers()}
	i.closed, i.close = context.WithCancel(context.Background())
	return i, nil
}

// revoked reports whether the issuer says that a token, which has been verified, is
// no longer active. Every answer that does not clearly say yes or no is an error.
func (i *introspector) revoked(ctx context.Context, jti, clientID, token string) (bool, error) {
	id := digest(jti)
	if known, ok := i.answers.get(id); ok {
		return known.revoked, known.err
	}
	detached := context.WithoutCancel(ctx) // a caller that leaves does not end it for the rest
	flight := i.flights.DoChan(id, func() (any, error) { return i.fly(detached, id, digest(clientID), token) })
	select {
	case answer := <-flight:
		return answer.Val == true, answer.Err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// fly asks for all requests with the token. It ends after Timeout, or at Close.
func (i *introspector) fly(ctx context.Context, id, client, token string) (revoked bool, err error) {
	s, known, err := i.depart(id, client)
	switch {
	case err != nil:
		return false, err
	case known != nil:
		return known.revoked, known.err
	}
	ctx, cancel := context.WithTimeout(ctx, i.Timeout)
	defer cancel()
	defer context.AfterFunc(i.closed, cancel)()
	active, err := i.ask(ctx, token)
	i.arrive(id, s, !active, err)
	return err == nil && !active, err
}

var (
	errClosed     = errors.New("middleware: introspection: the Bearer was closed")
	errManyTokens = errors.New("middleware: introspection: too many tokens are being asked about")
	errManyOfOne  = errors.New("middleware: introspection: too many tokens of this client are being asked about")
)

// depart counts a request of a client. It returns the answer instead if that is cached by
// now, or an error if no request may be made.
func (i *introspector) depart(id, client string) (*share, *cachedAnswer, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if known, ok := i.answers.get(id); ok {
		return nil, known, nil
	}
	switch {
	case i.closed.Err() != nil:
		return nil, nil, errClosed
	case i.trouble.err != nil && time.Now().Before(i.trouble.ends):
		return nil, nil, i.trouble.err
	case i.flying >= maxFlights:
		return nil, nil, errManyTokens
	}
	s := i.answers.share(client)
	if s.flying >= maxOwnFlights {
		return nil, nil, errManyOfOne
	}
	i.flying++
	s.flying++
	return s, nil, nil
}

// arrive takes the result of a request: an answer about its token, or a failure of the
// issuer.
func (i *introspector) arrive(id string, s *share, revoked bool, err error) {
	i.mu.Lock()
	before := i.trouble.err
	i.settle(id, s, revoked, err)
	after := i.trouble.err
	i.mu.Unlock()
	if i.report == nil || (before == nil) == (after == nil) {
		return
	}
	e := Event{Op: event.OpIntrospect, URL: i.Endpoint, Err: after}
	if after != nil {
		e.Reason = event.RevocationsUnavailable
	}
	i.report(context.Background(), e)
}

func (i *introspector) settle(id string, s *share, revoked bool, err error) {
	now := time.Now()
	switch {
	case err == nil:
		i.answers.put(id, s, revoked, nil, i.CacheFor)
		if !i.trouble.told || !now.Before(i.trouble.ends) {
			i.trouble = trouble{}
		}
	case isAboutToken(err):
		i.answers.put(id, s, false, err, pause)
	case i.closed.Err() != nil: // not the issuer's
	default:
		next := trouble{err: err, ends: now.Add(pause)}
		if status, ok := errors.AsType[*fetch.StatusError](err); ok && status.RetryAfter > 0 {
			next.ends, next.told = now.Add(min(max(status.RetryAfter, pause), longestPause)), true
		}
		if next.ends.After(i.trouble.ends) {
			i.trouble = next
		}
	}
	i.flying--
	s.flying--
	i.answers.release(s)
}

// status returns how many answers are cached, how many questions are open, and the
// current failure of the issuer.
func (i *introspector) status() (cached, flying int, failure error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if failure = i.trouble.err; i.closed.Err() != nil {
		failure = errClosed
	}
	return i.answers.order.Len(), i.flying, failure
}

// ready returns why the issuer is not asked now; nil if it is.
func (i *introspector) ready() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.closed.Err() != nil:
		return errClosed
	case time.Now().Before(i.trouble.ends):
		return i.trouble.err
	}
	return nil
}
