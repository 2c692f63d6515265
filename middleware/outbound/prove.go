package outbound

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

var errProofHeader = errors.New("outbound: the request has a DPoP header already, so no proof is added: delete the header, or use another client")

// prove sends a request with a token that is bound to a key, and with a proof of that key.
// It is sent again at most three times: for a nonce, for the API's clock, and for another
// token.
func (t *transport) prove(r *http.Request, h *held) (*http.Response, error) {
	nonce := t.source.family.prover.apis.at(originOf(r.URL))
	res, told, err := t.sendProof(r, r.Body, h, nonce)
	mayNonce, mayClock, mayToken := true, true, true
	for err == nil && res.StatusCode == http.StatusUnauthorized {
		code := ""
		switch {
		case mayNonce && told.nonce && challenges(res.Header, schemeDPoP, codeNonce):
			mayNonce, code = false, codeNonce
		case mayClock && told.clock:
			mayClock, code = false, codeProof
		}
		switch {
		case code != "":
			body, ok := bodyAgain(r)
			if !ok {
				return res, nil
			}
			t.proveAgain(r, res, code)
			res, told, err = t.sendProof(r, body, h, nonce)
		case mayToken && challenges(res.Header, schemeDPoP, "invalid_token"):
			body, next := t.another(r, h)
			if next == nil {
				return res, nil
			}
			mayToken, h = false, next
			t.again(r, res)
			res, told, err = t.sendProof(r, body, h, nonce)
		default:
			return res, nil
		}
	}
	return res, err
}

// The error codes of refused proofs (RFC 9449, section 12.2).
const (
	codeNonce = "use_dpop_nonce"
	codeProof = "invalid_dpop_proof"
)

// told is what an API has told that its proof did not have: another nonce, or with a
// refusal of the proof another time.
type told struct{ nonce, clock bool }

// sendProof sends a request with a new proof.
func (t *transport) sendProof(r *http.Request, body io.ReadCloser, h *held, nonce *nonceOf) (res *http.Response, other told, err error) {
	sent, offset := nonce.get(), nonce.clock()
	proof, err := t.proof(r, h, offset, sent)
	if err != nil {
		if body != nil {
			_ = body.Close() // as a RoundTripper must
		}
		return nil, told{}, err
	}
	if res, err = t.send(r, body, h, proof); err != nil {
		return res, told{}, err
	}
	other.nonce = nonce.learn(res.Header, sent)
	if res.StatusCode == http.StatusUnauthorized && challenges(res.Header, schemeDPoP, codeProof) {
		other.clock = nonce.learnClock(res.Header, offset)
	}
	return res, other, nil
}

// proof makes the proof of a request.
func (t *transport) proof(r *http.Request, h *held, offset time.Duration, nonce string) (string, error) {
	if has(r.Header, "DPoP") {
		return "", errProofHeader
	}
	if r.URL.Opaque != "" {
		return "", errors.New("outbound: the request's URL is opaque, so no proof can name it: set its Host and Path")
	}
	// The target of a request has the host of its Host header (RFC 9110, section 7.1).
	target := url.URL{Scheme: r.URL.Scheme, Host: cmp.Or(r.Host, r.URL.Host), Path: r.URL.Path, RawPath: r.URL.RawPath}
	p := t.source.family.prover
	proof, err := p.prove(r.Context(), &p.calls, timeAt(offset), cmp.Or(r.Method, http.MethodGet), target.String(), h.text, nonce)
	if err != nil {
		return "", fmt.Errorf("outbound: the proof of a request: %w", err)
	}
	return proof, nil
}
