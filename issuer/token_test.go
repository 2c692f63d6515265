package issuer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// The usual case over real HTTP: a client with a chosen secret, by form. Then each error in
// such a request.
func TestTutorial(t *testing.T) {
	secret, err := registry.HashSecret("secret456")
	if err != nil {
		t.Fatal(err)
	}
	s := newService(t, Config{ImportedSecrets: true}, registry.Client{
		ID: "myapp123", Secrets: []registry.Secret{secret},
		Scopes: []string{"orders:read", "orders:write"}, Audiences: []string{ordersAPI},
	})
	server := httptest.NewServer(s.app)
	defer server.Close()

	const (
		good     = "client_id=myapp123&client_secret=secret456&grant_type=client_credentials"
		formType = "application/x-www-form-urlencoded"
	)
	for name, tt := range map[string]struct {
		method, query, contentType, body string
		status                           int
		header                           http.Header // beside those of every answer
		answer                           string      // "" means a token
	}{
		"valid": {body: good, status: 200},
		"wrong secret": {
			body: "client_id=myapp123&client_secret=secret457&grant_type=client_credentials", status: 401,
			answer: `{"error":"invalid_client","error_description":"client authentication failed"}`,
		},
		"unknown client": {
			body: "client_id=myapp124&client_secret=secret456&grant_type=client_credentials", status: 401,
			answer: `{"error":"invalid_client","error_description":"client authentication failed"}`,
		},
		"no credentials": {
			body: "grant_type=client_credentials", status: 401,
			answer: `{"error":"invalid_client","error_description":"client authentication is missing; this issuer accepts client_secret_basic, client_secret_post, private_key_jwt"}`,
		},
		"no secret": {
			body: "client_id=myapp123&grant_type=client_credentials", status: 401,
			answer: `{"error":"invalid_client","error_description":"client authentication is missing; this issuer accepts client_secret_basic, client_secret_post, private_key_jwt"}`,
		},
		"no id": {
			body: "client_secret=secret456&grant_type=client_credentials", status: 400,
			answer: `{"error":"invalid_request","error_description":"client_id is missing"}`,
		},
		"wrong grant": {
			body: "client_id=myapp123&client_secret=secret456&grant_type=password", status: 400,
			answer: `{"error":"unsupported_grant_type","error_description":"the only grant type here is client_credentials"}`,
		},
		"grant in capitals": {
			body: "client_id=myapp123&client_secret=secret456&grant_type=Client_Credentials", status: 400,
			answer: `{"error":"unsupported_grant_type","error_description":"the only grant type here is client_credentials"}`,
		},
		"no grant": {
			body: "client_id=myapp123&client_secret=secret456", status: 400,
			answer: `{"error":"invalid_request","error_description":"grant_type is missing"}`,
		},
		"no body": {
			status: 400,
			answer: `{"error":"invalid_request","error_description":"grant_type is missing"}`,
		},
		"GET": {
			method: "GET", query: "?" + good, status: 405, header: http.Header{"Allow": {"POST"}},
			answer: `{"error":"invalid_request","error_description":"this endpoint takes POST"}`,
		},
		"PUT": {
			method: "PUT", body: good, status: 405, header: http.Header{"Allow": {"POST"}},
			answer: `{"error":"invalid_request","error_description":"this endpoint takes POST"}`,
		},
		"HEAD": {method: "HEAD", status: 405, header: http.Header{"Allow": {"POST"}}, answer: "-"},
		"JSON": {
			contentType: "application/json", status: 400,
			body:   `{"client_id":"myapp123","client_secret":"secret456","grant_type":"client_credentials"}`,
			answer: `{"error":"invalid_request","error_description":"Content-Type must be application/x-www-form-urlencoded"}`,
		},
		"secret in the query": {
			query: "?client_secret=secret456", body: "client_id=myapp123&grant_type=client_credentials", status: 400,
			answer: `{"error":"invalid_request","error_description":"parameters belong in the body of the request, not in its URL"}`,
		},
		"secret in both": {
			query: "?client_secret=secret456", body: good, status: 400,
			answer: `{"error":"invalid_request","error_description":"parameters belong in the body of the request, not in its URL"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.method == "" {
				tt.method = "POST"
			}
			if tt.contentType == "" {
				tt.contentType = formType
			}
			r, err := http.NewRequest(tt.method, server.URL+"/token"+tt.query, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", tt.contentType)
			response, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != tt.status {
				t.Errorf("status %d, want %d", response.StatusCode, tt.status)
			}
			want := http.Header{
				"Cache-Control":  {"no-store"},
				"Pragma":         {"no-cache"},
				"Content-Type":   {"application/json"},
				"Content-Length": response.Header["Content-Length"],
				"Date":           response.Header["Date"],
			}
			if tt.status == http.StatusUnauthorized {
				description := strings.Split(tt.answer, `"`)[7]
				want.Set("WWW-Authenticate", `Basic realm="token", charset="UTF-8", error="invalid_client", error_description="`+description+`"`)
			}
			maps.Copy(want, tt.header)
			if got := fmt.Sprint(response.Header); got != fmt.Sprint(want) {
				t.Errorf("headers %v, want %v", got, want)
			}
			switch got := string(body); tt.answer {
			case "":
				g := &granted{token: accessToken.FindStringSubmatch(got)[1]}
				g.verify(t, s.keys)
				if want := `{"access_token":"` + g.token + `","token_type":"Bearer","expires_in":900,"scope":"orders:read orders:write"}`; got != want {
					t.Errorf("body %s, want %s", got, want)
				}
				if g.claims.Subject != "myapp123" {
					t.Errorf("sub %q", g.claims.Subject)
				}
			case "-":
			default:
				if got != tt.answer {
					t.Errorf("body %s, want %s", got, tt.answer)
				}
			}
		})
	}
}

