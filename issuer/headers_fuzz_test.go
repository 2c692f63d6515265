package issuer

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// presentedBy is what a token request shows beside its grant type. The words CERTIFICATE,
// PROOF and ASSERTION mean a valid one. A proof or a certificate that is - is not sent.
type presentedBy struct {
	certificate, proof, id, assertion, typ string
	proxy                                  bool // the connection is that of a trusted proxy
}

// FuzzTokenHeaders sends any Client-Cert header, any DPoP header and any assertion to the
// token endpoint. The answer is never a fault of the server. There is a token only for a
// valid certificate or assertion, and it is bound as the client's record demands.
func FuzzTokenHeaders(f *testing.F) {
	key, ca := newPair(f), newAuthority(f, "ca", nil)
	leaf, prover := ca.issue(f, nil), newProver(f)
	keys := keyed(f, "keyed", key)
	keys.DPoPBoundTokens = true
	once := func(context.Context, string, string, time.Time) (bool, error) { return true, nil } // each proof is new
	s := newService(f, Config{
		MaxGrantRate: -1, DPoP: &pop.Config{Nonces: newNonces(f, "n"), Replay: once},
		ClientCertificates: &ClientCertificates{CAs: ca.pool(), TrustedProxies: prefixes("192.0.2.1/32")},
	}, keys, certified("dn", func(c *registry.Client) { c.TLSClientAuthSubjectDN, c.CertificateBoundTokens = billingDN, true }))
	s.issuer.observe = nil
	handler := s.issuer.Handler()
	header := clientCert(leaf)
	send := func(tb testing.TB, p presentedBy) *httptest.ResponseRecorder {
		if strings.Contains(p.assertion, "ASSERTION") {
			p.assertion = strings.ReplaceAll(p.assertion, "ASSERTION", key.assert(tb, "keyed", nil))
		}
		r := newForm("/token", form("grant_type", "client_credentials", "client_id", p.id, "client_assertion", p.assertion, "client_assertion_type", p.typ))
		if p.proof != "-" {
			r.Header["Dpop"] = []string{strings.ReplaceAll(p.proof, "PROOF", proof(tb, prover, ""))}
		}
		if p.certificate != "-" {
			r.Header["Client-Cert"] = []string{strings.ReplaceAll(p.certificate, "CERTIFICATE", header)}
		}
		if !p.proxy {
			r.RemoteAddr = "203.0.113.9:1"
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	good := []presentedBy{
		{"CERTIFICATE", "-", "dn", "", "", true}, {"CERTIFICATE", "PROOF", "dn", "", "", true},
		{"-", "PROOF", "keyed", "ASSERTION", assertionType, false}, {"CERTIFICATE", "PROOF", "", "ASSERTION", assertionType, true},
	}
	for _, p := range good {
		if w := send(f, p); w.Code != http.StatusOK {
			f.Fatalf("%+v: %d %s", p, w.Code, w.Body)
		}
	}
	good = append(good, []presentedBy{
		{"CERTIFICATE", "-", "dn", "", "", false}, {"", "", "dn", "", "", true}, {":AA==:", "a.b.c", "dn", ".", assertionType, true},
		{"CERTIFICATE, CERTIFICATE", "PROOF, PROOF", "keyed", "ASSERTION.", assertionType, true}, {"-", "-", "keyed", "ASSERTION", assertionType, false},
		{header[:len(header)-9] + ":", "PROOF ", "dn\x00", "ASSERTION", "x", true}, {"::", "-", "keyed", key.assert(f, "keyed", claims{"exp": 1}), assertionType, true},
	}...)
	seeded(f, good, func(p presentedBy) { f.Add(p.certificate, p.proof, p.id, p.assertion, p.typ, p.proxy) })
	f.Fuzz(func(t *testing.T, certificate, dpop, id, assertion, typ string, proxy bool) {
		p := presentedBy{certificate, dpop, id, assertion, typ, proxy}
		w := send(t, p)
		if w.Code >= 500 || w.Code < 400 && w.Code != 200 {
			t.Fatalf("%+v: %d %s", p, w.Code, w.Body)
		}
		if w.Code != 200 {
			return
		}
		g := &granted{}
		if err := json.Unmarshal(w.Body.Bytes(), &g.answer); err != nil {
			t.Fatal(err)
		}
		g.token = g.answer.AccessToken
		g.verify(t, s.keys)
		certain := proxy && strings.Trim(certificate, " ") == "CERTIFICATE"
		proven := dpop == "PROOF" && g.claims.Bound["jkt"] == prover.Thumbprint() && g.answer.TokenType == "DPoP"
		switch {
		case g.claims.Subject == "dn" && certain && g.claims.Bound["x5t#S256"] == pop.CertificateThumbprint(leaf.Leaf) && (proven || dpop == "-"):
		case g.claims.Subject == "keyed" && assertion == "ASSERTION" && typ == assertionType && proven:
		default:
			t.Fatalf("%+v gets a token: %s", p, g.payload)
		}
	})
}
