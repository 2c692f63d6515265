//go:build ignore

// Command outbound_keys calls an API with tokens of an issuer that is not ours, and has
// keys and certificates in place of a secret: private_key_jwt, DPoP with nonces that issuer
// and API require, and certificates. The API is here, with our guard, at API without TLS
// and at API_TLS. The keys are in the folder KEYS.
package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/pop"
	bearer "github.com/echo-m2m/m2m/middleware"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

var (
	issuer, resource = os.Getenv("ISSUER"), os.Getenv("RESOURCE")
	trusting         = transport(nil) // of the CA
	plain, secure    = "http://" + os.Getenv("API"), "https://" + os.Getenv("API_TLS")
)

func main() {
	listen()
	withKey()
	withProof()
	for name, other := range map[string]string{"certificate": "other", "selfsigned": "unknown"} {
		withCertificate(name, other)
	}
}

func withKey() {
	key := outbound.PrivateKeyJWT(privateKey("client"), "", "")
	s := source(outbound.Config{ClientID: "key", Assertion: key}, &recorder{})
	check("private_key_jwt: a call", get(s, plain+"/any"), http.StatusOK)
	check("private_key_jwt: its token is bound to nothing", get(s, plain+"/bound"), http.StatusUnauthorized)
	must(s.Close())

	s = source(outbound.Config{ClientID: "key", Assertion: outbound.PrivateKeyJWT(privateKey("other"), "", "")}, &recorder{})
	check("private_key_jwt: another key", refusal(s), "invalid_client")
	must(s.Close())

	s = source(outbound.Config{ClientID: "key", Assertion: key, AssertionAudience: "https://other.example"}, &recorder{})
	check("private_key_jwt: for another issuer", refusal(s), "invalid_client")
	must(s.Close())
}

// withProof has tokens bound to a key, from a client with a secret and from one with a key.
func withProof() {
	for name, c := range map[string]outbound.Config{
		"DPoP": {ClientID: os.Getenv("CLIENT_ID"), Secret: outbound.SecretEnv("CLIENT_SECRET")},
		"private_key_jwt and DPoP": {
			ClientID: "key-and-proof", Assertion: outbound.PrivateKeyJWT(privateKey("client"), "", ""),
		},
	} {
		c.DPoP = outbound.NewDPoPKey()
		r := &recorder{}
		s := source(c, r)
		check(name+": a call", get(s, plain+"/bound"), http.StatusOK)
		check(name+": the first token request and the first call have no nonce", r.statuses(), []int{400, 200, 401, 200})
		check(name+": another call", get(s, plain+"/bound"), http.StatusOK)
		check(name+": the nonce is used again", r.statuses(), []int{200})
		check(name+": the token has the claim cnf", member(s, "jkt") != "", true)

		check(name+": a proof used before", send(plain+"/bound", r.header, nil), "401 invalid_dpop_proof")
		check(name+": a proof for another URL", send(plain+"/any", r.header, nil), "401 invalid_dpop_proof")
		stolen := http.Header{"Authorization": {"Bearer " + text(s)}}
		check(name+": the token as a bearer token", send(plain+"/bound", stolen, nil), "401 invalid_token")
		check(name+": the token as a bearer token, where plain ones are accepted", send(plain+"/any", stolen, nil), "401 invalid_token")
		must(s.Close())
	}

	s := source(outbound.Config{ClientID: "key-and-proof", Assertion: outbound.PrivateKeyJWT(privateKey("client"), "", "")}, &recorder{})
	check("DPoP: no token without a proof", refusal(s), "invalid_grant") // oidc-provider's code
	must(s.Close())
}

// withCertificate has tokens bound to the certificate of that name.
func withCertificate(name, other string) {
	own := outbound.Certificate(certificate(name))
	s := source(outbound.Config{ClientID: name, Certificate: own}, trusting)
	check(name+": a call", get(s, secure+"/bound"), http.StatusOK)
	check(name+": the token endpoint is that for certificates", s.Status().Endpoint, os.Getenv("TOKEN_URL"))
	check(name+": the token is bound to the certificate", member(s, "x5t#S256"), thumbprint(name))

	stolen, wrong := http.Header{"Authorization": {"Bearer " + text(s)}}, certificate(other)
	check(name+": another certificate", send(secure+"/bound", stolen, &wrong), "401 invalid_token")
	check(name+": no certificate", send(secure+"/bound", stolen, nil), "401 invalid_token")
	check(name+": no TLS", send(plain+"/any", stolen, nil), "401 invalid_token")
	must(s.Close())

	s = source(outbound.Config{ClientID: name, Certificate: outbound.Certificate(wrong)}, trusting)
	check(name+": no token for another certificate", refusal(s), "invalid_client")
	must(s.Close())
}

