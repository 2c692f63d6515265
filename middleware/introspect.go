package middleware

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patrickmn/go-cache"
)

// Introspection is how [Introspect] asks an issuer. Endpoint, ClientID and
// ClientSecret are required.
type Introspection struct {
	// Endpoint is the issuer's introspection endpoint: https, or http on the
	// loopback, such as "https://auth.example.com/introspect".
	Endpoint string

	// ClientID and ClientSecret are this API's own credentials at the issuer
	// (client_secret_basic). The client must be allowed to see the tokens that
	// come here; for package issuer, by Client.Introspects.
	ClientID, ClientSecret string

	// CacheFor is how long an answer is kept, and so how late a revocation is
	// noticed at the most. Default 10 s.
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
	maxIntrospection = 64 << 10
	maxFlights       = 256         // tokens asked about at the same time
	askAgain         = time.Second // after a failure, so that an issuer in trouble is left alone
)

// Introspect makes a func for Config.Revoked that asks the issuer whether a
// token still stands (RFC 7662), for a resource server that does not share the
// issuer's process. The token has been verified by then; the issuer adds what
// only it knows. Answers are kept for CacheFor, at most 10 000 of them, and a
// token is asked about once, however many requests come with it.
//
// Call it before the first request: requests before it know of nobody who wants
// their token.
//
// What is wrong with c is the error of every call, so that requests are answered
// 503: a configuration that cannot ask never lets a token pass.
func Introspect(c Introspection) func(ctx context.Context, jti, clientID string, issuedAt time.Time) (bool, error) {
	c.CacheFor, c.Timeout = cmp.Or(c.CacheFor, 10*time.Second), cmp.Or(c.Timeout, 2*time.Second)
	if c.Client == nil {
		c.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	i := &introspector{
		Introspection: c, refusal: c.validate(), flights: map[string]*introspected{},
		answers: cache.New(c.CacheFor, cache.NoExpiration), // no janitor: keep sweeps
	}
	introspects.Store(true)
	return i.revoked
}

func (c *Introspection) validate() error {
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return fmt.Errorf(`middleware: Introspection.Endpoint %q: write the issuer's introspection endpoint, such as "https://auth.example.com/introspect"`, c.Endpoint)
	case u.Scheme != "https" && (u.Scheme != "http" || !c.InsecureHTTP && !isLoopback(u.Hostname())):
		return fmt.Errorf("middleware: Introspection.Endpoint %q: write https; http is for loopback only, unless InsecureHTTP is set", c.Endpoint)
	case c.ClientID == "" || c.ClientSecret == "":
		return errors.New("middleware: Introspection.ClientID and ClientSecret: write this API's own credentials at the issuer")
	case c.CacheFor < 0 || c.Timeout < 0:
		return errors.New("middleware: Introspection.CacheFor and Timeout: write positive durations, or leave them out")
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

type introspector struct {
	Introspection
	refusal error
	answers *cache.Cache // jti → whether revoked

	mu      sync.Mutex
	flights map[string]*introspected
	failure error     // of the latest request
	failed  time.Time // when that was; for a moment nothing more is asked
}

// introspected is an answer that is on its way.
type introspected struct {
	done    chan struct{}
	revoked bool
	err     error
}

func (i *introspector) revoked(ctx context.Context, jti, _ string, _ time.Time) (bool, error) {
	if i.refusal != nil {
		return false, i.refusal
	}
	if revoked, ok := i.answers.Get(jti); ok {
		return revoked == true, nil
	}
	token, ok := ctx.Value(credentialKey{}).(string)
	if !ok {
		return false, errors.New("middleware: Introspect works as Config.Revoked, with the context it is given there")
	}
	i.mu.Lock()
	flight, flying := i.flights[jti]
	if !flying {
		if i.failure != nil && time.Since(i.failed) < askAgain {
			defer i.mu.Unlock()
			return false, i.failure
		}
		if len(i.flights) >= maxFlights {
			defer i.mu.Unlock()
			return false, errors.New("middleware: introspection: too many tokens are being asked about")
		}
		flight = &introspected{done: make(chan struct{})}
		i.flights[jti] = flight
		go i.fly(context.WithoutCancel(ctx), jti, token, flight) // ends after Timeout at the latest
	}
	i.mu.Unlock()
	select {
	case <-flight.done:
		return flight.revoked, flight.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// fly asks, for all who wait, whoever of them leaves.
func (i *introspector) fly(ctx context.Context, jti, token string, flight *introspected) {
	ctx, cancel := context.WithTimeout(ctx, i.Timeout)
	defer cancel()
	active, err := i.ask(ctx, token)
	flight.revoked, flight.err = err == nil && !active, err
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.failure, i.failed = err, time.Now(); err == nil {
		if i.answers.ItemCount() >= maxIntrospected {
			if i.answers.DeleteExpired(); i.answers.ItemCount() >= maxIntrospected {
				i.answers.Flush()
			}
		}
		i.answers.SetDefault(jti, flight.revoked)
	}
	delete(i.flights, jti)
	close(flight.done)
}

// ask is one request of RFC 7662 §2.1.
func (i *introspector) ask(ctx context.Context, token string) (active bool, err error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, i.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return false, fmt.Errorf("middleware: introspection: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	r.SetBasicAuth(url.QueryEscape(i.ClientID), url.QueryEscape(i.ClientSecret)) // RFC 6749 §2.3.1
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
	var said struct {
		Active *bool `json:"active"`
	}
	if err := json.Unmarshal(body, &said); err != nil || said.Active == nil {
		return false, fmt.Errorf("middleware: introspection: %s did not say whether the token is active", i.Endpoint)
	}
	return *said.Active, nil
}

// credentialKey finds the presented token in the context that Config.Revoked is
// given.
type credentialKey struct{}

// introspects is whether anybody in this process can look for it: only Introspect
// knows the key. It spares the others an allocation per request.
var introspects atomic.Bool

func withCredential(ctx context.Context, credential string) context.Context {
	if !introspects.Load() {
		return ctx
	}
	return &revokedContext{ctx, credential}
}

// revokedContext is a request's context with its token in it.
type revokedContext struct {
	context.Context
	credential string
}

func (c *revokedContext) Value(key any) any {
	if key == (credentialKey{}) {
		return c.credential
	}
	return c.Context.Value(key)
}
