package outbound

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// strict is an authorization server and an API, over TLS, that check everything and take
// nothing twice.
type strict struct {
	*httptest.Server
	tb testing.TB

	keys      *jose.Set       // of the client, for assertions
	workloads map[string]bool // tokens that are taken as assertions
	known     map[string]bool // thumbprints of certificates that authenticate
	alias     string          // token_endpoint of mtls_endpoint_aliases
	eager     bool            // an assertion is used up before the nonce is checked
	bearer    bool            // tokens are not bound to keys
	grant     int             // expires_in; 0 means 900

	mu       sync.Mutex
	used     map[string]bool // jti of assertions
	granted  map[string]binding
	token    *pop.Verifier // nil: proofs are not asked for
	api      *pop.Verifier
	requests map[string]int // by path and outcome
	paths    []string

	closed chan struct{} // gets each connection that is closed, as far as it has capacity
}

// binding is what a token is bound to.
type binding struct{ key, certificate string }

func newStrict(tb testing.TB) *strict {
	tb.Helper()
	s := &strict{tb: tb, used: map[string]bool{}, granted: map[string]binding{}, requests: map[string]int{}, closed: make(chan struct{}, 100)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q`, s.URL, s.URL+"/token")
		if s.alias != "" {
			fmt.Fprintf(w, `,"mtls_endpoint_aliases":{"token_endpoint":%q}`, s.URL+s.alias)
		}
		fmt.Fprint(w, "}")
	})
	mux.HandleFunc("POST /token", s.serveToken)
	mux.HandleFunc("POST /mtls/token", s.serveToken)
	mux.HandleFunc("/v1/", s.serveAPI)
	s.Server = httptest.NewUnstartedServer(mux)
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.EnableHTTP2 = true
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			select {
			case s.closed <- struct{}{}:
			default:
			}
		}
	}
	s.StartTLS()
	tb.Cleanup(func() {
		s.Client().CloseIdleConnections()
		s.Close()
	})
	return s
}

// source makes a Source of the server, without a secret.
func (s *strict) source(change func(c *Config)) *Source {
	s.tb.Helper()
	c := Config{
		Issuer: s.URL, ClientID: "reporter", Resources: []string{s.URL + "/v1"}, Quiet: true,
		HTTP: &http.Client{Transport: s.transport()},
	}
	change(&c)
	source, err := New(c)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() { source.Close() })
	return source
}

// transport trusts the server.
func (s *strict) transport() *http.Transport {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	t := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	s.tb.Cleanup(t.CloseIdleConnections)
	return t
}

// demandProofs makes both sides ask for proofs, with nonces of their own. A second call
// makes all former nonces invalid.
func (s *strict) demandProofs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.api = newVerifier(s.tb), newVerifier(s.tb)
}

func newVerifier(tb testing.TB) *pop.Verifier {
	tb.Helper()
	nonces, err := pop.NewNonces([]byte(rand.Text() + rand.Text()))
	if err != nil {
		tb.Fatal(err)
	}
	v, err := pop.NewVerifier(pop.Config{Nonces: nonces, RequireNonce: true})
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// trust makes the server know the keys of the client.
func (s *strict) trust(kid string, keys ...crypto.Signer) {
	s.tb.Helper()
	var all []*jose.Key
	for _, private := range keys {
		alg := ""
		if name := fmt.Sprintf("%T", private.Public()); name == "*rsa.PublicKey" {
			alg = "PS256"
		}
		key, err := jose.NewKey(private.Public(), alg, kid)
		if err != nil {
			s.tb.Fatal(err)
		}
		all = append(all, key)
	}
	set, err := jose.NewSet(all...)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.keys = set
}

func (s *strict) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[what]
}

func (s *strict) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.requests)
}

// revoke makes the API refuse all tokens that were granted.
func (s *strict) revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.granted = map[string]binding{}
}

func (s *strict) serveToken(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths = append(s.paths, r.URL.Path)
	err := r.ParseForm()
	for name, values := range r.PostForm {
		if len(values) != 1 && name != "resource" {
			err = fmt.Errorf("%s is there %d times", name, len(values))
		}
	}
	var bound binding
	if len(r.TLS.PeerCertificates) > 0 {
		bound.certificate = pop.CertificateThumbprint(r.TLS.PeerCertificates[0])
	}
	if err == nil {
		err = s.authenticate(r, bound.certificate)
	}
	if err != nil {
		s.refuse(w, "token", 401, "invalid_client", err)
		return
	}
	spend := func() error { return s.spend(r) }
	if s.eager {
		if err := spend(); err != nil {
			s.refuse(w, "token", 401, "invalid_client", err)
			return
		}
		spend = func() error { return nil }
	}
	if s.token != nil {
		proof, err := s.token.Verify(r.Context(), pop.Request{Proofs: r.Header.Values("DPoP"), Method: r.Method, URL: s.URL + r.URL.EscapedPath()})
		if refused, ok := errors.AsType[*pop.Error](err); ok {
			w.Header().Set("DPoP-Nonce", refused.Nonce)
			s.refuse(w, "token", 400, refused.Code, err)
			return
		}
		if proof.Nonce != "" {
			w.Header().Set("DPoP-Nonce", proof.Nonce)
		}
		bound.key = proof.Thumbprint
	}
	if err := spend(); err != nil {
		s.refuse(w, "token", 401, "invalid_client", err)
		return
	}
	s.requests["token"]++
	text, typ := fmt.Sprintf("token-%d", s.requests["token"]), "DPoP"
	if s.bearer || bound.key == "" {
		bound.key, typ = "", "Bearer"
	}
	s.granted[text] = bound
	life := s.grant
	if life == 0 {
		life = 900
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":%q,"token_type":%q,"expires_in":%d}`, text, typ, life)
}

