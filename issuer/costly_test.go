package issuer

import (
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/profile"
)

// assertedBy returns the form of an assertion that the signer made.
func assertedBy(t *testing.T, signer *jose.Signer, c claims, more ...string) string {
	t.Helper()
	assertion, err := signer.Sign("JWT", []byte(c.text(t)))
	if err != nil {
		t.Fatal(err)
	}
	return asserted(assertion, more...)
}

// slowSigner returns the signer of a curve whose checks are costly.
func slowSigner(t *testing.T, alg string) *jose.Signer {
	t.Helper()
	private, err := jose.Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(private, alg)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// While one network floods the issuer with costly signatures, its own wait or are refused,
// whether there is such a client or not. Other algorithms and other networks are served.
func TestCostlySignaturesWait(t *testing.T) {
	key := newPair(t)
	ca := newAuthority(t, "ca", nil)
	certificate := ca.issue(t, nil)
	synctest.Test(t, func(t *testing.T) {
		for _, a := range []*x509.Certificate{ca.certificate, certificate.Leaf} {
			a.NotBefore, a.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour) // of the bubble
		}
		for _, alg := range []string{"ES384", "ES512"} {
			slow := slowSigner(t, alg)
			c, job := app(), app()
			c.ID, c.Secrets, c.JWKS = "slow", nil, keySetOf(t, slow.Key())
			job.ID, job.Secrets = "job", nil
			job.Workloads = []registry.Workload{{Issuer: clusterURL, Subject: billing, Audience: testIssuer}}
			keys, err := jose.NewSet(slow.Key())
			if err != nil {
				t.Fatal(err)
			}
			s := newService(t, Config{
				ClientCertificates: &ClientCertificates{CAs: ca.pool()},
				WorkloadIssuers:    []WorkloadIssuer{{Issuer: clusterURL, Profile: profile.Kubernetes(), Keys: jwks.NewFixed(keys)}},
			}, app(), keyed(t, "keyed", key), c, job, certified("dn", func(c *registry.Client) { c.TLSClientAuthSubjectDN = billingDN }))
			token := func(client string) string {
				return assertedBy(t, slow, assertionOf("").with(claims{"iss": clusterURL, "sub": billing}), "client_id", client)
			}
			certified := func() *httptest.ResponseRecorder {
				r := newForm("/token", named("dn"))
				r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate.Leaf}}
				return s.send(r)
			}
			for _, id := range []string{"slow", "keyed"} { // both are cached
				s.post(assertedBy(t, slow, assertionOf(id)))
			}
			s.wantToken(t, s.post(token("job")))
			s.wantToken(t, certified())

			release := hold(t, s.issuer.assertions.costly.queue, networkOf("192.0.2.1"))
			for name, w := range map[string]*httptest.ResponseRecorder{
				"right":                     s.post(assertedBy(t, slow, assertionOf("slow"))),
				"no such key":               s.post(assertedBy(t, slow, assertionOf("keyed"))),
				"no such client":            s.post(assertedBy(t, slow, assertionOf("nobody"))),
				"a workload":                s.post(token("job")),
				"a workload of no client":   s.post(token("keyed")),
				"a chain of certificates":   certified(),
				"a workload of another key": s.post(assertedBy(t, slowSigner(t, alg), assertionOf("").with(claims{"iss": clusterURL, "sub": billing}), "client_id", "job")),
			} {
				if w.Code != 503 || w.Header().Get("Retry-After") == "" {
					t.Errorf("%s, %s: %d %s", alg, name, w.Code, w.Body)
				}
			}
			if e := s.lastEvent(t); e.Reason != event.Busy {
				t.Errorf("event %+v", e)
			}
			s.wantToken(t, s.post(asserted(key.assert(t, "keyed", nil))))
			s.wantToken(t, s.post(appForm))

			other := newForm("/token", assertedBy(t, slow, assertionOf("slow")))
			other.RemoteAddr = "198.51.100.7:1"
			answer := make(chan *httptest.ResponseRecorder, 1)
			go func() { answer <- s.send(other) }()
			synctest.Wait()
			release()
			s.wantToken(t, <-answer)
			s.wantToken(t, s.post(assertedBy(t, slow, assertionOf("slow"))))
		}
	})
}

// What a signature check costs depends on the key, which a client may choose.
func TestIsCostly(t *testing.T) {
	modulus := func(bits int) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return n.SetBit(n, 0, 1)
	}
	for want, keys := range map[bool][]crypto.PublicKey{
		true:  {&rsa.PublicKey{N: modulus(8192), E: 65537}, &rsa.PublicKey{N: modulus(4097), E: 3}, &rsa.PublicKey{N: modulus(2048), E: 1<<31 - 1}, slowSigner(t, "ES384").Key().Public(), slowSigner(t, "ES512").Key().Public()},
		false: {&rsa.PublicKey{N: modulus(4096), E: 65537}, slowSigner(t, "ES256").Key().Public(), slowSigner(t, "EdDSA").Key().Public()},
	} {
		for _, public := range keys {
			key, err := jose.NewKey(public, "", "")
			if err != nil {
				t.Fatal(err)
			}
			if isCostly(key) != want {
				t.Errorf("%.80v: want %v", public, want)
			}
		}
	}
	for _, alg := range jose.Algorithms() {
		if want := alg == "ES384" || alg == "ES512"; isCostly(dummyKey(alg)) != want {
			t.Errorf("the key without an owner for %s: want %v", alg, want)
		}
	}
}
