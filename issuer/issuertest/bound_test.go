package issuertest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/pop"
	bearer "github.com/echo-m2m/m2m/middleware"
)

func newProver(t *testing.T) *pop.Prover {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	prover, err := pop.NewProver(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return prover
}

// A client sends a bound token with a new proof each time, with the nonce of the API, and
// reads a body twice for that.
func TestBoundClient(t *testing.T) {
	t.Parallel()
	nonces, err := pop.NewNonces(bytes.Repeat([]byte("n"), 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, proofs := range map[string]pop.Config{"no nonces": {}, "nonces": {Nonces: nonces, RequireNonce: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := New(t)
			api := httptest.NewUnstartedServer(nil)
			config := i.Bearer("https://api.test")
			config.RequireBound = true
			config.DPoP = &bearer.DPoP{BaseURL: "http://" + api.Listener.Addr().String(), Proofs: proofs}
			auth, err := bearer.New(config)
			if err != nil {
				t.Fatal(err)
			}
			api.Config.Handler = auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(w, r.Body) // the test reads it
			}))
			api.Start()
			defer api.Close()
			client := i.Client(t, Bound(newProver(t)))
			for range 3 {
				answer, err := client.Post(api.URL+"/orders?x=1", "text/plain", strings.NewReader("three"))
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(answer.Body)
				_ = answer.Body.Close() // read to its end
				if answer.StatusCode != http.StatusOK || string(body) != "three" || err != nil {
					t.Errorf("status %d, %q, %v", answer.StatusCode, body, err)
				}
			}
			plain, err := i.Client(t).Get(api.URL + "/orders")
			if err != nil {
				t.Fatal(err)
			}
			_ = plain.Body.Close() // not read
			if plain.StatusCode != http.StatusUnauthorized {
				t.Errorf("a plain token: status %d", plain.StatusCode)
			}
			stolen := &http.Client{Transport: carrier{"DPoP " + i.Token(t, Bound(newProver(t))), newTransport(t)}}
			answer, err := stolen.Get(api.URL + "/orders")
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close() // not read
			if answer.StatusCode == http.StatusOK {
				t.Error("a bound token is accepted without its proof")
			}
		})
	}
}

// A token can be bound to a key, to a certificate, and to both.
func TestBoundTo(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	prover := newProver(t)
	jkt, x5t := `"jkt":"`+prover.Thumbprint()+`"`, `"x5t#S256":"`+pop.CertificateThumbprint(certificate)+`"`
	i := New(t)
	for want, options := range map[string][]Option{
		`"cnf":{` + jkt + `}`:             {Bound(newProver(t)), Bound(prover)},
		`"cnf":{` + x5t + `}`:             {BoundToCertificate(certificate)},
		`"cnf":{` + jkt + `,` + x5t + `}`: {Bound(prover), BoundToCertificate(certificate)},
	} {
		if payload := payloadOf(t, i.Token(t, options...)); !strings.Contains(payload, want) {
			t.Errorf("%s is not in %s", want, payload)
		}
	}
	for _, option := range []Option{Bound(nil), Bound(&pop.Prover{}), BoundToCertificate(nil), BoundToCertificate(&x509.Certificate{})} {
		if got := complaint(t, func(tb testing.TB) { tb.Helper(); i.Token(tb, option) }); !strings.Contains(got, "cannot be bound") {
			t.Errorf("the test failed by %q", got)
		}
	}
}
