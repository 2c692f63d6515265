package issuertest

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/echo-m2m/m2m/jwks/pop"
)

// Bound binds a token to the key of the prover by DPoP (RFC 9449). [Issuer.Client] sends
// such a token with a proof in each request. A test that sends requests itself writes the
// scheme DPoP, and a proof of its own into the header DPoP.
//
//	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
//	prover, err := pop.NewProver(key, "")
//	client := idp.Client(t, issuertest.Scopes("orders:read"), issuertest.Bound(prover))
func Bound(prover *pop.Prover) Option {
	return func(d *draft) {
		if d.prover = prover; prover == nil || prover.Thumbprint() == "" {
			d.err = errors.New("a token cannot be bound to a prover without a key: make it by pop.NewProver")
			return
		}
		d.confirm("jkt", prover.Thumbprint())
	}
}

// BoundToCertificate binds a token to a client certificate (RFC 8705). It is sent as a
// Bearer token over a connection of the test's own, which shows the certificate. With
// [Bound] beside it, a token is bound to both.
func BoundToCertificate(certificate *x509.Certificate) Option {
	return func(d *draft) {
		thumbprint := pop.CertificateThumbprint(certificate)
		if thumbprint == "" {
			d.err = errors.New("a token cannot be bound to a certificate that is nil or was not parsed")
			return
		}
		d.confirm("x5t#S256", thumbprint)
	}
}

// confirm adds a member to cnf, or replaces it.
func (d *draft) confirm(member, value string) {
	d.confirmation.set(member, quote(value))
	d.claims.set("cnf", d.confirmation.String())
}

// proverOf returns the prover of the last option [Bound]; nil if there is none.
func proverOf(options []Option) *pop.Prover {
	var d draft
	for _, option := range options {
		if option != nil {
			option(&d)
		}
	}
	return d.prover
}

// proving adds a bound token and its proof to requests. It sends the last nonce that a
// host has sent.
type proving struct {
	token  string
	prover *pop.Prover
	base   http.RoundTripper

	mu     sync.Mutex
	nonces map[string]string // by host
}

// RoundTrip sends the request with the token and a proof. If the API asks for another
// nonce, it sends it once more.
func (p *proving) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") != "" || leftHost(r) {
		return p.base.RoundTrip(r)
	}
	sent := p.nonce(r.URL.Host)
	answer, err := p.send(r, r.Body, sent)
	if err != nil || answer.StatusCode != http.StatusUnauthorized || p.nonce(r.URL.Host) == sent ||
		!strings.Contains(strings.Join(answer.Header.Values("WWW-Authenticate"), ","), "use_dpop_nonce") {
		return answer, err
	}
	body := r.Body
	if body != nil && body != http.NoBody {
		if r.GetBody == nil {
			return answer, nil
		}
		if body, err = r.GetBody(); err != nil {
			return answer, nil //nolint:nilerr // the answer says what happened
		}
	}
	_ = answer.Body.Close() // a second answer follows
	return p.send(r, body, p.nonce(r.URL.Host))
}

func (p *proving) nonce(host string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nonces[host]
}

func (p *proving) send(r *http.Request, body io.ReadCloser, nonce string) (*http.Response, error) {
	proof, err := p.prover.Proof(r.Method, r.URL.String(), p.token, nonce)
	if err != nil {
		return nil, fmt.Errorf("issuertest: %w", err)
	}
	r = r.Clone(r.Context())
	r.Body = body
	r.Header.Set("Authorization", "DPoP "+p.token)
	r.Header.Set("DPoP", proof)
	answer, err := p.base.RoundTrip(r)
	if err == nil && answer.Header.Get("DPoP-Nonce") != "" {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.nonces[r.URL.Host] = answer.Header.Get("DPoP-Nonce")
	}
	return answer, err
}
