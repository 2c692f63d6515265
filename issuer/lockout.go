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

// lockout slows guessing down. Guessing needs a chosen secret: generated ones cannot
// be guessed and cost nothing to check.
//
// Attempts with chosen secrets are counted for each client and each network that
// requests come from. A client has some free attempts; then the networks take turns,
// see turns. A network has ten times as many, for all clients together; then one is
// let through each networkRefill. A client whose network is trusted is let through
// whatever these say, see trust; a wrong secret is then answered as they say.
//
// An attempt is reserved before its secret is compared with anything, the fingerprint
// of a known one included. It is given back when the secret is right, or when nothing
// was compared; never because of how it is answered, or because the caller has left.
// Where a right secret would be answered otherwise than a wrong one, the wrong one has
// cost an attempt.
//
// What a network has looked up in the store without success, and without such an
// attempt, counts for the network alone, and decides nothing but that it has no more
// ids looked up.
//
// Unknown clients are counted as known ones are, in maps of their own, so that a
// flood of made-up ids neither evicts a client's count nor can be told from one.
// Each replica counts for itself.
type lockout struct {
	clients  *turns // clients there are
	unknown  *turns // and are not
	networks *meters
	queries  *meters // in vain, per network
	trust    *trust
}

const (
	networkFactor = 10 // a network has many clients
	networkRefill = 30 * time.Second
	queryRefill   = time.Second
	lockoutMemory = 3 * time.Hour
	maxAttempts   = 1_000_000
)

func newLockout(store registry.Store, queue *fairQueue, attempts int) *lockout {
	attempts = min(attempts, maxAttempts)
	return &lockout{
		clients:  newTurns(attempts),
		unknown:  newTurns(attempts),
		networks: newMeters(allowance{attempts * networkFactor, networkRefill}, lockoutMemory),
		queries:  newMeters(allowance{attempts * networkFactor, queryRefill}, lockoutMemory),
		trust:    newTrust(store, queue, attempts),
	}
}

// attempt is who a request claims to be and where it comes from.
type attempt struct {
	clientID string
	address  string // empty: not known
	network  string // of the address; generated sets it where it is needed
	secret   string // the fingerprint of a chosen one
}

// steps are what an attempt consists of. An error says that the caller is not let in.
type steps struct {
	atOnce func() bool // find needs no query, or one that goes ahead
	find   func() (looked, *Error)
	full   func() bool                                  // find would turn away another id that needs a query
	look   func() (known bool, err *Error)              // compares with the fingerprint of a known secret, if there is one
	check  func(ahead bool) (compared bool, err *Error) // ahead of those whose network is not trusted
}

// looked is what find has found.
type looked struct {
	exists bool
	stale  bool // the store is away
}

// run finds and checks, with no limit.
func run(s steps) *Error {
	if _, err := s.find(); err != nil {
		return err
	}
	_, err := s.check(false)
	return err
}

// generated runs an attempt with a generated secret. A right one is never refused
// for what has failed, unless its network has failed too often and the client was not
// seen lately, nor has ever succeeded from there.
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
	if refusal != nil && !l.trust.mayAsk(a) {
		return refusal
	}
	if _, err := s.find(); err != nil {
		query.settle(left(err))
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

// reserveQuery reserves a query in vain for an id that is not cached. The error is the
// answer where there is none left.
func (l *lockout) reserveQuery(a attempt) (*reservation, *Error) {
	if refusal := l.refusedByNetwork(a); refusal != nil || a.network == "" {
		return nil, refusal
	}
	if query := l.queries.reserve(a.network, a.clientID); query != nil {
		return query, nil
	}
	return nil, refuse(max(time.Second, l.queries.wait(a.network)), lockedOut{a.network, l.queries.allowance})
}

// left is what a query was that find has failed at: in vain if the caller has left
// while it ran.
func left(err *Error) outcome {
	if errors.Is(err.cause, errLookupLeft) {
		return failed
	}
	return untried
}

// chosen runs an attempt with a chosen secret. One that is refused costs no query
// if the network alone is refused, and never a hash.
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
		if query, refusal = l.reserveQuery(a); refusal != nil && !l.trust.mayAsk(a) {
			return refusal
		}
	}
	found, err := s.find()
	if err != nil {
		query.settle(left(err))
		return cmp.Or(refusal, err)
	}
	g := guessing{lockout: l, ctx: ctx, attempt: a, steps: s, looked: found, refusal: refusal}
	err = g.run()
	switch {
	case err == nil:
		query.settle(succeeded)
		l.trust.succeeded(a, true)
	case g.outcome == failed: // that counts enough
		query.settle(untried)
	default:
		query.settle(failed)
	}
	return err
}

// refusedByNetwork returns the answer to a request whose network has failed too
// often, nil if it has not.
func (l *lockout) refusedByNetwork(a attempt) *Error {
	if l == nil || a.network == "" {
		return nil
	}
	return refuse(l.networks.wait(a.network), lockedOut{a.network, l.networks.allowance})
}

// refusedQueries returns the answer to a wrong generated secret, or an id to look up,
// of a network that has failed too often, with chosen or generated secrets, nil if it
// has not.
func (l *lockout) refusedQueries(a attempt) *Error {
	if refusal := l.refusedByNetwork(a); refusal != nil || a.network == "" {
		return refusal
	}
	return refuse(l.queries.wait(a.network), lockedOut{a.network, l.queries.allowance})
}

// refuse returns the answer to a request that must wait, nil if it need not.
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

// lockedOut is the cause of a refusal, which the client is not told.
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
	return fmt.Sprintf("issuer: too many failed attempts %s: there were %d, and one more each %v", who, e.attempts, e.every)
}

func (e lockedOut) Is(target error) bool { return target == errLockedOut }

// run keeps what trust learns, until the context ends.
func (l *lockout) run(ctx context.Context) {
	if l != nil {
		l.trust.run(ctx)
	}
}

// flush keeps what has been learned up to now.
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
