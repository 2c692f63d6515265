//go:build !nosqlite

package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/example/exchange"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

// credentials are those of the clients of a CLIENTS file, each with another way to
// authenticate.
type credentials struct {
	ca           *exchange.CA
	server       tls.Certificate
	host         string // which server is for
	certificate  tls.Certificate
	key          crypto.Signer
	keys         string // the URL of its public half
	platform     *exchange.Platform
	dir, clients string
}

const account = "system:serviceaccount:billing:reports"

func newCredentials(t *testing.T) *credentials {
	t.Helper()
	c := &credentials{dir: t.TempDir(), host: loopback()}
	c.ca = must(exchange.NewCA())(t)
	c.server = must(c.ca.Server(c.host))(t)
	c.certificate = must(c.ca.Client(pkix.Name{CommonName: "reports"}, "spiffe://example.com/reports"))(t)
	c.key = must(jose.Generate("ES256"))(t)
	set := must(must(jose.NewSet(must(jose.NewKey(c.key.Public(), "", ""))(t)))(t).MarshalJSON())(t)
	own, ok := c.certificate.PrivateKey.(crypto.Signer)
	if !ok {
		t.Fatal("the certificate has no key")
	}
	certified := must(must(jose.NewSet(must(jose.NewKey(own.Public(), "", ""))(t)))(t).MarshalJSON())(t)
	published := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(set)
	}))
	t.Cleanup(published.Close)
	c.keys = published.URL
	c.platform = must(exchange.StartPlatform())(t)
	t.Cleanup(c.platform.Close)
	c.clients = c.write(t, "clients.json", []byte(`[
		{"client_id": "plain", "scope": "orders:read", "client_secret": "secret456"},
		{"client_id": "keys", "scope": "orders:read", "token_endpoint_auth_method": "private_key_jwt", "jwks": `+string(set)+`},
		{"client_id": "keys-uri", "scope": "orders:read", "jwks_uri": "`+c.keys+`"},
		{"client_id": "tls", "scope": "orders:read", "token_endpoint_auth_method": "tls_client_auth",
			"tls_client_auth_san_uri": "spiffe://example.com/reports", "tls_client_certificate_bound_access_tokens": true},
		{"client_id": "self-signed", "scope": "orders:read", "token_endpoint_auth_method": "self_signed_tls_client_auth",
			"jwks": `+string(certified)+`, "tls_client_certificate_bound_access_tokens": true},
		{"client_id": "dpop", "scope": "orders:read", "client_secret": "secret456", "dpop_bound_access_tokens": true},
		{"client_id": "workload", "scope": "orders:read",
			"workload": [{"issuer": "`+c.platform.URL+`", "subject": "`+account+`", "audience": "https://auth.example.com"}]}
	]`))
	return c
}

func (c *credentials) write(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// tls are the settings of the listener with TLS.
func (c *credentials) tls(t *testing.T) []string {
	t.Helper()
	key := must(x509.MarshalPKCS8PrivateKey(c.server.PrivateKey))(t)
	return []string{
		"TLS_ADDR=" + c.host + ":0",
		"TLS_CERT=" + c.write(t, "server.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.server.Certificate[0]})),
		"TLS_KEY=" + c.write(t, "server.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		"TLS_CLIENT_CA=" + c.write(t, "ca.pem", c.ca.PEM),
	}
}

// http trusts the CA.
func (c *credentials) http() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.ca.Pool, MinVersion: tls.VersionTLS12}}}
}

// secure is the URL of the process with TLS.
func (p *process) secure(t *testing.T) string {
	t.Helper()
	const before = "with TLS and client certificates: "
	p.says(t, before)
	_, text, _ := strings.Cut(p.said(), before)
	text, _, _ = strings.Cut(text, "\n")
	return text
}

