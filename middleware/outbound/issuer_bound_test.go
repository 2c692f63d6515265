package outbound_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
	"github.com/echo-m2m/m2m/jwks/profile"
	bearer "github.com/echo-m2m/m2m/middleware"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

// ours is our issuer and a guarded API on one TLS server. Both demand nonces of their own.
type ours struct {
	*httptest.Server
	issuer *issuer.Issuer
	store  *registry.Memory
}

func newOurs(t *testing.T, workloads ...issuer.WorkloadIssuer) *ours {
	t.Helper()
	o := &ours{store: &registry.Memory{}}
	var auth, api http.Handler
	o.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1" {
			api.ServeHTTP(w, r)
			return
		}
		auth.ServeHTTP(w, r)
	}))
	o.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	o.StartTLS()
	t.Cleanup(o.Close)
	private, err := jose.Generate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jwks.NewKeyring(private)
	if err != nil {
		t.Fatal(err)
	}
	o.issuer, err = issuer.New(issuer.Config{
		Issuer: o.URL, Keys: keys, Store: o.store, WorkloadIssuers: workloads, Quiet: true,
		ClientCertificates: &issuer.ClientCertificates{}, DPoP: demanding(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.issuer.Close() })
	guard, err := bearer.New(bearer.Config{
		Issuer: o.URL, Audience: o.URL + "/v1", Keys: keys, Revoked: o.issuer.Revoked, RequireBound: true,
		ClientCertificates: &bearer.ClientCertificates{}, DPoP: &bearer.DPoP{BaseURL: o.URL, Proofs: *demanding(t)},
	})
	if err != nil {
		t.Fatal(err)
	}
	auth = o.issuer.Handler()
	api = guard.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), "orders:read")
	return o
}

// demanding asks for nonces.
func demanding(t *testing.T) *pop.Config {
	t.Helper()
	nonces, err := pop.NewNonces([]byte(rand.Text() + rand.Text()))
	if err != nil {
		t.Fatal(err)
	}
	return &pop.Config{Nonces: nonces, RequireNonce: true}
}

// source registers a client and makes a Source of it.
func (o *ours) source(t *testing.T, client registry.Client, change func(c *outbound.Config)) *outbound.Source {
	t.Helper()
	client.ID, client.Audiences, client.Scopes = "reporter", []string{o.URL + "/v1"}, []string{"orders:read"}
	if _, err := registry.Ensure(t.Context(), o.store, client); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(o.Certificate())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	c := outbound.Config{
		Issuer: o.URL, ClientID: "reporter", Resources: client.Audiences, Scopes: client.Scopes, HTTP: &http.Client{Transport: transport}, Quiet: true,
	}
	change(&c)
	s, err := outbound.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (o *ours) wantCalls(t *testing.T, s *outbound.Source, nonces, replays uint64) {
	t.Helper()
	for range 3 {
		res, err := s.Client().Get(o.URL + "/v1")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("status %d, %q", res.StatusCode, res.Header["Www-Authenticate"])
		}
	}
	if got := s.Status(); got.Failures > 0 || got.Nonces != nonces || got.Replays != replays {
		t.Errorf("%+v", got)
	}
}

// jwksOf is the key set of a client. der adds a certificate.
func jwksOf(t *testing.T, public crypto.PublicKey, der []byte) json.RawMessage {
	t.Helper()
	key, err := jose.NewKey(public, "", "")
	if err != nil {
		t.Fatal(err)
	}
	set, err := jose.NewSet(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(set)
	if err != nil || der == nil {
		return text
	}
	var members struct{ Keys []map[string]any }
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	members.Keys[0]["x5c"] = []string{base64.StdEncoding.EncodeToString(der)}
	text, err = json.Marshal(map[string]any{"keys": members.Keys})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestOurIssuerWithProofs calls with private_key_jwt and DPoP, through a revocation.
func TestOurIssuerWithProofs(t *testing.T) {
	o := newOurs(t)
	key, err := jose.Generate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	s := o.source(t, registry.Client{JWKS: jwksOf(t, key.Public(), nil), AuthMethod: registry.PrivateKeyJWT, DPoPBoundTokens: true}, func(c *outbound.Config) {
		c.Assertion, c.DPoP = outbound.PrivateKeyJWT(key, "", ""), outbound.NewDPoPKey()
	})
	o.wantCalls(t, s, 1, 0)
	if err := o.issuer.RevokeClient(t.Context(), "reporter"); err != nil {
		t.Fatal(err)
	}
	o.wantCalls(t, s, 1, 1)
	token, err := s.Token(t.Context())
	if err != nil || token.Type() != "DPoP" {
		t.Fatalf("%v, %v", token, err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.URL+"/v1", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token.Text()) // as one who has stolen it
	res, err := o.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a stolen token: status %d", res.StatusCode)
	}
}

// TestOurIssuerWithCertificate calls with a self-signed certificate, which tokens are bound
// to, alone and with DPoP.
func TestOurIssuerWithCertificate(t *testing.T) {
	for _, dpop := range []bool{false, true} {
		o := newOurs(t)
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "reporter"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		client := registry.Client{JWKS: jwksOf(t, key.Public(), der), AuthMethod: registry.SelfSignedTLSClientAuth, CertificateBoundTokens: true}
		s := o.source(t, client, func(c *outbound.Config) {
			c.Certificate = outbound.Certificate(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})
			if dpop {
				c.DPoP = outbound.NewDPoPKey()
			}
		})
		nonces := map[bool]uint64{true: 1}[dpop]
		o.wantCalls(t, s, nonces, 0)
		if err := o.issuer.RevokeClient(t.Context(), "reporter"); err != nil {
			t.Fatal(err)
		}
		o.wantCalls(t, s, nonces, 1)
	}
}

// TestOurIssuerWithWorkload calls with a token that a cluster wrote into a file.
func TestOurIssuerWithWorkload(t *testing.T) {
	const cluster, subject = "https://cluster.example.com", "system:serviceaccount:shop:orders"
	private, err := jose.Generate("RS256")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(private, "RS256")
	if err != nil {
		t.Fatal(err)
	}
	set, err := jose.NewSet(signer.Key())
	if err != nil {
		t.Fatal(err)
	}
	o := newOurs(t, issuer.WorkloadIssuer{Issuer: cluster, Profile: profile.Kubernetes(), Keys: jwks.NewFixed(set)})
	now := time.Now().Unix()
	text, err := signer.Sign("JWT", fmt.Appendf(nil, `{"iss":%q,"sub":%q,"aud":[%q],"exp":%d,"iat":%d,"nbf":%d,"jti":"1","kubernetes.io":{"namespace":"shop","serviceaccount":{"name":"orders","uid":"u"}}}`,
		cluster, subject, o.URL, now+600, now, now))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	client := registry.Client{Workloads: []registry.Workload{{Issuer: cluster, Subject: subject, Audience: o.URL}}}
	s := o.source(t, client, func(c *outbound.Config) {
		c.Assertion, c.DPoP = outbound.WorkloadToken(path), outbound.NewDPoPKey()
	})
	o.wantCalls(t, s, 1, 0)
}
