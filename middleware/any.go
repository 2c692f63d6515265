package middleware

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// Any returns a Bearer for the tokens of several issuers, each with a Bearer of its own.
// The claim iss of a token, which is not verified yet, says which of them checks it, and
// that one alone does: with its keys, its cache, its revocations and its replays. A token
// of another issuer is answered 401 before any key is fetched.
//
//	auth, err := bearer.Any(ours, keycloak)
//
// All guards work with it, and a request is verified once, also if guards of Any and of
// its members follow each other. [Token.Issuer] tells a handler whose token it is: the
// same ClientID at two issuers is two clients. Give each member a Revoked of its own, as
// that func is not told the issuer.
//
// What is wrong with a token is answered, and reported to Observe, as its member does. The
// first Bearer does that for a request without a token, or with one of no member. Status,
// Ready and Close are of all. Any of an Any has the members of both. At most one may be
// of [AnyTenant]; the others come before it. Two Bearers of one issuer are an error.
func Any(bearers ...*Bearer) (*Bearer, error) {
	if len(bearers) == 0 {
		return nil, errors.New("middleware: Any of no Bearer: write the Bearer of each issuer")
	}
	s := &members{fixed: map[string]*Bearer{}}
	var tenants *Bearer
	for i, b := range bearers {
		if !b.usable() {
			return nil, fmt.Errorf("middleware: Any: Bearer %d was not made by New: check its error", i+1)
		}
		list := []*Bearer{b}
		if b.members != nil {
			list = b.members.list
		}
		for _, m := range list {
			if s.fixed[m.issuer] != nil {
				return nil, fmt.Errorf("middleware: Any: two Bearers are for the issuer %q", m.issuer)
			}
			s.fixed[m.issuer] = m
			s.list = append(s.list, m)
		}
		if b.members == nil || b.members.tenants == nil {
			continue
		}
		if tenants != nil {
			return nil, errors.New("middleware: Any: two Bearers are of AnyTenant: write one that knows all issuers")
		}
		tenants, s.tenants = b, b.members.tenants
	}
	if err := s.sameResource(); err != nil {
		return nil, err
	}
	first := tenants
	if len(s.list) > 0 {
		first = s.list[0]
	}
	return s.bearer(first), nil
}

// members are the Bearers of several issuers.
type members struct {
	fixed   map[string]*Bearer // by issuer
	list    []*Bearer          // in the order of the call
	tenants *tenants           // nil: there are no others
}

// member is the Bearer that is for a token. release ends its use.
type member struct {
	*Bearer
	tenant *tenant // nil: a fixed one
}

// release ends the use. verified says whether a token of this issuer was.
func (m member) release(verified bool) {
	if m.tenant != nil {
		m.tenant.of.release(m.tenant, verified)
	}
}

// bearer makes the Bearer of the members. What concerns no single one is as first has it.
func (s *members) bearer(first *Bearer) *Bearer {
	b := &Bearer{
		members: s, hint: first.hint, invalid: first.invalid, resource: first.resource, clientIP: first.clientIP, observe: first.observe, background: first.background,
		requireBound: len(s.list) > 0 && s.tenants == nil, maxTokenBytes: first.maxTokenBytes,
	}
	for _, m := range s.list {
		b.maxTokenBytes = max(b.maxTokenBytes, m.maxTokenBytes)
		b.requireBound = b.requireBound && m.requireBound
		if b.dpop == nil {
			b.dpop = m.dpop // for challenges; the member's checks proofs
		}
		if b.certificates == nil {
			b.certificates = m.certificates
		}
	}
	return b
}

// sameResource returns an error if the metadata of the members differ: there is one API.
func (s *members) sameResource() error {
	for _, m := range s.list {
		if m.hint.metadata != s.list[0].hint.metadata {
			return fmt.Errorf("middleware: Any: the Config.Resource of %q and %q differ: write the same one for all", s.list[0].issuer, m.issuer)
		}
	}
	return nil
}

// has reports whether a Bearer is one of the members.
func (s *members) has(b *Bearer) bool {
	return s.fixed[b.issuer] == b || s.tenants != nil && b.owner.Load() == s.tenants
}

