package issuer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// lockout slows guessing down. Only chosen secrets can be guessed. Generated ones
// cannot, and cost nothing to check.
//
// Attempts with chosen secrets are counted per client and per network. A client has a
// burst of attempts; then the networks take turns, see turns. A network has ten times
// as many, for all clients together; then one per networkRefill. A right secret from a
// trusted network is accepted whatever the counts are, see trust. A wrong one from
// there is answered by the counts.
//
// An attempt is reserved before its secret is compared with anything, a cached
// fingerprint included. It is given back when the secret is right, or when nothing was
// compared. How the attempt is answered, and whether the caller has left, does not
// matter. So wherever the answer tells a right secret from a wrong one, the wrong one
// has cost an attempt.
//
// Queries of a network that ended without success, and without such an attempt, count
// for the network alone. At its limit, no more ids are looked up for it.
//
// Unknown ids are counted as clients are, in maps of their own. So a flood of made-up
// ids evicts no client's count, and an unknown id is answered as a client is. Each
// replica counts for itself.
type lockout struct {
	clients  *turns // of clients
	unknown  *turns // of unknown ids
	networks *meters
	queries  *meters // without success, per network
	trust    *trust
}

const (
	networkFactor = 10 // a network has many clients
	networkRefill = 30 * time.Second
	queryRefill   = time.Second
	maxAttempts   = 1_000_000
)

func newLockout(store registry.Store, queue *fairQueue, attempts int) *lockout {
	attempts = min(attempts, maxAttempts)
	return &lockout{
		clients:  newTurns(attempts),
		unknown:  newTurns(attempts),
		networks: newMeters(allowance{attempts * networkFactor, networkRefill}),
		queries:  newMeters(allowance{attempts * networkFactor, queryRefill}),
		trust:    newTrust(store, queue, attempts),
	}
}

// attempt is the client that a request claims to be, and where it comes from.
type attempt struct {
	clientID string
	address  string // empty: not known
	network  string // of the address; generated sets it when it needs it
	secret   string // the fingerprint of a chosen secret
}

// steps are the steps of an attempt. An error of one is the refusal.
type steps struct {
	atOnce      func() bool // find needs no query, or one that goes ahead
	find        func() (lookedUp, *Error)
	full        func() bool                                  // find would refuse another id that needs a query
	matchCached func() (cached bool, err *Error)             // compares with the cached fingerprint, if there is one
	check       func(ahead bool) (compared bool, err *Error) // ahead of callers whose network is not trusted
}

// lookedUp is the result of find.
type lookedUp struct {
	exists bool
	stale  bool // the store is away
}

// run finds and checks, without limits.
func run(s steps) *Error {
	if _, err := s.find(); err != nil {
		return err
	}
	_, err := s.check(false)
	return err
}

// generated runs an attempt with a generated secret. A right one is refused in one case
// only: its network has failed too often, the client was not seen recently, and it has
// never succeeded from that network.
func (l *lockout) generated(a attempt, s steps) *Error {
	if l == nil {
		return run(s)
	}
	if s.atOnce() {
		err := run(s)
		if err == nil {
			l.trust.succeeded(a, false)
			return nil
		}
		a.network = networkOf(a.address)
		if refusal := l.refusedQueries(a); refusal != nil {
			return refusal
		}
		if err.Status == http.StatusUnauthorized && a.network != "" {
			l.queries.use(a.network)
		}
		return err
	}
	a.network = networkOf(a.address)
	query, refusal := l.reserveQuery(a)
	if refusal != nil && !l.trust.mayRead(a) {
		return refusal
	}
	if _, err := s.find(); err != nil {
		query.settle(callerLeft(err))
		return cmp.Or(refusal, err)
	}
	if _, err := s.check(false); err != nil {
		query.settle(failed)
		return cmp.Or(refusal, err)
	}
	query.settle(succeeded)
	l.trust.succeeded(a, false)
	return nil
}

