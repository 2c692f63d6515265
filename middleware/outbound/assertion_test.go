package outbound

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// A client authenticates with keys of each kind, also under a name that the server chose.
func TestPrivateKeyJWT(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "EdDSA", "PS256"} {
		for _, kid := range []string{"", "key 1"} {
			server, key := newStrict(t), newKey(t, alg)
			server.trust(kid, key)
			s := server.source(func(c *Config) { c.Assertion = PrivateKeyJWT(key, "", kid) })
			wantCalls(t, s.Client(), server.URL+"/v1/orders", 2)
			wantToken(t, s.For("", "other"), "token-2") // its assertion is another one
			if got := server.counts(); got["token"] != 2 || got["api"] != 2 || len(got) != 2 {
				t.Errorf("%s: %v", alg, got)
			}
		}
	}
}

// The server of these tests refuses what it must.
func TestStrictServerRefuses(t *testing.T) {
	key := newKey(t, "ES256")
	for name, change := range map[string]func(c *Config){
		"another key":      func(c *Config) { c.Assertion = PrivateKeyJWT(newKey(t, "ES256"), "", "") },
		"another kid":      func(c *Config) { c.Assertion = PrivateKeyJWT(key, "", "other") },
		"another client":   func(c *Config) { c.ClientID = "other" },
		"another audience": func(c *Config) { c.AssertionAudience = c.Issuer + "/token" },
		"an old assertion": func(c *Config) {
			c.Assertion = AssertionFunc(func(_ context.Context, audience string) (string, error) {
				signer, err := jose.NewSigner(key, "")
				if err != nil {
					return "", err
				}
				return signAssertion(signer, assertionRequest{"reporter", audience, time.Now().Add(-time.Hour)})
			})
		},
	} {
		server := newStrict(t)
		server.trust("", key)
		s := server.source(func(c *Config) {
			c.Assertion = PrivateKeyJWT(key, "", "")
			change(c)
		})
		_, err := s.Token(t.Context())
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != "invalid_client" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An assertion of the app is asked for at each request, and gets the audience.
func TestAssertionFunc(t *testing.T) {
	server, key := newStrict(t), newKey(t, "ES256")
	server.trust("", key)
	signer, err := jose.NewSigner(key, "")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	s := server.source(func(c *Config) {
		c.Assertion = AssertionFunc(func(_ context.Context, audience string) (string, error) {
			asked++
			return signAssertion(signer, assertionRequest{"reporter", audience, time.Now()})
		})
	})
	wantToken(t, s, "token-1")
	wantToken(t, s.For("", "other"), "token-2")
	if asked != 2 {
		t.Errorf("it was asked %d times", asked)
	}
}

func TestAssertionErrors(t *testing.T) {
	for say, assertion := range map[string]Assertion{
		"no machine": AssertionFunc(func(context.Context, string) (string, error) { return "", errors.New("no machine") }),
		"is empty":   AssertionFunc(func(context.Context, string) (string, error) { return "", nil }),
		"panicked":   AssertionFunc(func(context.Context, string) (string, error) { panic("x") }),
		"has broken": PrivateKeyJWT(&signerFunc{newKey(t, "ES256"), func() error { return errors.New("the HSM has broken") }}, "", ""),
	} {
		captureLog(t)
		synctest.Test(t, func(t *testing.T) {
			auth := &server{}
			s := newSource(t, auth, func(c *Config) { c.Secret, c.Assertion, c.AssertionAudience = nil, assertion, "a" })
			_, err := s.Token(t.Context())
			if wantUnavailable(t, err); !strings.Contains(err.Error(), say) || auth.count() > 0 {
				t.Errorf("%v, %d requests", err, auth.count())
			}
		})
	}
}

// signerFunc is a key that fails, or does something else first.
type signerFunc struct {
	crypto.Signer
	first func() error
}

func (s *signerFunc) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := s.first(); err != nil {
		return nil, err
	}
	return s.Signer.Sign(random, digest, opts)
}

// A key in a KMS that hangs holds up no call beyond its time, and Close does not wait for it.
func TestKeyThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		key := &signerFunc{newKey(t, "ES256"), func() error { <-release; return nil }}
		for field, change := range map[string]func(c *Config){
			"Config.Assertion": func(c *Config) {
				c.Secret, c.Assertion, c.AssertionAudience = nil, PrivateKeyJWT(key, "", ""), "a"
			},
			"Config.DPoP": func(c *Config) { c.DPoP = DPoPKey(key, "") },
		} {
			s := newSource(t, &server{}, change)
			began := time.Now()
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				_, err := s.Token(ctx)
				cancel()
				wantUnavailable(t, err)
			}
			if took := time.Since(began); took > 40*time.Second {
				t.Errorf("%s: it took %v", field, took)
			}
			if text := s.Status().LastError.Error(); !strings.Contains(text, field) || !strings.Contains(text, "has not returned") {
				t.Errorf("%s: %s", field, text)
			}
			s.Close()
		}
	})
}

