package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// Every issuer grants a token that is signed with the office's key and lives as
// long, and refuses the wrong secret and the wrong client.
func TestGrantors(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			o := must(newOffice(alg))
			defer o.Close()
			all := must(grantors(t.Context(), o))
			defer func() {
				if err := closeAll(all); err != nil {
					t.Error(err)
				}
			}()
			for _, g := range all {
				if g.handler == nil {
					if g.name != issuePG && g.name != issueBcrypt {
						t.Errorf("%s takes no part: %s", g.name, g.why)
					}
					continue
				}
				checkGrant(t, o, g)
				wrong := []string{basic(o.clientID, "x"+g.secret[1:]), basic("client-1", g.secret), basic(o.clientID, "")}
				if g.name == issueBcrypt {
					wrong = wrong[:1] // the rest is as with the other hasher, and each costs seconds under -race
				} else {
					checkGrant(t, o, g) // the second time the client is cached
				}
				for _, credential := range wrong {
					got := grant(g, credential).Code
					if got == 500 && g.name == issueGoOAuth {
						continue // its answer to a client that it does not know
					}
					if got != 401 && got != 400 {
						t.Errorf("%s: status %d for %s", g.name, got, credential)
					}
				}
			}
		})
	}
}

func grant(g grantor, credential string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, g.path, strings.NewReader(tokenForm))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", credential)
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	return w
}

func checkGrant(t *testing.T, o *office, g grantor) {
	t.Helper()
	w := grant(g, basic(o.clientID, g.secret))
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
		t.Errorf("%s: status %d, %s", g.name, w.Code, w.Body)
		return
	}
	if a.ExpiresIn < 854 || a.ExpiresIn > 900 || // m2m takes up to 5 % off, at random
		!strings.EqualFold(a.TokenType, "bearer") {
		t.Errorf("%s: %+v", g.name, a)
	}
	parsed, err := jose.Parse(a.AccessToken, 0)
	if err != nil {
		t.Errorf("%s: %v", g.name, err)
		return
	}
	payload, err := parsed.Verify(must(o.keys.Key(t.Context(), parsed.KeyID(), parsed.Algorithm())))
	if err != nil {
		t.Errorf("%s: %v", g.name, err)
		return
	}
	token := must(jose.ParseObject(payload))
	subject, _, _ := token.String("sub")
	expires, _, _ := token.Time("exp")
	if left := time.Until(expires); left < tokenLifetime*94/100 || left > tokenLifetime+time.Second {
		t.Errorf("%s: payload %s", g.name, payload)
	}
	if g.name == issueGoOAuth {
		return // its tokens have no iss, no sub, and the client as aud
	}
	if subject != o.clientID {
		t.Errorf("%s: payload %s", g.name, payload)
	}
	issuerOf, _, _ := token.String("iss")
	audiences, _, _ := token.Strings("aud")
	if issuerOf != issuerURL || len(audiences) != 1 || audiences[0] != audience {
		t.Errorf("%s: payload %s", g.name, payload)
	}
}