// reserveQuery reserves one of the network's queries without success, for an id that is
// not cached. The error is the answer if none is left.
func (l *lockout) reserveQuery(a attempt) (*reservation, *Error) {
	if refusal := l.refusedByNetwork(a); refusal != nil || a.network == "" {
		return nil, refusal
	}
	if query := l.queries.reserve(a.network, a.clientID); query != nil {
		return query, nil
	}
	return nil, refuse(max(time.Second, l.queries.wait(a.network)), lockedOut{a.network, l.queries.allowance})
}

// callerLeft returns the outcome of a query that find has failed at. If the caller left
// while the query ran, it has failed.
func callerLeft(err *Error) outcome {
	if errors.Is(err.cause, errLookupLeft) {
		return failed
	}
	return untried
}

// chosen runs an attempt with a chosen secret. A refused attempt costs no hash, and no
// query if its network is refused.
func (l *lockout) chosen(ctx context.Context, a attempt, s steps) *Error {
	if l == nil {
		return run(s)
	}
	refusal := l.refusedByNetwork(a)
	if refusal != nil && !l.trust.has(a) {
		return refusal
	}
	var query *reservation
	if refusal == nil && !s.atOnce() {
		if query, refusal = l.reserveQuery(a); refusal != nil && !l.trust.mayRead(a) {
			return refusal
		}
	}
	found, err := s.find()
	if err != nil {
		query.settle(callerLeft(err))
		return cmp.Or(refusal, err)
	}
	g := guessing{lockout: l, ctx: ctx, attempt: a, steps: s, lookedUp: found, refusal: refusal}
	err = g.run()
	switch {
	case err == nil:
		query.settle(succeeded)
		l.trust.succeeded(a, true)
	case g.outcome == failed: // it has cost an attempt
		query.settle(untried)
	default:
		query.settle(failed)
	}
	return err
}

// refusedByNetwork returns the answer to a request whose network has failed too
// often with chosen secrets, nil if it has not.
func (l *lockout) refusedByNetwork(a attempt) *Error {
	if l == nil || a.network == "" {
		return nil
	}
	return refuse(l.networks.wait(a.network), lockedOut{a.network, l.networks.allowance})
}

// refusedQueries returns the answer to a wrong generated secret, or to an id that needs
// a query, if its network has failed too often with secrets of either kind. It returns
// nil if it has not.
func (l *lockout) refusedQueries(a attempt) *Error {
	if refusal := l.refusedByNetwork(a); refusal != nil || a.network == "" {
		return refusal
	}
	return refuse(l.queries.wait(a.network), lockedOut{a.network, l.queries.allowance})
}

// refuse returns the answer to a request that must wait, nil if it need not wait.
func refuse(wait time.Duration, cause error) *Error {
	if wait <= 0 {
		return nil
	}
	return &Error{
		Status: http.StatusTooManyRequests, Code: "temporarily_unavailable",
		Description: "too many failed attempts, try again later",
		RetryAfter:  int((wait + time.Second - 1) / time.Second), reason: event.LockedOut, cause: cause,
	}
}

// lockedOut is the private cause of a refusal.
type lockedOut struct {
	network string // empty: the client
	allowance
}

var errLockedOut = errors.New("issuer: too many failed attempts of this client or network")

func (e lockedOut) Error() string {
	who := "at this client, from all networks together"
	if e.network != "" {
		who = "from the network " + e.network
	}
	return fmt.Sprintf("issuer: too many failed attempts %s: %d are allowed, then one per %v", who, e.attempts, e.every)
}

func (e lockedOut) Is(target error) bool { return target == errLockedOut }

// run writes what trust learns to the store, until the context ends.
func (l *lockout) run(ctx context.Context) {
	if l != nil {
		l.trust.run(ctx)
	}
}

// flush writes to the store what trust has learned up to now.
func (l *lockout) flush(ctx context.Context) {
	if l != nil {
		l.trust.flush(ctx)
	}
}

func (l *lockout) sweep() {
	if l == nil {
		return
	}
	l.clients.sweep()
	l.unknown.sweep()
	l.networks.all.sweep()
	l.queries.all.sweep()
	l.trust.sweep()
}
