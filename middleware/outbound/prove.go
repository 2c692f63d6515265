package outbound

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

var errProofHeader = errors.New("outbound: the request has a DPoP header already, so no proof is added: delete the header, or use another client")

// prove sends a request with a token that is bound to a key, and with a proof of that key.
// It is sent again at most twice: once for a nonce, and once for another token.
func (t *transport) prove(r *http.Request, h *held) (*http.Response, error) {
	nonce := t.source.family.prover.apis.at(originOf(r.URL))
	res, stale, err := t.sendProof(r, r.Body, h, nonce)
	mayNonce, mayToken := true, true
	for err == nil && res.StatusCode == http.StatusUnauthorized {
		switch {
		case mayNonce && stale && challenges(res.Header, schemeDPoP, "use_dpop_nonce"):
			body, ok := bodyAgain(r)
			if !ok {
				return res, nil
			}
			mayNonce = false
			t.nonced(r, res)
			res, stale, err = t.sendProof(r, body, h, nonce)
		case mayToken && challenges(res.Header, schemeDPoP, "invalid_token"):
			body, next := t.another(r, h)
			if next == nil {
				return res, nil
			}
			mayToken, h = false, next
			t.again(r, res)
			res, stale, err = t.sendProof(r, body, h, nonce)
		default:
			return res, nil
		}
	}
	return res, err
}

// sendProof sends a request with a new proof. stale reports that the API has told another
// nonce than the proof had.
func (t *transport) sendProof(r *http.Request, body io.ReadCloser, h *held, nonce *nonceOf) (res *http.Response, stale bool, err error) {
	sent := nonce.get()
	proof, err := t.proof(r, h, sent)
	if err != nil {
		if body != nil {
			_ = body.Close() // as a RoundTripper must
		}
		return nil, false, err
	}
	if res, err = t.send(r, body, h, proof); err != nil {
		return res, false, err
	}
	return res, nonce.learn(res.Header, sent), nil
}

// proof makes the proof of a request.
func (t *transport) proof(r *http.Request, h *held, nonce string) (string, error) {
	if has(r.Header, "DPoP") {
		return "", errProofHeader
	}
	if r.URL.Opaque != "" {
		return "", errors.New("outbound: the request's URL is opaque, so no proof can name it: set its Host and Path")
	}
	// The target of a request has the host of its Host header (RFC 9110, section 7.1).
	target := url.URL{Scheme: r.URL.Scheme, Host: cmp.Or(r.Host, r.URL.Host), Path: r.URL.Path, RawPath: r.URL.RawPath}
	p := t.source.family.prover
	proof, err := p.prove(r.Context(), &p.calls, cmp.Or(r.Method, http.MethodGet), target.String(), h.text, nonce)
	if err != nil {
		return "", fmt.Errorf("outbound: the proof of a request: %w", err)
	}
	return proof, nil
}