var accessToken = regexp.MustCompile(`"access_token":"([^"]+)"`)

// The whole header and payload, by RFC 9068, section 2.
func TestTokenContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := app()
		c.Audiences, c.DefaultAudience = []string{ordersAPI, billingAPI}, ordersAPI
		quoted := app()
		quoted.ID = `a "b\`
		bare := app()
		bare.ID, bare.Scopes = "bare", nil
		s := newService(t, Config{}, c, quoted, bare)
		now := time.Now().Unix()
		for name, tt := range map[string]struct {
			form, id, aud, scope string
		}{
			"one audience":      {appForm, `"app"`, `"` + ordersAPI + `"`, `,"scope":"orders:read orders:write"`},
			"several audiences": {appForm + "&" + form("resource", billingAPI, "resource", ordersAPI), `"app"`, `["` + billingAPI + `","` + ordersAPI + `"]`, `,"scope":"orders:read orders:write"`},
			"one scope":         {appForm + "&scope=orders:read", `"app"`, `"` + ordersAPI + `"`, `,"scope":"orders:read"`},
			"no scope":          {strings.Replace(appForm, "client_id=app", "client_id=bare", 1), `"bare"`, `"` + ordersAPI + `"`, ""},
			"id to be escaped":  {strings.Replace(appForm, "client_id=app", form("client_id", quoted.ID), 1), `"a \"b\\"`, `"` + ordersAPI + `"`, `,"scope":"orders:read orders:write"`},
		} {
			w := s.post(tt.form)
			g := s.wantToken(t, w)
			payload := fmt.Sprintf(`{"iss":%q,"sub":%s,"aud":%s,"exp":%d,"iat":%d,"jti":%q,"client_id":%s%s}`,
				testIssuer, tt.id, tt.aud, now+900, now, g.claims.ID, tt.id, tt.scope)
			if g.payload != payload {
				t.Errorf("%s: payload %s, want %s", name, g.payload, payload)
			}
			answer := fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":900%s}`, g.token, tt.scope)
			if got := w.Body.String(); got != answer {
				t.Errorf("%s: body %s, want %s", name, got, answer)
			}
			jws, err := jose.Parse(g.token, 0)
			if err != nil {
				t.Fatal(err)
			}
			if want := `{"alg":"ES256","kid":"` + jws.KeyID() + `","typ":"at+jwt"}`; g.header != want {
				t.Errorf("%s: header %s, want %s", name, g.header, want)
			}
		}
	})
}

func TestTokenAlgorithm(t *testing.T) {
	for _, k := range signers(t) {
		s := newService(t, Config{Keys: newKeyring(t, k.signer)})
		g := s.wantToken(t, s.post(appForm))
		if !strings.HasPrefix(g.header, `{"alg":"`+k.alg+`"`) {
			t.Errorf("header %s, want alg %s", g.header, k.alg)
		}
	}
}

func TestTokenID(t *testing.T) {
	s := newService(t, Config{})
	seen := map[string]bool{}
	for range 100 {
		id := s.wantToken(t, s.post(appForm)).claims.ID
		if len(id) != 38 || seen[id] {
			t.Fatalf("jti %q is short or repeated", id)
		}
		seen[id] = true
	}
}

// memoryKeys is a jwks.KeyStore.
type memoryKeys struct{ blob []byte }

func (m *memoryKeys) Load(context.Context) ([]byte, error) { return m.blob, nil }

func (m *memoryKeys) Save(_ context.Context, old, blob []byte) (bool, error) {
	if !bytes.Equal(old, m.blob) {
		return false, nil
	}
	m.blob = blob
	return true, nil
}

func TestKeysUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, err := jwks.Open(t.Context(), &memoryKeys{}, hasty)
		if err != nil {
			t.Fatal(err)
		}
		s := newService(t, Config{Keys: keys})
		s.wantToken(t, s.post(appForm))
		if err := keys.Close(); err != nil { // it no longer follows its store
			t.Fatal(err)
		}
		time.Sleep(hasty.RotateEvery + hasty.Retain)
		s.wantError(t, s.post(appForm), 503, "temporarily_unavailable", "try again in a moment")
		s.wantCause(t, jwks.ErrUnavailable)
	})
}

// brokenSigner is a key that fails to sign, as a KMS may.
type brokenSigner struct{ crypto.Signer }

var errBroken = errors.New("the HSM is on fire")

func (brokenSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errBroken
}

func TestSigningFails(t *testing.T) {
	s := newService(t, Config{Keys: newKeyring(t, brokenSigner{ecKey})})
	s.wantError(t, s.post(appForm), 503, "temporarily_unavailable", "try again in a moment")
	s.wantCause(t, errBroken)
}

// A request that ends before its token is signed still gets the token.
func TestSigningTooSlow(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newService(t, Config{Claims: func(context.Context, Grant) (map[string]any, error) {
		cancel()
		return nil, nil
	}})
	r := httptest.NewRequestWithContext(ctx, "POST", "/token", strings.NewReader(appForm))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	s.wantToken(t, s.send(r))
}

type namedSigner struct {
	alg    string
	signer crypto.Signer
}

func signers(tb testing.TB) []namedSigner {
	tb.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return []namedSigner{{"ES256", ecKey}, {"RS256", rsaKey}, {"EdDSA", edKey}}
}
