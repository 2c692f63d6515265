package issuer

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// ClientCertificates configures what certificates of clients are used for (RFC 8705):
// client authentication, and tokens that are bound to a certificate
// (Client.CertificateBoundTokens). The zero value takes certificates from TLS connections
// and has self_signed_tls_client_auth alone.
//
// The server must ask for certificates: tls.Config.ClientAuth is tls.RequestClientCert or
// tls.RequireAnyClientCert. The issuer decides about each. TLS proves that the client has
// the private key.
//
// Not checked: revocation lists and OCSP. To refuse a certificate before it expires,
// change the client's record.
type ClientCertificates struct {
	// CAs issue the certificates of tls_client_auth (RFC 8705, section 2.1). Every client
	// certificate that they issue may name any subject, so use CAs of your own. Default:
	// tls_client_auth is off. The CAs of the system are never used.
	CAs *x509.CertPool

	// TrustedProxies are the addresses of proxies that end TLS and pass the certificate on
	// in the Client-Cert header (RFC 9440, section 2.2). They must remove that header from
	// the requests of clients. The certificate of their own connection is not used. From
	// any other address the header is refused. Default: no proxy.
	//
	// The address is that of the connection, http.Request.RemoteAddr. A middleware must not
	// write what a header says into it. The proxy's Client-Cert-Chain is not read: add
	// intermediate certificates to CAs.
	TrustedProxies []netip.Prefix

	// Origin is where clients with a certificate reach the endpoints, such as
	// "https://mtls.example.com", if that is another host or port than Issuer's. The paths
	// are the same. The metadata has it in mtls_endpoint_aliases (RFC 8705, section 5).
	// Default: Issuer's host.
	Origin string
}

// certAuth is tls_client_auth and self_signed_tls_client_auth (RFC 8705, section 2). It
// counts only if a request presents nothing else, because a client that authenticates
// otherwise may use a certificate to bind its tokens to.
type certAuth struct {
	find   finder
	queue  *fairQueue // of the finder's queries
	cas    *x509.CertPool
	keysOf keysOf
	costly *costlyChecks
}

func (*certAuth) presented(q request) bool { return q.certificate.leaf != nil }

func (a *certAuth) read(q request) (credential, *Error) {
	if q.form.clientID == "" { // RFC 8705, section 2 requires it
		return nil, malformed("client_id is missing")
	}
	return &certCredential{a, q.form.clientID, q.certificate, q.address}, nil
}

// certCredential is a client id and a certificate.
type certCredential struct {
	*certAuth
	clientID    string
	certificate certificate
	address     string // where the request comes from
}

func (c *certCredential) claimedID() string { return c.clientID }

func (c *certCredential) verify(ctx context.Context) (caller, *Error) {
	if !registry.ValidID(c.clientID) {
		return caller{}, invalidClient(event.MalformedCredential, errMalformed)
	}
	found, err := c.find(ctx, c.clientID, c.address)
	if err != nil {
		return caller{}, err
	}
	method, wrong := c.check(ctx, found.client, time.Now())
	err = found.admit(method, wrong)
	if err != nil && err.Status == http.StatusUnauthorized && c.queue.full(networkOf(c.address)) {
		err = unavailable(event.Busy, errQueueFull) // as for an unknown id
	}
	if err != nil {
		return caller{}, err
	}
	return caller{client: found.client, number: found.number}, nil
}

// check returns by which method the certificate is the client's. A client without
// AuthMethod may use both.
func (c *certCredential) check(ctx context.Context, client *registry.Client, now time.Time) (method string, _ *Error) {
	if client == nil {
		return "", nil // admit refuses it
	}
	failure := invalidClient(event.WrongMethod, errNoCertificate)
	if may(client, registry.TLSClientAuth) && hasSubject(client) {
		err := c.checkIssued(ctx, client, now)
		if err == nil {
			return registry.TLSClientAuth, nil
		}
		failure = err
	}
	if may(client, registry.SelfSignedTLSClientAuth) && hasKeys(client) {
		err := c.checkRegistered(ctx, client, now)
		if err == nil {
			return registry.SelfSignedTLSClientAuth, nil
		}
		if failure.reason == event.WrongMethod || err.Status != http.StatusUnauthorized {
			failure = err
		}
	}
	return "", failure
}

func may(client *registry.Client, method string) bool {
	return client.AuthMethod == "" || client.AuthMethod == method
}

func hasKeys(client *registry.Client) bool { return len(client.JWKS) > 0 || client.JWKSURI != "" }

// checkIssued checks a certificate for tls_client_auth. The subject is compared first,
// because that costs little.
func (c *certCredential) checkIssued(ctx context.Context, client *registry.Client, now time.Time) *Error {
	leaf := c.certificate.leaf
	switch {
	case c.cas == nil:
		return invalidClient(event.WrongCertificate, errNoCAs)
	case len(c.certificate.chain) > maxChain:
		return invalidClient(event.WrongCertificate, errLongChain)
	}
	if err := checkSubject(client, leaf); err != nil {
		return invalidClient(event.WrongCertificate, err)
	}
	intermediates := x509.NewCertPool()
	for _, sent := range c.certificate.chain {
		intermediates.AddCert(sent)
	}
	var err error
	busy := c.costly.run(ctx, networkOf(c.address), func() {
		_, err = leaf.Verify(x509.VerifyOptions{
			Roots: c.cas, Intermediates: intermediates, CurrentTime: now,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
	})
	if busy == nil && err != nil {
		return invalidClient(event.WrongCertificate, err)
	}
	return busy
}

// maxChain bounds the signatures that a certificate can make the issuer check.
const maxChain = 5

// Private causes: Observe gets them, the client does not.
var (
	errNoCertificate = errors.New("issuer: the client's record has no certificate: set one of its tls_client_auth_… members, or jwks, and the method that it may use")
	errNoCAs         = errors.New("issuer: tls_client_auth is off: set Config.ClientCertificates.CAs")
	errLongChain     = errors.New("issuer: the client sends more than 5 certificates beside its own")
)

// useCertificates turns on what the config says.
func (i *Issuer) useCertificates(c *ClientCertificates, queue *fairQueue, keys keysOf, costly *costlyChecks) {
	if c == nil {
		return
	}
	copied := *c
	copied.TrustedProxies = slices.Clone(c.TrustedProxies)
	if c.CAs != nil {
		copied.CAs = c.CAs.Clone() // the program may still add to its own
	}
	i.certificates = &copied
	i.certified = &certAuth{i.find, queue, copied.CAs, keys, costly}
	if c.CAs != nil {
		i.methods = append(i.methods, registry.TLSClientAuth)
	}
	i.methods = append(i.methods, registry.SelfSignedTLSClientAuth)
}