// source makes a Source of a client.
func source(c outbound.Config, over http.RoundTripper) *outbound.Source {
	c.Issuer, c.Resources, c.Scopes = issuer, []string{resource}, []string{"orders:read"}
	c.Origins, c.HTTP, c.Quiet = []string{plain}, &http.Client{Transport: over}, true
	if c.Certificate != nil {
		c.Origins = []string{secure}
	}
	s, err := outbound.New(c)
	must(err)
	return s
}

func get(s *outbound.Source, url string) int {
	answer, err := s.Client().Get(url)
	must(err)
	must(answer.Body.Close())
	return answer.StatusCode
}

// refusal is the error code of a token request.
func refusal(s *outbound.Source) string {
	_, err := s.Token(context.Background())
	refused, ok := errors.AsType[*outbound.Error](err)
	if !ok {
		must(errors.Join(errors.New("not refused"), err))
	}
	return refused.Code
}

func text(s *outbound.Source) string {
	token, err := s.Token(context.Background())
	must(err)
	return token.Text()
}

// member is one of the claim cnf.
func member(s *outbound.Source, name string) string {
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(text(s), ".")[1])
	must(err)
	var claims struct {
		Confirmation map[string]string `json:"cnf"`
	}
	must(json.Unmarshal(payload, &claims))
	return claims.Confirmation[name]
}

// send sends a request of a thief, and returns status and error code.
func send(url string, header http.Header, show *tls.Certificate) string {
	request, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	must(err)
	request.Header = header.Clone()
	answer, err := (&http.Client{Transport: transport(show)}).Do(request)
	must(err)
	must(answer.Body.Close())
	_, code, _ := strings.Cut(strings.Join(answer.Header.Values("WWW-Authenticate"), " "), `error="`)
	code, _, _ = strings.Cut(code, `"`)
	return strings.TrimSpace(answer.Status[:3] + " " + code)
}

// recorder sends requests. It notes the status of each answer to a POST or with a token,
// and the header of the latest request with a token.
type recorder struct {
	mu     sync.Mutex
	noted  []int
	header http.Header
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := trusting.RoundTrip(request)
	r.mu.Lock()
	defer r.mu.Unlock()
	call := request.Method == http.MethodGet && request.Header.Get("Authorization") != ""
	if call {
		r.header = request.Header.Clone()
	}
	if err == nil && (call || request.Method == http.MethodPost) {
		r.noted = append(r.noted, answer.StatusCode)
	}
	return answer, err
}

func (r *recorder) statuses() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	noted := r.noted
	r.noted = nil
	return noted
}

// listen starts the API. At /bound it accepts bound tokens alone.
func listen() {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	nonces, err := pop.NewNonces(secret)
	must(err)
	guard, err := bearer.New(bearer.Config{
		Issuer: issuer, Audience: resource,
		Keys:               jwks.NewIssuerRemote(issuer, jwks.RemoteConfig{Client: &http.Client{Transport: trusting}}),
		DPoP:               &bearer.DPoP{BaseURL: plain, AliasURL: secure, Proofs: pop.Config{Nonces: nonces, RequireNonce: true}},
		ClientCertificates: &bearer.ClientCertificates{},
	})
	must(err)
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux := http.NewServeMux()
	mux.Handle("/any", guard.Handler(ok, "orders:read"))
	mux.Handle("/bound", guard.HandlerBound(ok, "orders:read"))
	for _, address := range []string{plain, secure} {
		scheme, host, _ := strings.Cut(address, "://")
		listener, err := net.Listen("tcp", host)
		must(err)
		if scheme == "https" {
			listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate("server")}, ClientAuth: tls.RequestClientCert})
		}
		go func() { must(http.Serve(listener, mux)) }()
	}
}

// transport trusts the CA of the run, and shows a certificate.
func transport(show *tls.Certificate) *http.Transport {
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(file("ca.pem")) {
		must(errors.New("ca.pem has no certificate"))
	}
	if show != nil {
		config.Certificates = []tls.Certificate{*show}
	}
	return &http.Transport{TLSClientConfig: config}
}

func file(name string) []byte {
	text, err := os.ReadFile(filepath.Join(os.Getenv("KEYS"), name))
	must(err)
	return bytes.TrimSpace(text)
}

func certificate(name string) tls.Certificate {
	pair, err := tls.X509KeyPair(file(name+".pem"), file(name+".key"))
	must(err)
	return pair
}

func privateKey(name string) crypto.Signer {
	block, _ := pem.Decode(file(name + ".key"))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(err)
	return key.(crypto.Signer)
}

func thumbprint(name string) string {
	return pop.CertificateThumbprint(certificate(name).Leaf)
}
