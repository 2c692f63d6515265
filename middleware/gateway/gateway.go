package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// Event is what [Config.Observe] gets.
type Event = event.Event

// Config is for [New]. Auth and Policy are required.
type Config struct {
	// Auth decides which tokens are valid. For several issuers see bearer.Any. It reports
	// each request to its own Observe, refusals by the policy among them. The app closes it.
	Auth *bearer.Bearer

	// Policy decides what a valid token may do.
	Policy *Policy

	// Shadow is a policy that decides nothing: see [Gateway.Report]. Not beside a Policy
	// with shadow rules.
	Shadow *Policy

	// ShadowAuth judges each request too, and decides nothing. What it lets in is judged by
	// Shadow, or else by Policy. Its Bearer.Judge may fetch keys and look up revocations,
	// and no request waits for it. Up to 256 requests are judged at once. More are not
	// judged, and Report.Skipped counts them.
	//
	// Not checked: whether a DPoP proof was used before.
	ShadowAuth *bearer.Bearer

	// Operators guards PolicyHandler and ReportHandler. Default Auth, unless that is of
	// several issuers, each of which can grant any scope: then both answer 500 without
	// Operators. The app closes it.
	Operators *bearer.Bearer

	// ReportClients is how many clients a report tells apart: the first it meets. Default
	// 100, at most 10 000.
	ReportClients int

	// Limits bounds what callers may send. Default none but those of rules.
	Limits Limits

	// Observe hears of the requests that are refused before Auth sees them, with
	// event.OpRequest: for their method or path, or the rate of their network. Default nobody.
	Observe func(context.Context, Event)
}

const (
	defaultReportClients = 100
	maxReportClients     = 10_000
	maxJudged            = 256
)

// Gateway guards routes by a policy. [New] makes it; the zero Gateway lets nothing in. It is
// safe for concurrent use.
type Gateway struct {
	auth, shadowAuth *bearer.Bearer
	operators        *bearer.Bearer // nil: nobody
	limiter          *limiter
	clients          int // of a report
	observe          func(context.Context, Event)

	now    atomic.Pointer[state]
	routes routes
	slots  chan struct{} // one for each request that shadowAuth judges
	closed atomic.Bool
}

// state is what decides on a request. A request has one, from its start to its end.
type state struct {
	policy, shadow *Policy
	report         *report // nil: nothing is in shadow
	since          time.Time
	counts         []ruleCounts  // by rule
	unmatched      atomic.Uint64 // refused because no rule was for them
}

type ruleCounts struct{ requests, refused atomic.Uint64 }

// New makes a Gateway. A contradiction in c is an error.
func New(c Config) (*Gateway, error) {
	switch {
	case c.Auth == nil:
		return nil, errors.New("gateway: Config.Auth is nil: write what bearer.New returns, and check its error")
	case c.ShadowAuth == c.Auth:
		return nil, errors.New("gateway: Config.ShadowAuth is Config.Auth: leave it out")
	case c.ReportClients < 0 || c.ReportClients > maxReportClients:
		return nil, fmt.Errorf("gateway: Config.ReportClients is %d: write up to %d, or 0 for %d", c.ReportClients, maxReportClients, defaultReportClients)
	}
	limiter, err := newLimiter(c.Limits)
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		auth: c.Auth, shadowAuth: c.ShadowAuth, operators: c.Operators, limiter: limiter, clients: c.ReportClients, observe: c.Observe,
		slots: make(chan struct{}, maxJudged),
	}
	if g.operators == nil && c.Auth.Status().Issuer != "" { // of one issuer
		g.operators = c.Auth
	}
	if g.clients == 0 {
		g.clients = defaultReportClients
	}
	if err := g.Swap(c.Policy, c.Shadow); err != nil {
		return nil, err
	}
	return g, nil
}

// Swap replaces both policies at once, for the requests that begin after it. shadow may be
// nil. A new report begins; limits keep what they have counted for a rule of the same
// methods, route and issuers. With an error nothing changes.
func (g *Gateway) Swap(policy, shadow *Policy) error {
	switch {
	case !g.usable():
		return errUnusable
	case policy == nil || len(policy.rules) == 0:
		return errors.New("gateway: the policy is nil or has no rules: write what NewPolicy or LoadPolicy returns, and check its error")
	case shadow != nil && len(shadow.rules) == 0:
		return errors.New("gateway: the shadow policy has no rules: check the error of what made it, or write nil")
	case shadow != nil && len(policy.shadow) > 0:
		return errors.New("gateway: the policy has shadow rules, and there is a shadow policy beside it: use one of them")
	}
	s := &state{policy: policy, shadow: shadow, since: time.Now(), counts: make([]ruleCounts, len(policy.rules))}
	if shadow != nil || len(policy.shadow) > 0 || g.shadowAuth != nil {
		s.report = newReport(s.since, g.clients)
	}
	g.now.Store(s)
	return nil
}