// fewMembers may be asked for a cached token in turn: that takes less time than reading
// iss.
const fewMembers = 8

// choose returns the member whose token the request has. It fetches nothing. prior is
// what an earlier guard of a member verified, or nil.
func (s *members) choose(from caller, prior *verified) (member, *Error) {
	raw, _, e := from.bearer.credential(from.request)
	if e != nil {
		return member{}, e
	}
	if prior != nil && prior.raw == raw {
		return member{Bearer: prior.by}, nil
	}
	if len(s.list) <= fewMembers {
		for _, m := range s.list {
			if m.cache.Get(raw) != nil { // it was verified, iss included
				return member{Bearer: m}, nil
			}
		}
	}
	issuer, e := from.bearer.claimedIssuer(raw)
	if e != nil {
		return member{}, e
	}
	if m := s.fixed[issuer]; m != nil {
		return member{Bearer: m}, nil
	}
	if s.tenants == nil {
		return member{}, unknownIssuer(issuer)
	}
	return s.tenants.get(from, issuer)
}

// claimedIssuer reads iss of a token that nobody has verified. The member's own check
// reads the same text in the same way, and decides.
func (b *Bearer) claimedIssuer(raw string) (string, *Error) {
	if e := several(raw); e != nil {
		return "", e
	}
	jws, err := jose.Parse(raw, b.maxTokenBytes)
	if err != nil {
		return "", invalidToken(event.MalformedToken, err)
	}
	payload, err := jws.UnverifiedPayload()
	if err != nil {
		return "", invalidToken(event.MalformedToken, err)
	}
	claims, err := jose.ParseObject(payload)
	if err != nil {
		return "", invalidToken(event.InvalidClaims, err)
	}
	r := reader{claims: &claims}
	issuer := r.text("iss")
	if r.err != nil {
		return "", invalidToken(event.InvalidClaims, r.err)
	}
	return issuer, nil
}

func unknownIssuer(issuer string) *Error {
	return invalidToken(event.WrongIssuer, fmt.Errorf("middleware: iss is %.200q, which no Bearer is for", issuer))
}

// current are the members, those of tenants that are cached included.
func (s *members) current() []*Bearer {
	if s.tenants == nil {
		return s.list
	}
	return append(s.list[:len(s.list):len(s.list)], s.tenants.current()...)
}

func (s *members) close() error {
	var errs []error
	for _, m := range s.list {
		errs = append(errs, m.Close())
	}
	if s.tenants != nil {
		errs = append(errs, s.tenants.close())
	}
	return errors.Join(errs...)
}

// ready asks all members. One whose tokens cannot be checked stops no other, so the error
// is a jwks.ErrUnavailable only if that is so of all.
func (s *members) ready(ctx context.Context) error {
	list := s.current()
	errs := make([]error, len(list))
	var asked sync.WaitGroup
	for i, m := range list {
		asked.Go(func() {
			if err := m.Ready(ctx); err != nil {
				errs[i] = fmt.Errorf("%s: %w", m.issuer, err)
			}
		})
	}
	asked.Wait()
	down := 0
	for _, err := range errs {
		if errors.Is(err, jwks.ErrUnavailable) {
			down++
		}
	}
	if s.tenants != nil {
		err := s.tenants.ready()
		if errors.Is(err, jwks.ErrUnavailable) {
			return err
		}
		errs = append(errs, err)
	}
	all := errors.Join(errs...)
	if all == nil || len(list) > 0 && down == len(list) && s.tenants == nil {
		return all
	}
	return errors.New(all.Error()) // hides the failure of one behind a text
}

// status adds up the members.
func (s *members) status() Status {
	var sum Status
	for _, m := range s.current() {
		one := m.Status()
		sum.Keys, sum.Revocations, sum.Replays = errors.Join(sum.Keys, one.Keys), errors.Join(sum.Revocations, one.Revocations), errors.Join(sum.Replays, one.Replays)
		sum.Hits, sum.Misses = sum.Hits+one.Hits, sum.Misses+one.Misses
		sum.Cached, sum.Answers, sum.Asking = sum.Cached+one.Cached, sum.Answers+one.Answers, sum.Asking+one.Asking
		sum.Members = append(sum.Members, one)
	}
	return sum
}
