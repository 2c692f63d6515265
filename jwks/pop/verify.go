package pop

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

// Request is what a proof is checked against.
type Request struct {
	// Proofs are all values of the DPoP header: r.Header.Values("DPoP"). There must be
	// exactly one, so an empty one beside another is refused too.
	Proofs []string
	// Method is the HTTP method.
	Method string
	// URL is the URL of the request. Put it together from the base URL that clients use,
	// which is configuration, and the escaped path of the request. Never take scheme and
	// host from the request: its sender chooses them. Query and fragment are
	// ignored.
	URL string
	// Alias is another URL of the same endpoint, under which clients may know it, such as
	// the one for clients with a certificate (RFC 8705, section 5). It is configuration as
	// URL is. "" if there is none.
	Alias string
	// AccessToken is the token that the request carries, "" at a token endpoint. The
	// proof must have its hash (ath).
	AccessToken string
	// Thumbprint is the jkt that the access token is bound to. "" allows any key, at a
	// token endpoint. Beside an AccessToken it is refused: that token is bound to nothing.
	Thumbprint string
	// Client is the client that has authenticated, "" if none has. It bounds how much of
	// the memory one client can use.
	Client string
	// Before is called when all else about the proof is right, before it is marked as
	// used. A token endpoint marks a client assertion as used here, not earlier: a client
	// that is told to use another nonce may send the same assertion again (RFC 9449,
	// section 8). Its error is returned as it is, and the proof stays unused. May be nil.
	Before func(context.Context) error
}

// Proof is a proof that was accepted.
type Proof struct {
	// Thumbprint is the SHA-256 thumbprint (RFC 7638) of the proof's key: the jkt to
	// bind a token to.
	Thumbprint string
	// Nonce goes into the DPoP-Nonce header of the answer, unless it is "": the client
	// has the current one.
	Nonce string
}

// Verify checks the proof of a request by RFC 9449, section 4.3, and marks it as used. A
// proof is accepted once. Authenticate the client before, and check the access token
// before: then only known clients can use memory. The error is an *[Error], wraps
// [ErrUnavailable] if nobody can tell whether the proof is a replay, or is that of
// Request.Before.
//
// Not checked: the access token, and that Request.Thumbprint is its jkt.
func (v *Verifier) Verify(ctx context.Context, r Request) (Proof, error) {
	if v == nil || len(v.algorithms) == 0 {
		return Proof{}, fmt.Errorf("%w: %w", ErrUnavailable, errNotMade)
	}
	now := time.Now()
	p, refused := v.read(r.Proofs)
	if refused == nil {
		refused = v.check(&r, &p, now)
	}
	if refused == nil && r.Before != nil {
		if err := r.Before(ctx); err != nil {
			return Proof{}, err
		}
	}
	if refused == nil {
		// The proof is used up last. Otherwise a client that has to try again with a nonce
		// could not use its client assertion again, and a wrong proof would use memory.
		var err error
		if refused, err = v.spend(ctx, &r, &p); err != nil {
			return Proof{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	current := v.nonces.Current()
	if refused != nil {
		refused.Nonce = current
		return Proof{}, refused
	}
	v.keys.put(p.header, p.key)
	if p.nonce == current {
		current = ""
	}
	return Proof{Thumbprint: p.thumbprint, Nonce: current}, nil
}

// check holds the claims against the request, the clock and the nonces.
func (v *Verifier) check(r *Request, p *proof, now time.Time) *Error {
	if p.method != r.Method || r.Method == "" {
		return refuse("the DPoP proof is for another HTTP method (htm)", nil)
	}
	if !sameTarget(p.url, r.URL) && (r.Alias == "" || !sameTarget(p.url, r.Alias)) {
		return refuse("the DPoP proof is for another URL (htu)", nil)
	}
	switch {
	case p.issued.After(now.Add(v.leeway)):
		return refuse("the DPoP proof is from the future (iat)", nil)
	case v.tooOld(p, now), p.hasExpiry && !now.Before(p.expires.Add(v.leeway)):
		return refuse("the DPoP proof is too old (iat)", nil)
	case p.notBefore.After(now.Add(v.leeway)):
		return refuse("the DPoP proof is not valid yet (nbf)", nil)
	}
	if r.AccessToken != "" && p.hash != tokenHash(r.AccessToken) {
		return refuse("the DPoP proof is for another access token (ath)", nil)
	}
	if r.Thumbprint == "" && r.AccessToken != "" {
		return &Error{Code: invalidToken, Description: "the access token is not bound to a key"}
	}
	if r.Thumbprint != "" && p.thumbprint != r.Thumbprint {
		return &Error{Code: invalidToken, Description: "the DPoP proof is of another key than the access token is bound to"}
	}
	switch {
	case v.nonces == nil:
	case p.nonce == "" && v.requireNonce:
		return &Error{Code: useNonce, Description: "the DPoP proof must have the nonce of the DPoP-Nonce header"}
	case p.nonce != "" && !v.nonces.valid(p.nonce):
		return &Error{Code: useNonce, Description: "the nonce of the DPoP proof is not valid"}
	}
	return nil
}

// tooOld reports whether the iat of a proof is no longer accepted.
func (v *Verifier) tooOld(p *proof, now time.Time) bool {
	return !now.Before(p.issued.Add(v.maxAge + v.leeway))
}

// spend marks the proof as used, or refuses it. Request.Before may have taken long, so its
// age is checked again: a record that has ended already would allow a second use.
func (v *Verifier) spend(ctx context.Context, r *Request, p *proof) (*Error, error) {
	now := time.Now()
	if v.tooOld(p, now) {
		return refuse("the DPoP proof is too old (iat)", nil), nil
	}
	first, err := v.once(ctx, r, p, now)
	if first || err != nil {
		return nil, err
	}
	refused := refuse("the DPoP proof was used before", nil)
	refused.Replayed = true
	return refused, nil
}

const (
	replayTimeout = 3 * time.Second // of one call of Config.Replay

	// storeMargin is how much longer than needed Config.Replay keeps a record. The store
	// decides by its own clock, which may be a minute ahead of this one
	// (registry.MaxClockSkew), and a call may take until its timeout.
	storeMargin = time.Minute + replayTimeout
)

// once reports whether the proof is used for the first time. It is recorded for as long
// as a replica with a slower clock, by the leeway, accepts it.
func (v *Verifier) once(ctx context.Context, r *Request, p *proof, now time.Time) (bool, error) {
	until := p.issued.Add(v.maxAge + 2*v.leeway)
	if v.replay == nil {
		return v.memory.once(v.memory.at(now), digestOf(p.thumbprint+"."+p.id), digestOf(p.thumbprint), r.Client, until)
	}
	bound, cancel := context.WithTimeoutCause(ctx, replayTimeout, errReplaySlow)
	defer cancel()
	// A hash is text that every database takes, whatever the client has written.
	sum := sha256.Sum256([]byte(p.id))
	first, err := v.replay(bound, "dpop:"+p.thumbprint, base64.RawURLEncoding.EncodeToString(sum[:]), until.Add(storeMargin))
	if err != nil && ctx.Err() == nil && bound.Err() != nil {
		err = fmt.Errorf("%w: %w", errReplaySlow, err)
	}
	return first, err
}

var errReplaySlow = errors.New("Config.Replay has not answered within 3 s")