// must returns what fails the test if err is not nil, and returns v otherwise.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestBoundTokens lets clients authenticate in each way at ./example, and calls it and
// ./example/api with their tokens, on both listeners.
//
//nolint:tparallel // its cases share processes
func TestBoundTokens(t *testing.T) {
	t.Parallel()
	c := newCredentials(t)
	p := start(t, "example", append(c.tls(t), "CLIENTS="+c.clients, "DPOP_NONCES=required")...)
	api := start(t, "api", append(c.tls(t), "ISSUER="+p.url, "DPOP_NONCES=required")...)
	plain, secure := []string{p.url, api.url}, []string{p.secure(t), api.secure(t)}
	token := must(c.platform.MountToken(t.Context(), account, "https://auth.example.com"))(t)
	for id, tt := range map[string]struct {
		config outbound.Config
		at     []string
		bound  string // the member of the answer of /v1/bound; "": refused
	}{
		"plain":       {outbound.Config{Secret: outbound.Secret("secret456")}, plain, ""},
		"keys":        {outbound.Config{Assertion: outbound.PrivateKeyJWT(c.key, "", "")}, plain, ""},
		"keys-uri":    {outbound.Config{Assertion: outbound.PrivateKeyJWT(c.key, "", "")}, plain, ""},
		"workload":    {outbound.Config{Assertion: outbound.WorkloadToken(token)}, plain, ""},
		"tls":         {outbound.Config{Certificate: outbound.Certificate(c.certificate)}, secure, "x5t#S256"},
		"self-signed": {outbound.Config{Certificate: outbound.Certificate(c.certificate)}, secure, "x5t#S256"},
		"dpop":        {outbound.Config{Secret: outbound.Secret("secret456"), DPoP: outbound.NewDPoPKey()}, append(plain, secure...), "jkt"},
	} {
		t.Run(id, func(t *testing.T) {
			tt.config.Issuer, tt.config.ClientID, tt.config.Resources, tt.config.Origins, tt.config.HTTP = p.url, id, []string{p.url + "/v1"}, tt.at, c.http()
			calls := must(outbound.New(tt.config))(t)
			defer calls.Close()
			for _, at := range tt.at {
				if status, body := get(t, calls.Client(), at+"/v1/orders"); status != http.StatusOK {
					t.Errorf("%s/v1/orders: %d %s", at, status, body)
				}
				want, has := http.StatusUnauthorized, ""
				if tt.bound != "" {
					want, has = http.StatusOK, `"`+tt.bound+`":"`
				}
				if status, body := get(t, calls.Client(), at+"/v1/bound"); status != want || !strings.Contains(body, has) {
					t.Errorf("%s/v1/bound: %d %s, want %d", at, status, body, want)
				}
			}
			if tt.bound == "" {
				return
			}
			stolen := must(calls.Token(context.Background()))(t).Text()
			for _, url := range plain {
				if status, body := call(t, "GET", url+"/v1/orders", stolen, ""); status != http.StatusUnauthorized {
					t.Errorf("%s accepts the token alone: %d %s", url, status, body)
				}
			}
		})
	}
}

func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, answer)
}

// TestMetadataNamesWhatIsOn compares the metadata with and without the settings.
func TestMetadataNamesWhatIsOn(t *testing.T) {
	t.Parallel()
	c := newCredentials(t)
	for _, name := range []string{"example", "issuer"} {
		with := start(t, name, append(c.tls(t), "CLIENTS="+c.clients)...)
		_, on := call(t, "GET", with.url+"/.well-known/oauth-authorization-server", "", "")
		for _, text := range []string{`"tls_client_auth"`, `"self_signed_tls_client_auth"`, `"private_key_jwt"`, "dpop_signing_alg_values_supported", with.secure(t) + "/token"} {
			if !strings.Contains(on, text) {
				t.Errorf("%s: %s is not in the metadata: %s", name, text, on)
			}
		}
		_, off := call(t, "GET", start(t, name).url+"/.well-known/oauth-authorization-server", "", "")
		for _, text := range []string{"tls_client_auth", "mtls_endpoint_aliases"} {
			if strings.Contains(off, text) {
				t.Errorf("%s: without TLS_ADDR %s is in the metadata: %s", name, text, off)
			}
		}
	}
}

