package outbound

import (
	"crypto/tls"
	"errors"
	"net/http"
	"sync"
	"time"
)

// showing makes transports that show a certificate, from one that shows none. Each
// certificate has its own, because a connection goes on showing the one that it began with.
// The latest two are kept: while a certificate is renewed, tokens of both are in use.
type showing struct {
	base *http.Transport

	mu     sync.Mutex
	latest [2]shownBy
}

type shownBy struct {
	identity  *identity
	transport *http.Transport
}

// idleTimeout bounds idle connections of a transport that does not.
const idleTimeout = 90 * time.Second

// newShowing refuses a transport that cannot be made to show a certificate.
func newShowing(base http.RoundTripper) (*showing, error) {
	t, ok := base.(*http.Transport)
	if !ok || t == nil {
		return nil, errors.New("is not an *http.Transport, which Config.Certificate needs: put the RoundTripper around the one that Source.Transport returns, not below it")
	}
	//lint:ignore SA1019 a transport of the app may have this field
	old := t.DialTLS //nolint:staticcheck // SA1019: as above
	switch {
	case old != nil || t.DialTLSContext != nil:
		return nil, errors.New("has a TLS dialer of its own, so it cannot show Config.Certificate: leave one of them out")
	case t.TLSClientConfig != nil && (t.TLSClientConfig.GetClientCertificate != nil || len(t.TLSClientConfig.Certificates) > 0):
		return nil, errors.New("has a certificate of its own, and there is Config.Certificate: leave one of them out")
	}
	return &showing{base: t}, nil
}

// with returns the transport for a certificate.
func (s *showing) with(id *identity) *http.Transport {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.latest {
		if known.identity == id {
			return known.transport
		}
	}
	if gone := s.latest[1].transport; gone != nil {
		gone.CloseIdleConnections()
	}
	s.latest[1] = s.latest[0]
	s.latest[0] = shownBy{id, s.clone(id.certificate)}
	return s.latest[0].transport
}

func (s *showing) clone(certificate *tls.Certificate) *http.Transport {
	t := s.base.Clone()
	// A TLS configuration turns HTTP/2 off unless it is asked for, where the base has it.
	t.ForceAttemptHTTP2 = t.ForceAttemptHTTP2 || s.base.TLSClientConfig == nil && s.base.DialContext == nil
	if t.IdleConnTimeout == 0 {
		t.IdleConnTimeout = idleTimeout
	}
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	// A session that began with another certificate must not be resumed with this one.
	if t.TLSClientConfig.ClientSessionCache != nil {
		t.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	t.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	return t
}

// closeIdle closes connections that no request uses.
func (s *showing) closeIdle() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.latest {
		if known.transport != nil {
			known.transport.CloseIdleConnections()
		}
	}
}
