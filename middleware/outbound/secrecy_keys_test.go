package outbound

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// prints collects texts of everything there is.
type prints struct {
	mu    sync.Mutex
	texts []string
}

func (p *prints) see(values ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range values {
		p.texts = append(p.texts, fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%s %q %x", v, v, v))
		if text, err := json.Marshal(v); err == nil {
			p.texts = append(p.texts, string(text))
		}
		var line strings.Builder
		slog.New(slog.NewJSONHandler(&line, nil)).Info("x", "v", v)
		p.texts = append(p.texts, line.String())
	}
}

// TestNoKeyIsPrinted prints everything in every way, while servers quote assertions and
// proofs wherever they can.
func TestNoKeyIsPrinted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		assertionKey, proofKey := newKey(t, "EdDSA"), newKey(t, "EdDSA")
		certificate := newCertificate(t, later())
		var all prints
		var sent []string // assertions and proofs
		quotes := func(text string) []*http.Response {
			return []*http.Response{
				answerOf(400, fmt.Sprintf(`{"error":"x","error_description":%q}`, text)),
				answerOf(400, fmt.Sprintf(`{"error":"use_dpop_nonce","error_description":%q}`, text), "DPoP-Nonce", "a"),
				answerOf(400, fmt.Sprintf(`{"error":"x","error_description":%q}`, text[strings.LastIndexByte(text, '.')+1:])),
				answerOf(401, fmt.Sprintf(`{"error":%q}`, text[strings.LastIndexByte(text, '.')+1:])),
				answerOf(400, fmt.Sprintf(`{"error":"x","error_description":%q}`, "bad: "+text[:100])),
				answerOf(400, fmt.Sprintf(`{"error":"x","error_description":%q}`, "bad: "+strings.Split(text, ".")[1])),
				answerOf(200, text),
				answerOf(200, fmt.Sprintf(`{"access_token":"opaque-token","token_type":%q}`, text)),
				answerOf(302, "", "Location", "https://evil.example.com/"+text),
				nil, // an error of the transport
				answerOf(200, `{"access_token":"opaque-token","token_type":"DPoP","expires_in":60}`),
			}
		}
		for i := range 11 {
			for _, which := range []string{"assertion", "proof"} {
				auth := roundTrip(func(r *http.Request) (*http.Response, error) {
					if r.Method == http.MethodGet { // it is the API here
						return answerOf(200, ""), nil
					}
					form, err := readForm(r)
					if err != nil {
						return nil, err
					}
					texts := map[string]string{"assertion": form.Get("client_assertion"), "proof": r.Header.Get("DPoP")}
					for _, text := range texts {
						for part := range strings.SplitSeq(text, ".") {
							sent = append(sent, part[:40])
						}
					}
					if res := quotes(texts[which])[i]; res != nil {
						return res, nil
					}
					return nil, errors.New("malformed HTTP status " + texts[which])
				})
				assertion, key := PrivateKeyJWT(assertionKey, "", ""), DPoPKey(proofKey, "")
				c := Config{
					TokenURL: testTokenURL, ClientID: "client", Assertion: assertion, DPoP: key, AssertionAudience: "a", Resources: []string{testAPI},
					HTTP: &http.Client{Transport: auth}, Observe: func(_ context.Context, e Event) { all.see(e) },
				}
				s, err := New(c)
				if err != nil {
					t.Fatal(err)
				}
				token, err := s.Token(t.Context())
				_, err2 := s.Client().Get(testAPI)
				all.see(c, &c, assertion, &assertion, key, &key, s, reflect.ValueOf(s).Elem().Interface(), token, err, err2, s.Status(), s.Transport(nil), s.Client())
				for err := err; err != nil; err = errors.Unwrap(err) {
					all.see(err)
				}
				if (err == nil) != (i == 10) {
					t.Errorf("answer %d: %v", i, err)
				}
				var seen []*http.Request
				res, err := (&http.Client{Transport: s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
					sent = append(sent, r.Header.Get("DPoP"))
					seen = append(seen, r)
					return answerOf(401, "", "WWW-Authenticate", `DPoP error="use_dpop_nonce"`, "DPoP-Nonce", "b"), nil
				}))}).Get(testAPI)
				if err == nil {
					all.see(res, res.Request, res.Request.Header)
				}
				if all.see(err); (len(seen) == 2) != (i == 10) {
					t.Errorf("%d requests", len(seen))
				}
				source := assertion.OAuth2(context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: auth}), &clientcredentials.Config{TokenURL: testTokenURL}, "a")
				all.see(assertion, source)
				s.Close()
			}
		}
		all.see(Certificate(certificate), CertificateFiles("a", "b"), WorkloadToken("a"), NewDPoPKey(), Config{Certificate: Certificate(certificate), DPoP: NewDPoPKey()})
		raw, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		forbidden := append([]string{"opaque-token", fmt.Sprintf("%x", raw[40:60])}, sent...)
		for _, key := range []ed25519.PrivateKey{assertionKey.(ed25519.PrivateKey), proofKey.(ed25519.PrivateKey)} {
			seed := key.Seed()
			forbidden = append(forbidden, fmt.Sprintf("%x", seed[:8]), strings.Trim(fmt.Sprintf("%d", seed[:6]), "[]"), string(seed[:8]), url.QueryEscape(string(seed)))
		}
		for _, text := range all.texts {
			for _, secret := range forbidden {
				if secret != "" && (strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret))) {
					t.Errorf("%q is in %s", secret, text)
				}
			}
		}
		if len(all.texts) < 1000 || len(sent) < 30 {
			t.Errorf("only %d texts were printed, and %d sent", len(all.texts), len(sent))
		}
	})
}