// send sends a form with headers, and returns the answer with its nonce.
func send(t *testing.T, method, url, form string, header map[string]string) (status int, body, nonce string) {
	t.Helper()
	r := must(http.NewRequest(method, url, strings.NewReader(form)))(t)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	status, body = read(t, answer)
	return status, body, answer.Header.Get("DPoP-Nonce")
}

// TestDPoPNonces asks for tokens with a proof that has no nonce, and without a proof.
func TestDPoPNonces(t *testing.T) {
	t.Parallel()
	c := newCredentials(t)
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"dpop"}, "client_secret": {"secret456"}}
	for setting, want := range map[string]struct {
		status int
		code   string
		nonce  bool
	}{
		"required": {http.StatusBadRequest, "use_dpop_nonce", true},
		"optional": {http.StatusOK, "", true},
		"":         {http.StatusOK, "", true}, // the default
		"off":      {http.StatusOK, "", false},
	} {
		t.Run(fmt.Sprintf("%q", setting), func(t *testing.T) {
			t.Parallel()
			p := start(t, "issuer", "CLIENTS="+c.clients, "DPOP_NONCES="+setting)
			prover := must(pop.NewProver(c.key, ""))(t)
			status, body, nonce := send(t, "POST", p.url+"/token", form.Encode(), map[string]string{"DPoP": must(prover.Proof("POST", p.url+"/token", "", ""))(t)})
			if status != want.status || !strings.Contains(body, want.code) || (nonce != "") != want.nonce {
				t.Errorf("%d %s, nonce %q", status, body, nonce)
			}
			if status, body := post(t, p.url+"/token", form); status != http.StatusBadRequest || !strings.Contains(body, "dpop") {
				t.Errorf("without a proof: %d %s", status, body)
			}
		})
	}
}

// TestTrustedProxy sends a certificate in a header. It counts if the sender is a proxy of
// TRUSTED_PROXY, and is refused otherwise.
func TestTrustedProxy(t *testing.T) {
	t.Parallel()
	c := newCredentials(t)
	header := ":" + base64.StdEncoding.EncodeToString(c.certificate.Certificate[0]) + ":"
	const form = "grant_type=client_credentials&client_id=tls"
	behind := start(t, "example", "CLIENTS="+c.clients, "TRUSTED_PROXY=192.0.2.7, 127.0.0.0/8", "TLS_CLIENT_CA="+c.write(t, "ca.pem", c.ca.PEM))
	api := start(t, "api", "ISSUER="+behind.url, "TRUSTED_PROXY=127.0.0.0/8")
	status, body, _ := send(t, "POST", behind.url+"/token", form, map[string]string{"Client-Cert": header})
	var granted struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &granted); err != nil || status != http.StatusOK {
		t.Fatalf("through the proxy: %d %s", status, body)
	}
	for _, at := range []string{behind.url, api.url} {
		authorization := "Bearer " + granted.Token
		if status, body, _ := send(t, "GET", at+"/v1/bound", "", map[string]string{"Authorization": authorization, "Client-Cert": header}); status != http.StatusOK {
			t.Errorf("%s with the certificate: %d %s", at, status, body)
		}
		if status, body, _ := send(t, "GET", at+"/v1/bound", "", map[string]string{"Authorization": authorization}); status != http.StatusUnauthorized {
			t.Errorf("%s without it: %d %s", at, status, body)
		}
	}
	direct := start(t, "example", append(c.tls(t), "CLIENTS="+c.clients)...)
	if status, body, _ := send(t, "POST", direct.url+"/token", form, map[string]string{"Client-Cert": header}); status != http.StatusBadRequest {
		t.Errorf("from no proxy: %d %s", status, body)
	}
}

