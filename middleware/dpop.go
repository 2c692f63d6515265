package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// DPoP accepts access tokens that are bound to a key of the client (RFC 9449). Each request
// has a proof in its DPoP header: a JWT that the client signed for this method, this URL
// and this token.
type DPoP struct {
	// BaseURL is the URL under which clients reach this API, such as
	// "https://api.example.com". The path of the request is added to it, as the guard
	// gets it, and the htu of the proof must be the sum. A prefix that a proxy or
	// [http.StripPrefix] takes away belongs into BaseURL. It is configuration, because
	// the headers Host and Forwarded are written by the client. Required.
	BaseURL string

	// AliasURL is another URL under which clients reach this API, such as the one for
	// clients with a certificate. A proof may name either. Default: none.
	AliasURL string

	// Proofs configures the check: what a replay is, nonces, ages and algorithms. The
	// zero value is safe for one replica. Several replicas share Proofs.Replay, such as
	// the Once of the issuer's store, and the secret of Proofs.Nonces. The guards of two
	// Bearers in one request must not share a Replay: the second would find a replay.
	Proofs pop.Config
}

// proofs checks the proofs of a Bearer.
type proofs struct {
	verifier *pop.Verifier
	base     string // without a slash at its end
	alias    string // the same; empty: there is none
	nonces   *pop.Nonces
	shared   bool // Replay is the app's
	algs     string
}

func newProofs(c DPoP) (*proofs, error) {
	base, err := baseOf("BaseURL", c.BaseURL)
	if err != nil {
		return nil, err
	}
	alias := ""
	if c.AliasURL != "" {
		if alias, err = baseOf("AliasURL", c.AliasURL); err != nil {
			return nil, err
		}
	}
	verifier, err := pop.NewVerifier(c.Proofs)
	if err != nil {
		return nil, fmt.Errorf("middleware: Config.DPoP.Proofs: %w", err)
	}
	return &proofs{
		verifier: verifier, base: base, alias: alias,
		nonces: c.Proofs.Nonces, shared: c.Proofs.Replay != nil, algs: strings.Join(verifier.Algorithms(), " "),
	}, nil
}

// baseOf returns the URL of a field without a slash at its end.
func baseOf(field, text string) (string, error) {
	base, err := url.Parse(text)
	switch {
	case err != nil, base.Scheme != "https" && base.Scheme != "http", base.Hostname() == "", !printable(base.Host):
		return "", fmt.Errorf(`middleware: Config.DPoP.%s %q: write the URL under which clients reach this API, such as "https://api.example.com"`, field, text)
	case base.User != nil, base.RawQuery != "" || base.ForceQuery, strings.Contains(text, "#"):
		return "", fmt.Errorf("middleware: Config.DPoP.%s %q: write scheme, host and path alone", field, text)
	}
	return strings.TrimRight(base.Scheme+"://"+base.Host+base.EscapedPath(), "/"), nil
}

// urls returns the URL of a request as its client has it, and the other one that it may
// have, or "".
func (p *proofs) urls(r *http.Request) (own, alias string) {
	path := r.URL.EscapedPath()
	if !strings.HasPrefix(path, "/") { // as http.StripPrefix may leave it: it must not change the host
		path = "/" + path
	}
	if p.alias != "" {
		alias = p.alias + path
	}
	return p.base + path, alias
}

// hasDots reports whether a path has a segment "." or "..". The URL of a proof is compared
// without them, and routers keep them: a proof for /orders would fit /admin/../orders, which
// may be a route of /admin.
func hasDots(path string) bool {
	if !strings.Contains(path, "/.") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// checkProof checks the proof of a request whose token is bound to a key, and uses it up. A
// nonce for the client's next proof goes into the header of the answer. Without an answer
// (w is nil) the proof is not used up, and may have been used before.
func (b *Bearer) checkProof(w http.ResponseWriter, r *http.Request, v *verified) *Error {
	if hasDots(r.URL.Path) {
		return &Error{
			Status: http.StatusUnauthorized, Code: codeInvalidProof, Description: "the path of the request has dot segments",
			reason: event.InvalidProof, cause: errDots,
		}
	}
	own, alias := b.dpop.urls(r)
	presented := pop.Request{
		Proofs: r.Header["Dpop"], // in canonical form
		Method: r.Method, URL: own, Alias: alias, AccessToken: v.raw, Thumbprint: v.bound.KeyThumbprint, Client: v.clientID,
	}
	if w == nil {
		presented.Before = func(context.Context) error { return errNotUsed }
	}
	p, err := b.dpop.verifier.Verify(r.Context(), presented)
	if w == nil && errors.Is(err, errNotUsed) { // all else is right
		return nil
	}
	if err == nil {
		b.replaysFailed.record(nil)
		if p.Nonce != "" {
			setNonce(w.Header(), p.Nonce)
		}
		return nil
	}
	refused, ok := errors.AsType[*pop.Error](err)
	if !ok {
		b.replaysFailed.record(err)
		return unavailable(event.ReplaysUnavailable, fmt.Errorf("middleware: DPoP proof: %w", err))
	}
	reason := event.InvalidProof
	switch {
	case refused.Code == codeInvalidToken:
		reason = event.SenderConstrained
	case refused.Code == codeUseNonce:
		reason = event.NonceNeeded
	case refused.Replayed:
		reason = event.ReplayedProof
	}
	return &Error{
		Status: http.StatusUnauthorized, Code: refused.Code, Description: refused.Description,
		reason: reason, cause: fmt.Errorf("middleware: DPoP proof: %w", refused),
	}
}

// RFC 9449, section 12.2.
const (
	codeInvalidProof = "invalid_dpop_proof"
	codeUseNonce     = "use_dpop_nonce"
)

// errNotUsed ends the check of a proof before it is used up.
var errNotUsed = errors.New("middleware: DPoP proof: it is only judged")

var errDots = errors.New("middleware: DPoP proof: the path of the request has dot segments, so a proof for another path would fit it")

// setNonce gives the client a nonce for its next proof. A cache must not give this one to
// another request later (RFC 9449, section 8.2). The handler may set another
// Cache-Control.
func setNonce(h http.Header, nonce string) {
	h["Dpop-Nonce"] = []string{nonce} // in canonical form
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
}
