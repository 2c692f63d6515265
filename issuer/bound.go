package issuer

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// binding is what a token is bound to, nothing for a bearer token.
type binding struct {
	key         string // thumbprint of the key of a DPoP proof: jkt
	certificate string // thumbprint of a certificate: x5t#S256

	nonce   string // for the DPoP-Nonce header, empty if the client has it
	counted bool   // the token already counts for Config.MaxGrantRate
}

// bind decides what the token of a client that has authenticated is bound to, and spends
// the client's credential. A client that must have bound tokens never gets another.
func (i *Issuer) bind(q *request) *Error {
	if err := i.bindCertificate(q); err != nil {
		return err
	}
	switch required := q.caller.client.DPoPBoundTokens; {
	case required && i.proofs == nil:
		return boundOff("DPoP", errProofsOff)
	case len(q.http.Header.Values("DPoP")) > 0: // an empty one must not make an unbound token
		return i.bindKey(q)
	case required:
		q.bound.nonce = i.proofs.nonces.Current()
		return &Error{
			Status: http.StatusBadRequest, Code: "invalid_dpop_proof", Description: "the tokens of this client are bound to a key: send a DPoP proof",
			reason: event.InvalidProof, cause: errNoProof,
		}
	}
	return q.caller.spend(q.context())
}

// bindCertificate binds to the certificate if the client's record says so (RFC 8705,
// section 3.4), however the client has authenticated.
func (i *Issuer) bindCertificate(q *request) *Error {
	switch {
	case !q.caller.client.CertificateBoundTokens:
		return nil
	case i.certificates == nil:
		return boundOff("certificate", errCertificatesOff)
	case q.certificate.leaf == nil:
		e := invalidRequest(event.WrongCertificate, "the tokens of this client are bound to its certificate: send one in the TLS handshake")
		e.cause = errNoClientCertificate
		return e
	}
	q.bound.certificate = pop.CertificateThumbprint(q.certificate.leaf)
	return nil
}

// boundOff is the answer to a client that must have bound tokens, which this issuer does
// not make.
func boundOff(to string, cause error) *Error {
	e := invalidRequest(event.Misconfigured, "the tokens of this client are bound by "+to+", which is turned off here")
	e.cause = cause
	return e
}

func (b binding) tokenType() string {
	if b.key != "" {
		return "DPoP" // RFC 9449, section 5
	}
	return "Bearer" // also of a token that is bound to a certificate (RFC 8705, section 3)
}

// appendTo appends the claim cnf (RFC 9449, section 6.1; RFC 8705, section 3.1).
// Thumbprints need no escape.
func (b binding) appendTo(p []byte) []byte {
	if b.key == "" && b.certificate == "" {
		return p
	}
	p = append(p, `,"cnf":{`...)
	if b.key != "" {
		p = append(p, `"jkt":"`...)
		p = append(p, b.key...)
		p = append(p, '"')
	}
	if b.certificate != "" {
		if b.key != "" {
			p = append(p, ',')
		}
		p = append(p, `"x5t#S256":"`...)
		p = append(p, b.certificate...)
		p = append(p, '"')
	}
	return append(p, '}')
}

// typeOf returns the type of a token of this issuer with that cnf.
func typeOf(cnf json.RawMessage) string {
	var bound struct {
		Key string `json:"jkt"`
	}
	_ = json.Unmarshal(cnf, &bound) // it is absent, or this issuer wrote it
	return binding{key: bound.Key}.tokenType()
}

// boundFaults returns why a client cannot authenticate, or gets no token, with this
// configuration.
func (f fitted) boundFaults(c *registry.Client) (faults []string) {
	if c.DPoPBoundTokens && !f.dpop {
		faults = append(faults, "Client.DPoPBoundTokens is set and DPoP is off, so its token requests are refused: set Config.DPoP")
	}
	if f.certificates == nil {
		if c.CertificateBoundTokens || c.AuthMethod == registry.TLSClientAuth || c.AuthMethod == registry.SelfSignedTLSClientAuth {
			faults = append(faults, "it needs a certificate, and those are off, so it gets no token: set Config.ClientCertificates")
		}
		return faults
	}
	if hasSubject(c) && may(c, registry.TLSClientAuth) && f.certificates.CAs == nil {
		faults = append(faults, "tls_client_auth is off, so the subject in its record has no effect: set Config.ClientCertificates.CAs")
	}
	if _, err := parseDN(c.TLSClientAuthSubjectDN); c.TLSClientAuthSubjectDN != "" && err != nil {
		faults = append(faults, fmt.Sprintf("Client.TLSClientAuthSubjectDN equals no certificate's: %v: write it as RFC 4514 does, such as CN=billing,O=Example", err))
	}
	return faults
}

// Private causes: Observe gets them.
var (
	errNoProof             = errors.New("issuer: a client with DPoPBoundTokens has sent no proof")
	errProofsOff           = errors.New("issuer: Config.DPoP is nil, so there are no tokens that are bound to a key")
	errCertificatesOff     = errors.New("issuer: Config.ClientCertificates is nil, so there are no tokens that are bound to a certificate")
	errNoClientCertificate = errors.New("issuer: a client with CertificateBoundTokens has sent no certificate, or a proxy has not passed it on")
)