func (s *strict) refuse(w http.ResponseWriter, what string, status int, code string, err error) {
	s.requests[what+" "+code]++
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":%q,"error_description":%q}`, code, err.Error())
}

// authenticate checks the client, by one method.
func (s *strict) authenticate(r *http.Request, certificate string) error {
	assertion := r.PostForm.Get("client_assertion")
	switch {
	case r.PostForm.Get("grant_type") != "client_credentials", r.PostForm.Get("client_id") != "reporter":
		return errors.New("grant_type or client_id")
	case r.Header.Get("Authorization") != "", r.PostForm.Has("client_secret"):
		return errors.New("a secret was sent")
	case assertion == "" && s.known[certificate]:
		return nil
	case assertion == "":
		return errors.New("no known certificate and no assertion")
	case r.PostForm.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
		return errors.New("client_assertion_type")
	case s.workloads[assertion]:
		return nil
	}
	_, err := s.claims(assertion)
	return err
}

// claims checks an assertion, all but that it was used before.
func (s *strict) claims(assertion string) (id string, err error) {
	token, err := jose.Parse(assertion, 0)
	if err != nil {
		return "", err
	}
	if s.keys == nil {
		return "", errors.New("the client has no keys")
	}
	key := s.keys.Find(token.KeyID(), token.Algorithm())
	if key == nil || token.Type() != "client-authentication+jwt" {
		return "", errors.New("kid, alg or typ of the assertion")
	}
	payload, err := token.Verify(key)
	if err != nil {
		return "", err
	}
	claims, err := jose.ParseObject(payload)
	if err != nil {
		return "", err
	}
	iss, _, _ := claims.String("iss")
	sub, _, _ := claims.String("sub")
	aud, _, err := claims.String("aud")
	id, _, _ = claims.String("jti")
	exp, hasExp, _ := claims.Time("exp")
	iat, hasIat, _ := claims.Time("iat")
	now := time.Now()
	switch {
	case iss != "reporter" || sub != "reporter":
		return "", errors.New("iss or sub of the assertion")
	case err != nil || aud != s.URL:
		return "", errors.New("aud of the assertion")
	case !hasExp || !hasIat || exp.Before(now) || iat.After(now.Add(10*time.Second)) || exp.Sub(iat) > 5*time.Minute:
		return "", errors.New("exp or iat of the assertion")
	case id == "":
		return "", errors.New("jti of the assertion")
	}
	return id, nil
}

// spend uses an assertion up, unless it is of a platform.
func (s *strict) spend(r *http.Request) error {
	assertion := r.PostForm.Get("client_assertion")
	if assertion == "" || s.workloads[assertion] {
		return nil
	}
	id, err := s.claims(assertion)
	if err == nil && s.used[id] {
		err = errors.New("the assertion was used before")
	}
	s.used[id] = true
	return err
}

func (s *strict) serveAPI(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	bound, ok := s.granted[text]
	refuse := func(code string) {
		s.requests["api "+code]++
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`%s error=%q`, scheme, code))
		w.WriteHeader(401)
	}
	certificate := ""
	if len(r.TLS.PeerCertificates) > 0 {
		certificate = pop.CertificateThumbprint(r.TLS.PeerCertificates[0])
	}
	switch {
	case !ok, (bound.key == "") != (scheme == "Bearer"), bound.certificate != "" && bound.certificate != certificate:
		refuse("invalid_token")
		return
	case bound.key == "":
		s.requests["api"]++
		return
	}
	proof, err := s.api.Verify(r.Context(), pop.Request{
		Proofs: r.Header.Values("DPoP"), Method: r.Method, URL: s.URL + r.URL.EscapedPath(), AccessToken: text, Thumbprint: bound.key,
	})
	if refused, is := errors.AsType[*pop.Error](err); is {
		if refused.Nonce != "" {
			w.Header().Set("DPoP-Nonce", refused.Nonce)
		}
		refuse(refused.Code)
		return
	}
	if proof.Nonce != "" {
		w.Header().Set("DPoP-Nonce", proof.Nonce)
	}
	s.requests["api"]++
}

// wantCalls sends requests and wants them to succeed.
func wantCalls(tb testing.TB, client *http.Client, url string, n int) {
	tb.Helper()
	for range n {
		res, err := client.Get(url)
		if err != nil {
			tb.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != 200 {
			tb.Fatalf("status %d, %q", res.StatusCode, res.Header["Www-Authenticate"])
		}
	}
}

func newKey(tb testing.TB, alg string) crypto.Signer {
	tb.Helper()
	key, err := jose.Generate(alg)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// newCertificate is a self-signed one.
func newCertificate(tb testing.TB, ends time.Time) tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "reporter"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: ends,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}
}

// writePair writes a certificate and its key as PEM.
func writePair(tb testing.TB, certificate tls.Certificate, certificatePath, keyPath string) {
	tb.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		tb.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		certificatePath: {Type: "CERTIFICATE", Bytes: certificate.Certificate[0]},
		keyPath:         {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

// know makes certificates authenticate the client.
func (s *strict) know(certificates ...tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = map[string]bool{}
	for _, c := range certificates {
		s.known[pop.CertificateThumbprint(c.Leaf)] = true
	}
}
