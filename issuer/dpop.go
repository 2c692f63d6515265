package issuer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// proofs checks the DPoP proofs of token requests (RFC 9449, section 5).
type proofs struct {
	verifier *pop.Verifier
	nonces   *pop.Nonces
	url      string // the token endpoint, which a proof must name
	alias    string // the same for clients with a certificate; empty: there is none
}

// newProofs returns nil if DPoP is off.
func newProofs(c Config) (*proofs, error) {
	if c.DPoP == nil {
		return nil, nil
	}
	config := *c.DPoP
	if config.Replay == nil && config.Capacity == 0 && config.PerKey == 0 {
		config.Replay = c.Store.Once
	}
	verifier, err := pop.NewVerifier(config)
	if err != nil {
		return nil, fmt.Errorf("issuer: Config.DPoP: %w", err)
	}
	p := &proofs{verifier: verifier, nonces: config.Nonces, url: strings.TrimSuffix(c.Issuer, "/") + c.TokenPath}
	if c.ClientCertificates != nil && c.ClientCertificates.Origin != "" {
		p.alias = c.ClientCertificates.Origin + pathsOf(c.Issuer, c.TokenPath).token
	}
	return p, nil
}

func (p *proofs) algorithms() []string {
	if p == nil {
		return nil
	}
	return p.verifier.Algorithms()
}

// bindKey checks the proof of the request. The client's credential is spent once the
// proof and its nonce are right, and before the proof is recorded: with one credential a
// caller records one proof.
func (i *Issuer) bindKey(q *request) *Error {
	if i.proofs == nil {
		e := invalidRequest(event.InvalidProof, "DPoP is turned off here: send no proof to get a bearer token")
		e.cause = errProofsOff
		return e
	}
	var refused *Error
	proof, err := i.proofs.verifier.Verify(q.context(), pop.Request{
		Proofs: q.http.Header.Values("DPoP"), Method: q.http.Method, URL: i.proofs.url, Alias: i.proofs.alias, Client: q.caller.client.ID,
		Before: func(ctx context.Context) error {
			if refused = q.caller.spend(ctx); refused == nil {
				refused = i.grants.take(q.caller.client.ID)
			}
			if refused != nil {
				return refused
			}
			return nil
		},
	})
	var wrong *pop.Error
	switch {
	case refused != nil:
		return refused
	case errors.As(err, &wrong):
		q.bound.nonce = wrong.Nonce
		return refusedProof(wrong)
	case err != nil:
		return unavailable(event.ReplaysUnavailable, err)
	}
	q.bound.key, q.bound.nonce, q.bound.counted = proof.Thumbprint, proof.Nonce, true
	return nil
}

// refusedProof is the answer of RFC 9449, section 5, or with a nonce that of section 8.
func refusedProof(wrong *pop.Error) *Error {
	e := &Error{Status: http.StatusBadRequest, Code: wrong.Code, Description: wrong.Description, reason: event.InvalidProof, cause: wrong}
	switch {
	case wrong.Code == "use_dpop_nonce":
		e.reason = event.NonceNeeded
	case wrong.Replayed:
		e.reason = event.ReplayedProof
	}
	return e
}
