package issuer

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
)

const inactiveBody = `{"active":false}`

// The whole answer: the claims of the token, active and token_type.
func TestIntrospect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both := app()
		both.ID, both.Audiences, both.DefaultAudience = "both", []string{ordersAPI, billingAPI}, ordersAPI
		s := newService(t, Config{}, app(), both, guard("orders", ordersAPI))
		time.Sleep(500 * time.Millisecond)
		now := time.Now().Unix()
		ask := func(token, want string) {
			t.Helper()
			s.wantBody(t, s.postTo("/introspect", asks("orders", token)), want)
			s.wantBody(t, s.postTo("/introspect", form("token", token, "token_type_hint", "access_token"), "Authorization", basic("orders", appSecret)), want)
		}
		g := s.wantToken(t, s.post(appForm))
		ask(g.token, fmt.Sprintf(`{"active":true,"aud":%q,"client_id":"app","exp":%d,"iat":%d,"iss":%q,"jti":%q,"scope":"orders:read orders:write","sub":"app","token_type":"Bearer"}`,
			ordersAPI, now+900, now, testIssuer, g.claims.ID))

		g2 := s.wantToken(t, s.post(secretOf("both")+"&scope=orders:read&"+form("resource", billingAPI, "resource", ordersAPI)))
		ask(g2.token, fmt.Sprintf(`{"active":true,"aud":[%q,%q],"client_id":"both","exp":%d,"iat":%d,"iss":%q,"jti":%q,"scope":"orders:read","sub":"both","token_type":"Bearer"}`,
			billingAPI, ordersAPI, now+900, now, testIssuer, g2.claims.ID))

		// The token is active until it expires.
		time.Sleep(time.Until(time.Unix(g.claims.Expiry, 0)) - time.Nanosecond)
		if got := s.postTo("/introspect", asks("orders", g.token)).Body.String(); len(got) < 100 {
			t.Errorf("before it expires: %s", got)
		}
		time.Sleep(time.Nanosecond)
		ask(g.token, inactiveBody)
	})
}

// The answer has the claims of Config.Claims, which cannot replace active and token_type.
func TestIntrospectClaims(t *testing.T) {
	s := newService(t, Config{Claims: func(context.Context, Grant) (map[string]any, error) {
		return map[string]any{"tenant": "acme", "username": "x<y", "n": 1.50}, nil
	}}, app(), guard("orders", ordersAPI))
	g := s.wantToken(t, s.post(appForm))
	s.wantBody(t, s.postTo("/introspect", asks("orders", g.token)), fmt.Sprintf(
		`{"active":true,"aud":%q,"client_id":"app","exp":%d,"iat":%d,"iss":%q,"jti":%q,"n":1.5,"scope":"orders:read orders:write","sub":"app","tenant":"acme","token_type":"Bearer","username":"x\u003cy"}`,
		ordersAPI, g.claims.Expiry, g.claims.IssuedAt, testIssuer, g.claims.ID))
	for _, name := range []string{"active", "token_type", "Active"} {
		s := claiming(t, map[string]any{name: true})
		s.wantError(t, s.post(appForm), 500, "server_error", "the token could not be made")
	}
}

// The audience of a token, and clients that may introspect that audience, see it as active.
// All others see it as inactive.
func TestIntrospectAudience(t *testing.T) {
	both := app()
	both.ID, both.Audiences, both.DefaultAudience = "both", []string{ordersAPI, billingAPI}, ordersAPI
	// An API whose client id is the audience.
	named := app()
	named.ID, named.Audiences = "named", []string{"urn:api"}
	disabled := guard("disabled", "*")
	disabled.Disabled = true
	clients := []registry.Client{
		app(), both, named, disabled, guard("none"), guard("orders", ordersAPI), guard("billing", billingAPI), guard("two", billingAPI, ordersAPI), guard("all", "*"),
		guard("urn:api"), guard("empty", ""), guard("slash", ordersAPI+"/"), guard("prefix", "https://"), guard("pattern", "https://*"), guard(ordersAPI),
	}
	s := newService(t, Config{}, clients...)
	for name, tt := range map[string]struct {
		token string
		seen  []string // the clients that see it as active
	}{
		"for orders":  {s.wantToken(t, s.post(appForm)).token, []string{"orders", "two", "all", ordersAPI}},
		"for billing": {s.wantToken(t, s.post(secretOf("both")+"&"+form("resource", billingAPI))).token, []string{"billing", "two", "all"}},
		"for both":    {s.wantToken(t, s.post(secretOf("both")+"&"+form("resource", billingAPI, "resource", ordersAPI))).token, []string{"orders", "billing", "two", "all", ordersAPI}},
		"for a name":  {s.wantToken(t, s.post(secretOf("named"))).token, []string{"urn:api", "all"}},
	} {
		t.Run(name, func(t *testing.T) {
			seen := map[string]bool{}
			for _, id := range tt.seen {
				seen[id] = true
			}
			for _, c := range clients {
				w := s.postTo("/introspect", asks(c.ID, tt.token))
				switch {
				case c.Disabled:
					s.wantUnauthorized(t, w, errDisabled)
				case !seen[c.ID]:
					s.wantBody(t, w, inactiveBody) // even to the client that got the token
				case w.Code != 200 || w.Body.String()[:15] != `{"active":true,`:
					t.Errorf("%s: status %d, %s", c.ID, w.Code, w.Body)
				}
			}
		})
	}
}

