package middleware

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/pop"
)

// shown is what a request to a guard shows. The words KEY, CERTIFICATE and BOTH mean a
// valid token that is bound to those, PROOF a valid proof of the first and the last, and
// LEAF the certificate in a Client-Cert header. A header that is - is not sent.
type shown struct {
	authorization, proof, certificate string
	proxy                             bool // the connection is that of a trusted proxy
}

// FuzzHeaders sends any Authorization, DPoP and Client-Cert headers to a route for bound
// tokens. The answer is never a fault of the server, and a request that reaches the
// handler has proven all that its token is bound to.
func FuzzHeaders(f *testing.F) {
	keys, leaf := newKeyring(f, ecKey), newCertificate(f)
	header := clientCert(leaf.Leaf)
	once := func(context.Context, string, string, time.Time) (bool, error) { return true, nil } // each proof is new
	b := benchGuard(f, Config{
		Keys: keys, RequireBound: true,
		DPoP:               &DPoP{BaseURL: testAudience, Proofs: pop.Config{Replay: once}},
		ClientCertificates: &ClientCertificates{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}},
	})
	key, both := newHolder(f, keys), newHolder(f, keys, x5tOf(leaf.Leaf))
	certificate := sign(f, keys, payload(bindTo(x5tOf(leaf.Leaf))))
	words := strings.NewReplacer("KEY", key.token, "CERTIFICATE", certificate, "BOTH", both.token)
	var token *Token // of the request that has reached the handler
	handler := b.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { token = TokenFromContext(r.Context()) }))
	send := func(tb testing.TB, s shown) *httptest.ResponseRecorder {
		r := request(http.MethodGet, "/")
		if s.authorization != "-" {
			r.Header["Authorization"] = []string{words.Replace(s.authorization)}
		}
		if s.proof != "-" {
			of := key
			if strings.Contains(s.authorization, "BOTH") {
				of = both
			}
			r.Header["Dpop"] = []string{strings.ReplaceAll(s.proof, "PROOF", of.proof(tb, http.MethodGet, "/"))}
		}
		if s.certificate != "-" {
			r.Header["Client-Cert"] = []string{strings.ReplaceAll(s.certificate, "LEAF", header)}
		}
		if !s.proxy {
			r.RemoteAddr = "203.0.113.9:1"
		}
		token = nil
		return send(handler, r)
	}
	seeds := []shown{{"DPoP KEY", "PROOF", "-", false}, {"Bearer CERTIFICATE", "-", "LEAF", true}, {"dpop BOTH", "PROOF", "LEAF", true}}
	for _, s := range seeds {
		if w := send(f, s); w.Code != http.StatusOK || token == nil {
			f.Fatalf("%+v: %d %q", s, w.Code, w.Header())
		}
	}
	seeds = append(seeds, shown{"Bearer KEY", "PROOF", "-", false}, shown{"DPoP CERTIFICATE", "PROOF", "LEAF", true}, shown{"Bearer CERTIFICATE", "-", "LEAF", false},
		shown{"DPoP BOTH", "PROOF", "-", true}, shown{"Bearer BOTH", "-", "LEAF", true}, shown{"DPoP KEY, Bearer KEY", "PROOF, PROOF", "LEAF, LEAF", true},
		shown{"-", "", "", true}, shown{"DPoP", "a.b.c", ":AA==:", true}, shown{"DPoP KEY.", "PROOF.", "::", true}, shown{"DPoP a.b.c", "\x00", ":", false})
	for _, s := range seeds {
		f.Add(s.authorization, s.proof, s.certificate, s.proxy)
	}
	f.Fuzz(func(t *testing.T, authorization, proof, certificate string, proxy bool) {
		s := shown{authorization, proof, certificate, proxy}
		w := send(t, s)
		if w.Code != http.StatusOK && (w.Code < 400 || w.Code >= 500) || (token != nil) != (w.Code == http.StatusOK) {
			t.Fatalf("%+v: %d %q", s, w.Code, w.Header())
		}
		if token == nil {
			return
		}
		bound := token.Confirmation
		switch {
		case bound == nil, *bound == Confirmation{},
			bound.KeyThumbprint != "" && proof != "PROOF",
			bound.CertificateThumbprint != "" && (!proxy || strings.Trim(certificate, " ") != "LEAF"):
			t.Fatalf("%+v reaches the handler with a token that is bound to %+v", s, bound)
		}
	})
}
