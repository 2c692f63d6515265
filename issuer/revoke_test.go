package issuer

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// badTokens returns tokens that are not valid tokens of the app at s, one of each kind.
func badTokens(t *testing.T, s *service) map[string]string {
	t.Helper()
	good := s.wantToken(t, s.post(appForm)).token
	elsewhere := newService(t, Config{Issuer: "https://other.example.com", Keys: s.keys})
	impostor := newService(t, Config{Keys: newKeyring(t, signers(t)[2].signer)})
	sign := func(typ, payload string) string {
		token, err := s.keys.Sign(t.Context(), typ, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	now := time.Now().Unix()
	claims := func(expiresAt int64) string {
		return fmt.Sprintf(`{"iss":%q,"sub":"app","aud":%q,"exp":%d,"iat":%d,"jti":"a","client_id":"app"}`, testIssuer, ordersAPI, expiresAt, now-60)
	}
	parts := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`))
	return map[string]string{
		"garbage":             "x",
		"a secret":            appSecret,
		"dots":                strings.Repeat(".", 60<<10),
		"long":                strings.Repeat("x", 60<<10),
		"not UTF-8":           "\xff.\xff.\xff",
		"two parts":           parts[0] + "." + parts[1],
		"no signature":        parts[0] + "." + parts[1] + ".",
		"other signature":     good[:len(good)-4] + "AAAA",
		"none":                none + "." + parts[1] + ".",
		"none, signed":        none + "." + parts[1] + "." + parts[2],
		"white space":         " " + good,
		"padding":             good + "=",
		"expired":             sign("at+jwt", claims(now-1)),
		"expires now":         sign("at+jwt", claims(now)),
		"other type":          sign("JWT", claims(now+60)),
		"without expiry":      sign("at+jwt", fmt.Sprintf(`{"iss":%q,"client_id":"app","jti":"a","aud":%q}`, testIssuer, ordersAPI)),
		"expiry not a number": sign("at+jwt", strings.Replace(claims(now+60), fmt.Sprint(now+60), `"x"`, 1)),
		"no claims":           sign("at+jwt", "{}"),
		"not JSON":            sign("at+jwt", "x"),
		"other issuer":        elsewhere.wantToken(t, elsewhere.post(appForm)).token,
		"other issuer's key":  impostor.wantToken(t, impostor.post(appForm)).token,
	}
}

// A client revokes its own token. The token is refused here from the next request on, and
// elsewhere within 2 s. Revoking it again succeeds and writes nothing.
func TestRevokeEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		s, there := newService(t, Config{Store: store}), newService(t, Config{Store: store})
		first, second := s.wantToken(t, s.post(appForm)), s.wantToken(t, s.post(appForm))
		if s.revoked(t, first) || there.revoked(t, first) {
			t.Error("revoked too soon")
		}
		s.wantBody(t, s.postTo("/revoke", about(first.token)), "{}")
		if !s.revoked(t, first) || s.revoked(t, second) {
			t.Error("not this token alone is revoked")
		}
		time.Sleep(2 * time.Second)
		if !there.revoked(t, first) || there.revoked(t, second) {
			t.Error("not this token alone is revoked elsewhere")
		}
		for range 100 {
			s.wantBody(t, s.postTo("/revoke", about(first.token)), "{}")
			s.wantBody(t, there.postTo("/revoke", about(first.token)), "{}")
		}
		if got := store.writes.Load(); got != 1 {
			t.Errorf("%d writes for one token", got)
		}

		// By header, with token_type_hint (RFC 7009, section 2.1).
		s.wantBody(t, s.postTo("/revoke", form("token", second.token, "token_type_hint", "refresh_token"), "Authorization", basic("app", appSecret)), "{}")
		if !s.revoked(t, second) {
			t.Error("not revoked")
		}

		// A token of a client whose tokens are all revoked needs no entry of its own.
		third := s.wantToken(t, s.post(appForm))
		if err := s.issuer.RevokeClient(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		writes := store.writes.Load()
		s.wantBody(t, s.postTo("/revoke", about(third.token)), "{}")
		if got := store.writes.Load(); got != writes || !s.revoked(t, third) {
			t.Errorf("%d writes for a token that is revoked", got-writes)
		}

		// A verifier's leeway may let a token in that has expired: it can be revoked
		// for as long as that.
		time.Sleep(time.Second)
		fourth, fifth := s.wantToken(t, s.post(appForm)), s.wantToken(t, s.post(appForm))
		time.Sleep(15*time.Minute + afterExpiry - 2*time.Second)
		s.wantBody(t, s.postTo("/revoke", about(fourth.token)), "{}")
		if !s.revoked(t, fourth) {
			t.Error("an expired token is not revoked")
		}
		time.Sleep(3 * time.Second)
		writes = store.writes.Load()
		s.wantBody(t, s.postTo("/revoke", about(fifth.token)), "{}")
		if got := store.writes.Load(); got != writes || s.revoked(t, fifth) {
			t.Errorf("%d writes for a token that nobody can take", got-writes)
		}

		// The entry is dropped when no verifier can accept the token any more.
		time.Sleep(2 * sweepEvery)
		if got := s.issuer.Status().Revocations; got != 1 { // the cut-off of the client
			t.Errorf("%d live revocations, want the cut-off", got)
		}
	})
}

// For an invalid token the answer is 200 (RFC 7009, section 2.2), and nothing is written. A
// token of another client is not revoked.
func TestRevokeEndpointTokens(t *testing.T) {
	store := &watched{Memory: newStore(t)}
	other, secret := otherClient()
	for _, c := range []registry.Client{app(), other} {
		if err := store.Put(c); err != nil {
			t.Fatal(err)
		}
	}
	s := newService(t, Config{Store: store})
	for name, token := range badTokens(t, s) {
		t.Run(name, func(t *testing.T) { s.wantBody(t, s.postTo("/revoke", about(token)), "{}") })
	}
	g := s.wantToken(t, s.post(appForm))
	w := s.postTo("/revoke", form("client_id", "other", "client_secret", secret, "token", g.token))
	s.wantError(t, w, 400, "unauthorized_client", "the token belongs to another client")
	if e := s.lastEvent(t); e.ClientID != "other" {
		t.Errorf("event %+v", e)
	}
	// One of them has expired a moment ago: verifiers' leeway may still let it in.
	if got := store.writes.Load(); got != 1 || s.revoked(t, g) {
		t.Errorf("%d writes", got)
	}
}

// What both endpoints about tokens refuse, before they read the token.
func TestTokenEndpointsRefuse(t *testing.T) {
	s := newService(t, Config{})
	g := s.wantToken(t, s.post(appForm))
	const formType = "application/x-www-form-urlencoded"
	for _, path := range []string{"/revoke", "/introspect"} {
		for name, tt := range map[string]struct {
			method, query, contentType, body string
			header                           []string
			status                           int
			code, description                string
		}{
			"no token":            {body: "client_id=app&client_secret=" + appSecret, status: 400, code: "invalid_request", description: "token is missing"},
			"empty token":         {body: about(""), status: 400, code: "invalid_request", description: "token is missing"},
			"empty":               {status: 400, code: "invalid_request", description: "token is missing"},
			"GET":                 {method: "GET", status: 405, code: "invalid_request", description: "this endpoint takes POST"},
			"GET with a token":    {method: "GET", query: "?token=" + g.token, status: 405, code: "invalid_request", description: "this endpoint takes POST"},
			"PUT":                 {method: "PUT", body: about(g.token), status: 405, code: "invalid_request", description: "this endpoint takes POST"},
			"token in the URL":    {query: "?token=" + g.token, body: about(g.token), status: 400, code: "invalid_request", description: "parameters belong in the body of the request, not in its URL"},
			"secret in the URL":   {query: "?client_secret=" + appSecret, body: about(g.token), status: 400, code: "invalid_request", description: "parameters belong in the body of the request, not in its URL"},
			"token twice":         {body: about(g.token) + "&token=x", status: 400, code: "invalid_request", description: "a parameter is repeated"},
			"JSON":                {contentType: "application/json", body: `{"token":"x"}`, status: 400, code: "invalid_request", description: "Content-Type must be application/x-www-form-urlencoded"},
			"no credentials":      {body: form("token", g.token), status: 401, code: "invalid_client", description: "client authentication is missing; this issuer accepts client_secret_basic, client_secret_post, private_key_jwt"},
			"the token as Bearer": {body: form("token", g.token), header: []string{"Authorization", "Bearer " + g.token}, status: 401, code: "invalid_client", description: "the Authorization header must use the Basic scheme; this issuer accepts client_secret_basic, client_secret_post, private_key_jwt"},
			"wrong secret":        {body: about(g.token) + "&x=", header: []string{"Authorization", basic("app", "x")}, status: 400, code: "invalid_request", description: "more than one client authentication"},
			"wrong secret, form":  {body: form("client_id", "app", "client_secret", appSecret+"x", "token", g.token), status: 401, code: "invalid_client", description: "client authentication failed"},
			"wrong, header":       {body: form("token", g.token), header: []string{"Authorization", basic("app", "x")}, status: 401, code: "invalid_client", description: "client authentication failed"},
			"unknown client":      {body: form("client_id", "nobody", "client_secret", appSecret, "token", g.token), status: 401, code: "invalid_client", description: "client authentication failed"},
			"an assertion":        {body: form("client_assertion", "a.b.c", "client_assertion_type", assertionType, "token", g.token), status: 401, code: "invalid_client", description: "client authentication failed"},
			"assertion, no type":  {body: form("client_assertion", "a.b.c", "token", g.token), status: 401, code: "invalid_client", description: "client_assertion_type must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer; this issuer accepts client_secret_basic, client_secret_post, private_key_jwt"},
			"too large":           {body: about(strings.Repeat("x", maxRequest)), status: 413, code: "invalid_request", description: "the request is larger than 64 KiB"},
		} {
			t.Run(path+" "+name, func(t *testing.T) {
				if tt.method == "" {
					tt.method = "POST"
				}
				if tt.contentType == "" {
					tt.contentType = formType
				}
				r := httptest.NewRequest(tt.method, path+tt.query, strings.NewReader(tt.body))
				r.Header.Set("Content-Type", tt.contentType)
				for n := 0; n < len(tt.header); n += 2 {
					r.Header.Add(tt.header[n], tt.header[n+1])
				}
				s.wantError(t, s.send(r), tt.status, tt.code, tt.description)
				if s.revoked(t, g) {
					t.Error("revoked")
				}
			})
		}
	}
	// And a token in a URL of the token endpoint.
	s.wantError(t, s.postTo("/token?token="+g.token, appForm), 400, "invalid_request", "parameters belong in the body of the request, not in its URL")
}

// A failure to write a revocation is 503, and the token is not revoked.
func TestRevokeEndpointOutage(t *testing.T) {
	for name, act := range map[string]func(context.Context, string) error{"down": down, "hung": hung} {
		synctest.Test(t, func(t *testing.T) {
			store := &watched{Memory: newStore(t, app())}
			s := newService(t, Config{Store: store})
			g := s.wantToken(t, s.post(appForm))
			store.does(at("Revoke", act))
			begun := time.Now()
			s.wantUnavailable(t, s.postTo("/revoke", about(g.token)))
			if took := time.Since(begun); took > storeTimeout {
				t.Errorf("%s: it took %v", name, took)
			}
			if s.revoked(t, g) {
				t.Errorf("%s: it is revoked here, and nowhere else", name)
			}
			s.wantBody(t, s.postTo("/revoke", about("x")), "{}") // needs no store
			store.does(nil)
			s.wantBody(t, s.postTo("/revoke", about(g.token)), "{}")
			if !s.revoked(t, g) {
				t.Errorf("%s: not revoked", name)
			}
		})
	}
}