// A token that was revoked, alone or with its client, here or elsewhere, is inactive.
func TestIntrospectRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app(), guard("all", "*"))}
		s, there := newService(t, Config{Store: store}), newService(t, Config{Store: store})
		active := func(g *granted, want bool) {
			t.Helper()
			for _, at := range []*service{s, there} {
				w := at.postTo("/introspect", asks("all", g.token))
				if want && w.Body.Len() < 100 {
					t.Errorf("inactive: %s", w.Body)
				} else if !want {
					at.wantBody(t, w, inactiveBody)
				}
			}
		}
		first, second := s.wantToken(t, s.post(appForm)), s.wantToken(t, s.post(appForm))
		active(first, true)
		s.wantBody(t, s.postTo("/revoke", about(first.token)), "{}")
		time.Sleep(2 * time.Second)
		active(first, false)
		active(second, true)
		if err := there.issuer.RevokeClient(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		active(second, false)
		active(s.wantToken(t, s.post(appForm)), true)
	})
}

// An invalid token, and a valid or revoked token that the caller may not see, get the same
// answer, even when revocations cannot be looked up.
func TestIntrospectTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app(), guard("all", "*"), guard("none"))}
		s := newService(t, Config{Store: store})
		bad := badTokens(t, s)
		for name, token := range bad {
			for _, id := range []string{"all", "none", "app"} {
				if w := s.postTo("/introspect", asks(id, token)); w.Body.String() != inactiveBody {
					t.Errorf("%s, asked by %s: %s", name, id, w.Body)
				}
			}
		}
		good, taken := s.wantToken(t, s.post(appForm)), s.wantToken(t, s.post(appForm))
		s.wantBody(t, s.postTo("/revoke", about(taken.token)), "{}")
		bad["not to see"], bad["not to see, revoked"] = good.token, taken.token
		check := func() {
			t.Helper()
			for _, token := range bad {
				s.wantBody(t, s.postTo("/introspect", asks("none", token)), inactiveBody)
			}
		}
		check()

		store.does(at("Changes", down))
		time.Sleep(2 * time.Minute)
		check()
		for _, token := range []string{good.token, taken.token} {
			s.wantUnavailable(t, s.postTo("/introspect", asks("all", token)))
			s.wantCause(t, errDown)
		}
		s.wantBody(t, s.postTo("/introspect", asks("all", "x")), inactiveBody)
		store.does(nil)
		time.Sleep(time.Second)
		s.wantBody(t, s.postTo("/introspect", asks("all", taken.token)), inactiveBody)
		if w := s.postTo("/introspect", asks("all", good.token)); w.Body.Len() < 100 {
			t.Errorf("after the outage: %s", w.Body)
		}
	})
}

// Without keys, and for a request that has ended, the answer is 503 and not "inactive".
func TestTokenEndpointsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, err := jwks.Open(t.Context(), &memoryKeys{}, hasty)
		if err != nil {
			t.Fatal(err)
		}
		s := newService(t, Config{Keys: keys}, app(), guard("all", "*"))
		g := s.wantToken(t, s.post(appForm))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, path := range []string{"/revoke", "/introspect"} {
			s.wantUnavailable(t, s.send(newForm(path, about(g.token)).WithContext(ctx)))
		}
		if err := keys.Close(); err != nil { // it no longer follows its store
			t.Fatal(err)
		}
		time.Sleep(hasty.RotateEvery + hasty.Retain)
		for _, path := range []string{"/revoke", "/introspect"} {
			s.wantUnavailable(t, s.postTo(path, about(g.token)))
			s.wantCause(t, jwks.ErrUnavailable)
		}
		if s.revoked(t, g) {
			t.Error("revoked")
		}
	})
}