// TestReplicasShareProofs takes a nonce of one replica to the other, which accepts it, and
// then the same proof to both: it counts once.
func TestReplicasShareProofs(t *testing.T) {
	t.Parallel()
	c := newCredentials(t)
	env := []string{"DATABASE_URL=" + database(t), kek, "ISSUER=https://auth.example.com", "CLIENTS=" + c.clients, "DPOP_NONCES=required"}
	one, two := start(t, "issuer", env...), start(t, "issuer", env...)
	prover := must(pop.NewProver(c.key, ""))(t)
	ask := func(p *process, proof string) (status int, nonce string) {
		status, _, nonce = send(t, "POST", p.url+"/token", "grant_type=client_credentials&client_id=dpop&client_secret=secret456", map[string]string{"DPoP": proof})
		return status, nonce
	}
	const endpoint = "https://auth.example.com/token"
	status, nonce := ask(one, must(prover.Proof("POST", endpoint, "", ""))(t))
	if status != http.StatusBadRequest || nonce == "" {
		t.Fatalf("without a nonce: %d, nonce %q", status, nonce)
	}
	proof := must(prover.Proof("POST", endpoint, "", nonce))(t)
	if status, _ := ask(two, proof); status != http.StatusOK {
		t.Errorf("the nonce of one replica at the other: %d", status)
	}
	if status, _ := ask(one, proof); status != http.StatusBadRequest {
		t.Errorf("a proof that was used at the other replica: %d", status)
	}
}

// TestReplicasShareProofsOfAnAPI sends one proof to the API of a replica twice, and to that
// of another replica. It counts once.
func TestReplicasShareProofsOfAnAPI(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"example", "issuer"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const base = "https://auth.example.com"
			clients := filepath.Join(t.TempDir(), "clients.json")
			if err := os.WriteFile(clients, []byte(`[{"client_id": "operator", "scope": "clients:admin", "client_secret": "secret456",
				"audiences": ["`+base+`/v1", "`+base+`/admin"], "dpop_bound_access_tokens": true}]`), 0o600); err != nil {
				t.Fatal(err)
			}
			env := []string{"DATABASE_URL=" + database(t), kek, "ISSUER=" + base, "CLIENTS=" + clients}
			one, two := start(t, name, env...), start(t, name, env...)
			audience := map[string]string{"example": base + "/v1", "issuer": base + "/admin"}[name]
			prover := must(pop.NewProver(must(jose.Generate("ES256"))(t), ""))(t)
			status, body, _ := send(t, "POST", one.url+"/token", "grant_type=client_credentials&client_id=operator&client_secret=secret456&resource="+url.QueryEscape(audience),
				map[string]string{"DPoP": must(prover.Proof("POST", base+"/token", "", ""))(t)})
			var granted struct {
				Token string `json:"access_token"`
			}
			if err := json.Unmarshal([]byte(body), &granted); err != nil || status != http.StatusOK {
				t.Fatalf("no token: %d %s", status, body)
			}
			proof := must(prover.Proof("GET", base+"/admin/clients", granted.Token, ""))(t)
			for n, tt := range []struct {
				at   *process
				want int
			}{{one, http.StatusOK}, {one, http.StatusUnauthorized}, {two, http.StatusUnauthorized}} {
				status, body, _ := send(t, "GET", tt.at.url+"/admin/clients", "", map[string]string{"Authorization": "DPoP " + granted.Token, "DPoP": proof})
				if status != tt.want {
					t.Errorf("request %d: %d %s, want %d", n+1, status, body, tt.want)
				}
			}
			// The other replica refuses the proof alone: it accepts the token with a new one.
			fresh := must(prover.Proof("GET", base+"/admin/clients", granted.Token, ""))(t)
			if status, body, _ := send(t, "GET", two.url+"/admin/clients", "", map[string]string{"Authorization": "DPoP " + granted.Token, "DPoP": fresh}); status != http.StatusOK {
				t.Errorf("a new proof at the other replica: %d %s", status, body)
			}
		})
	}
}