// A clock that is off is corrected by the server's, so the second assertion is accepted.
func TestAssertionOfAWrongClock(t *testing.T) {
	for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			var issued []time.Duration // by the server's clock
			auth := &server{answer: func(_ *http.Request, form url.Values) *http.Response {
				token, err := jose.Parse(form.Get("client_assertion"), 0)
				if err != nil {
					t.Error(err)
					return nil
				}
				payload, _ := token.UnverifiedPayload()
				claims, err := jose.ParseObject(payload)
				if err != nil {
					t.Error(err)
					return nil
				}
				now := time.Now().Add(-ahead)
				iat, _, _ := claims.Time("iat")
				exp, _, _ := claims.Time("exp")
				issued = append(issued, now.Sub(iat))
				res := answerOf(200, `{"access_token":"a","token_type":"Bearer","expires_in":60}`)
				if iat.After(now.Add(10*time.Second)) || exp.Before(now) {
					res = answerOf(401, `{"error":"invalid_client"}`)
				}
				res.Header.Set("Date", now.UTC().Format(http.TimeFormat))
				return res
			}}
			s := newSource(t, auth, func(c *Config) {
				c.Secret, c.Assertion, c.AssertionAudience = nil, PrivateKeyJWT(newKey(t, "EdDSA"), "", ""), "a"
			})
			_, err := s.Token(t.Context())
			if e, ok := errors.AsType[*Error](err); !ok || e.Code != "invalid_client" {
				t.Fatalf("%v", err)
			}
			time.Sleep(2 * time.Minute)
			wantAny(t, s)
			if len(issued) != 2 || issued[1].Abs() > 2*time.Second {
				t.Errorf("issued %v ago", issued)
			}
		})
	}
}

// Each token request of x/oauth2 has an assertion of its own, and there is one request for
// each token.
func TestAssertionForXOAuth2(t *testing.T) {
	server, key := newStrict(t), newKey(t, "ES256")
	server.trust("", key)
	server.grant = 1 // x/oauth2 takes that for expired
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: server.transport()})
	config := &clientcredentials.Config{ClientID: "reporter", TokenURL: server.URL + "/token", Scopes: []string{"a"}, EndpointParams: url.Values{"audience": {"orders"}}}
	source := PrivateKeyJWT(key, "", "").OAuth2(ctx, config, server.URL)
	for _, want := range []string{"token-1", "token-2"} {
		if token, err := source.Token(); err != nil || token.AccessToken != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if got := server.counts(); got["token"] != 2 || len(got) != 1 || len(config.EndpointParams) != 1 {
		t.Errorf("%v, %v", got, config.EndpointParams)
	}
	server.grant = 900
	for range 3 {
		if token, err := source.Token(); err != nil || token.AccessToken != "token-3" {
			t.Errorf("%v", err)
		}
	}
	for say, source := range map[string]oauth2.TokenSource{
		"is missing":          (Assertion{}).OAuth2(ctx, config, server.URL),
		"the audience":        PrivateKeyJWT(key, "", "").OAuth2(ctx, config, ""),
		"has a ClientSecret":  PrivateKeyJWT(key, "", "").OAuth2(ctx, &clientcredentials.Config{ClientSecret: "x"}, "a"),
		"a nil key":           PrivateKeyJWT(nil, "", "").OAuth2(ctx, config, "a"),
		"Config or the Asser": PrivateKeyJWT(key, "", "").OAuth2(ctx, nil, "a"),
	} {
		if token, err := source.Token(); token != nil || err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%v, want an error with %q", err, say)
		}
	}
}

func TestNewRefusesCredentials(t *testing.T) {
	key := newKey(t, "ES256")
	certificate := Certificate(newCertificate(t, time.Now().Add(time.Hour)))
	assertion := PrivateKeyJWT(key, "", "")
	for say, change := range map[string]func(c *Config){
		"or set Assertion or Certificate":              func(c *Config) { c.Secret = nil },
		"Config.Secret and Config.Assertion":           func(c *Config) { c.Assertion = assertion },
		"Config.AssertionAudience is missing":          func(c *Config) { c.Secret, c.Assertion = nil, assertion },
		"Config.AssertionAudience is for Assertion":    func(c *Config) { c.AssertionAudience = "a" },
		"Config.Method is for Secret":                  func(c *Config) { c.Secret, c.Certificate, c.Method = nil, certificate, methodPost },
		"Config.RawBasic is for Secret":                func(c *Config) { c.Secret, c.Certificate, c.RawBasic = nil, certificate, true },
		"Config.Assertion: PrivateKeyJWT: a nil key":   func(c *Config) { c.Secret, c.Assertion = nil, PrivateKeyJWT(nil, "", "") },
		"Config.Assertion: PrivateKeyJWT: jose: si":    func(c *Config) { c.Secret, c.Assertion = nil, PrivateKeyJWT(key, "HS256", "") },
		"Config.Assertion: PrivateKeyJWT: jose: the":   func(c *Config) { c.Secret, c.Assertion = nil, PrivateKeyJWT(key, "", "a\"") },
		"Config.Assertion: PrivateKeyJWT: jose: an Ed": func(c *Config) { c.Secret, c.Assertion = nil, PrivateKeyJWT(ed25519.PrivateKey{}, "", "") },
		"Config.Assertion: AssertionFunc: a nil func":  func(c *Config) { c.Secret, c.Assertion = nil, AssertionFunc(nil) },
		"Config.DPoP: DPoPKey: a nil key":              func(c *Config) { c.DPoP = DPoPKey(nil, "") },
		"Config.DPoP: DPoPKey: pop":                    func(c *Config) { c.DPoP = DPoPKey(key, "none") },
		"Config.Certificate is shown over https":       func(c *Config) { c.TokenURL, c.Certificate = "http://127.0.0.1/token", certificate },
		"over https only, and \"http://127.0.0.1:1\"":  func(c *Config) { c.Origins, c.Certificate = []string{"http://127.0.0.1:1"}, certificate },
		"Config.HTTP: its Transport is not an":         func(c *Config) { c.HTTP, c.Certificate = &http.Client{Transport: &server{}}, certificate },
	} {
		c := Config{TokenURL: testTokenURL, ClientID: "client", Secret: Secret("x")}
		change(&c)
		if s, err := New(c); s != nil || err == nil || !strings.HasPrefix(err.Error(), "outbound: ") || !strings.Contains(err.Error(), say) {
			t.Errorf("the error is %v, want one with %s", err, say)
		}
	}
}