var errUnusable = errors.New("gateway: the Gateway was not made by New: check its error")

func (g *Gateway) usable() bool { return g != nil && g.auth != nil }

// state returns the current one, nil for a Gateway that New did not make.
func (g *Gateway) state() *state {
	if g == nil {
		return nil
	}
	return g.now.Load()
}

// Close waits for the requests that Config.ShadowAuth is judging, for at most 15 s: with an
// error, code of the app has not ended with its context. Later requests are not judged. It
// may be called more than once, and closes nothing of the app's.
func (g *Gateway) Close() error {
	if !g.usable() || g.closed.Swap(true) {
		return nil
	}
	late := time.After(judgeTimeout + 5*time.Second)
	for range cap(g.slots) {
		select {
		case g.slots <- struct{}{}:
		case <-late:
			return errors.New("gateway: Config.ShadowAuth is still judging a request")
		}
	}
	return nil
}

// passage is one request on its way through the gateway.
type passage struct {
	gateway *Gateway
	state   *state
	request *http.Request
	route   string
	method  string
	attempt *attempt // of the limiter; nil once it knows what came of it
	release func()   // of the limiter; nil if nothing is held

	decided  bool // the token is valid, and the policy has decided
	admitted bool
}

// enter begins a passage. It fails if the network of the caller has sent too much.
func (g *Gateway) enter(r *http.Request, route string, extract func(*http.Request) string) (*passage, *forwardError) {
	attempt, wait := g.limiter.unauthenticated(r, extract)
	if attempt == nil {
		return nil, &forwardError{
			status: http.StatusTooManyRequests, code: "temporarily_unavailable", text: tooMany, retryAfter: seconds(wait), cause: errNetwork,
		}
	}
	return &passage{gateway: g, state: g.now.Load(), request: r, route: route, method: r.Method, attempt: attempt}, nil
}

var errNetwork = errors.New("gateway: too many requests of this network without a valid token")

const tooMany = "too many requests, try again later"

// seconds rounds up: a caller that waits so long is let in.
func seconds(wait time.Duration) int {
	return max(1, int((wait+time.Second-1)/time.Second))
}

// decide is the check of the guard: it is called with a valid token.
func (p *passage) decide(t *bearer.Token) error {
	p.decided = true
	p.attempt.admitted(t.Issuer, t.ClientID, t.ExpiresAt)
	p.attempt = nil
	v := p.state.policy.decide(p.route, p.method, t)
	p.state.count(v)
	p.rehearse(t, v)
	if v.err != nil {
		return v.err
	}
	release, wait, ok := p.gateway.limiter.client(v.rule.name, v.rule.Limit, t.Issuer, t.ClientID)
	if !ok {
		return overLimit(wait)
	}
	p.release, p.admitted = release, true
	return nil
}

func overLimit(wait time.Duration) error {
	return &bearer.Error{Status: http.StatusTooManyRequests, Code: "temporarily_unavailable", Description: tooMany, RetryAfter: seconds(wait)}
}

// refused is told that the request has no valid token, or that none can be checked.
func (p *passage) refused(e *bearer.Error) {
	if p.decided {
		return // by the policy
	}
	if p.attempt != nil && e.Status < http.StatusInternalServerError {
		p.attempt.refused()
		p.attempt = nil
	}
	p.rehearseRefused(e)
}

// leave ends a passage, also after a panic of the handler.
func (p *passage) leave() {
	if p.attempt != nil {
		p.attempt.undecided()
	}
	if p.release != nil {
		p.release()
	}
}

func (s *state) count(v verdict) {
	if v.rule == nil {
		s.unmatched.Add(1)
		return
	}
	c := &s.counts[v.rule.index]
	c.requests.Add(1)
	if v.err != nil {
		c.refused.Add(1)
	}
}

// refuse reports a refusal that the Bearer does not know of.
func (g *Gateway) refuse(r *http.Request, reason event.Reason, e *forwardError) *forwardError {
	if g.observe != nil {
		g.observe(r.Context(), Event{Op: event.OpRequest, Reason: reason, Status: e.status, Code: e.code, Err: e.cause})
	}
	return e
}

// ambiguous is the answer to a method or a path that could be read in two ways.
func ambiguous(cause error) *forwardError {
	return &forwardError{status: http.StatusBadRequest, code: "invalid_request", text: "the method or the path of the request is not accepted here: send both in their plain form", cause: cause}
}
