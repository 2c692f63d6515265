package issuer

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
)

const tokenURL = testIssuer + "/token"

func newProver(tb testing.TB) *pop.Prover {
	tb.Helper()
	p, err := pop.NewProver(newKey(tb), "")
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// proof makes a proof for the token endpoint.
func proof(tb testing.TB, p *pop.Prover, nonce string) string {
	tb.Helper()
	made, err := p.Proof("POST", tokenURL, "", nonce)
	if err != nil {
		tb.Fatal(err)
	}
	return made
}

func newNonces(tb testing.TB, secret string) *pop.Nonces {
	tb.Helper()
	n, err := pop.NewNonces([]byte(strings.Repeat(secret, 32)))
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// bound returns a client whose tokens must be bound to a key.
func bound() registry.Client {
	c := app()
	c.ID, c.DPoPBoundTokens = "bound", true
	return c
}

// A token that is asked for with a proof is bound to its key, and introspection says so.
func TestDPoP(t *testing.T) {
	s := newService(t, Config{DPoP: &pop.Config{}}, app(), bound(), guard("orders", "*"))
	p := newProver(t)
	for _, id := range []string{"app", "bound"} {
		g := s.wantToken(t, s.post(secretOf(id), "DPoP", proof(t, p, "")))
		if g.answer.TokenType != "DPoP" || len(g.claims.Bound) != 1 || g.claims.Bound["jkt"] != p.Thumbprint() {
			t.Errorf("%s: %s of type %s, the key is %s", id, g.payload, g.answer.TokenType, p.Thumbprint())
		}
		body := s.postTo("/introspect", asks("orders", g.token)).Body.String()
		if !strings.Contains(body, `"cnf":{"jkt":"`+p.Thumbprint()+`"}`) || !strings.Contains(body, `"token_type":"DPoP"`) {
			t.Error(body)
		}
	}
	g := s.wantToken(t, s.post(appForm))
	if g.answer.TokenType != "Bearer" || g.claims.Bound != nil {
		t.Errorf("without a proof: %s of type %s", g.payload, g.answer.TokenType)
	}
	if body := s.postTo("/introspect", asks("orders", g.token)).Body.String(); strings.Contains(body, "cnf") || !strings.Contains(body, `"token_type":"Bearer"`) {
		t.Error(body)
	}
}

// Requests that want a bound token never get another.
func TestDPoPRefused(t *testing.T) {
	s := newService(t, Config{DPoP: &pop.Config{}}, app(), bound())
	p := newProver(t)
	other := func(method, url string) string {
		made, err := p.Proof(method, url, "", "")
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	used := proof(t, p, "")
	s.wantToken(t, s.post(appForm, "DPoP", used))
	for name, tt := range map[string]struct {
		header []string
		reason event.Reason
	}{
		"empty":             {[]string{"DPoP", ""}, event.InvalidProof},
		"blank":             {[]string{"DPoP", " "}, event.InvalidProof},
		"empty and a proof": {[]string{"DPoP", "", "DPoP", proof(t, p, "")}, event.InvalidProof},
		"a proof and empty": {[]string{"DPoP", proof(t, p, ""), "DPoP", ""}, event.InvalidProof},
		"two":               {[]string{"DPoP", proof(t, p, ""), "DPoP", proof(t, p, "")}, event.InvalidProof},
		"two in one":        {[]string{"DPoP", proof(t, p, "") + ", " + proof(t, p, "")}, event.InvalidProof},
		"no proof":          {[]string{"DPoP", "x"}, event.InvalidProof},
		"an access token":   {[]string{"DPoP", s.wantToken(t, s.post(appForm)).token}, event.InvalidProof},
		"for GET":           {[]string{"DPoP", other("GET", tokenURL)}, event.InvalidProof},
		"for another host":  {[]string{"DPoP", other("POST", "https://evil.example.com/token"), "Host", "evil.example.com", "X-Forwarded-Host", "evil.example.com", "Forwarded", "host=evil.example.com;proto=https"}, event.InvalidProof},
		"for another path":  {[]string{"DPoP", other("POST", testIssuer+"/revoke")}, event.InvalidProof},
		"used":              {[]string{"DPoP", used}, event.ReplayedProof},
	} {
		for _, id := range []string{"app", "bound"} {
			r := newForm("/token", secretOf(id), tt.header...)
			if host := r.Header.Get("Host"); host != "" {
				r.Host = host
			}
			w := s.send(r)
			if e := s.lastEvent(t); w.Code != 400 || !strings.HasPrefix(w.Body.String(), `{"error":"invalid_dpop_proof",`) || w.Header().Get("DPoP-Nonce") != "" || e.Reason != tt.reason || e.ClientID != id || e.Claimed {
				t.Errorf("%s: %d %s, event %+v", name, w.Code, w.Body, e)
			}
		}
	}
	s.wantError(t, s.post(secretOf("bound")), 400, "invalid_dpop_proof", "the tokens of this client are bound to a key: send a DPoP proof")
	s.wantCause(t, errNoProof)
	// The client comes first.
	s.wantUnauthorizedFor(t, "wrong secret", s.post(secretOf("bound")+"x", "DPoP", "x"), event.WrongSecret)
}

// With DPoP off, no request with a proof, and no client that needs one, gets a token.
func TestDPoPOff(t *testing.T) {
	s := newService(t, Config{}, app(), bound())
	for _, header := range []string{"", "x", proof(t, newProver(t), "")} {
		s.wantError(t, s.post(appForm, "DPoP", header), 400, "invalid_request", "DPoP is turned off here: send no proof to get a bearer token")
		s.wantError(t, s.post(secretOf("bound"), "DPoP", header), 400, "invalid_request", "the tokens of this client are bound by DPoP, which is turned off here")
	}
	s.wantError(t, s.post(secretOf("bound")), 400, "invalid_request", "the tokens of this client are bound by DPoP, which is turned off here")
	if e := s.lastEvent(t); e.Reason != event.Misconfigured {
		t.Errorf("event %+v", e)
	}
	s.wantToken(t, s.post(appForm))
}

// The proof of one request is of no use at another replica on the same store, for any
// client.
func TestDPoPReplayAtAnotherReplica(t *testing.T) {
	store := newStore(t, app(), bound())
	here, there := newService(t, Config{Store: store, DPoP: &pop.Config{}}), newService(t, Config{Store: store, DPoP: &pop.Config{}})
	used := proof(t, newProver(t), "")
	here.wantToken(t, here.post(appForm, "DPoP", used))
	for _, body := range []string{appForm, secretOf("bound")} {
		there.wantError(t, there.post(body, "DPoP", used), 400, "invalid_dpop_proof", "the DPoP proof was used before")
	}
}

// Of 50 requests with one proof at two replicas, one gets a token.
func TestDPoPRace(t *testing.T) {
	store := newStore(t, app())
	config := Config{Store: store, MaxGrantRate: -1, DPoP: &pop.Config{}}
	replicas := []*service{newService(t, config), newService(t, config)}
	p := newProver(t)
	for range 20 {
		var granted atomic.Int64
		var all sync.WaitGroup
		used := proof(t, p, "")
		for n := range 50 {
			all.Go(func() {
				if replicas[n%2].post(appForm, "DPoP", used).Code == 200 {
					granted.Add(1)
				}
			})
		}
		all.Wait()
		if granted.Load() != 1 {
			t.Fatalf("%d tokens for one proof", granted.Load())
		}
	}
}

// A proof whose use cannot be recorded is refused, and says to try again.
func TestDPoPStoreAway(t *testing.T) {
	for name, config := range map[string]*pop.Config{
		"failing": {Replay: func(context.Context, string, string, time.Time) (bool, error) { return true, errors.New("away") }},
		"full":    {Capacity: 1},
	} {
		s := newService(t, Config{DPoP: config}, app(), bound())
		p := newProver(t)
		if name == "full" {
			s.wantToken(t, s.post(appForm, "DPoP", proof(t, p, "")))
		}
		s.wantUnavailable(t, s.post(appForm, "DPoP", proof(t, p, "")))
		if e := s.lastEvent(t); e.Reason != event.ReplaysUnavailable {
			t.Errorf("%s: %+v", name, e)
		}
		s.wantToken(t, s.post(appForm)) // a client that needs none is not affected
	}
}

// By default the store records proofs. A memory does if its size is set.
func TestDPoPRecordedByStore(t *testing.T) {
	for _, tt := range []struct {
		config pop.Config
		stored bool
	}{{pop.Config{}, true}, {pop.Config{Capacity: 100}, false}, {pop.Config{PerKey: 100}, false}} {
		store := &recording{Memory: newStore(t, app())}
		s := newService(t, Config{Store: store, DPoP: &tt.config})
		used := proof(t, newProver(t), "")
		s.wantToken(t, s.post(appForm, "DPoP", used))
		if got := store.once.Load() == 1; got != tt.stored {
			t.Errorf("%+v: stored is %v", tt.config, got)
		}
		if w := s.post(appForm, "DPoP", used); w.Code != 400 {
			t.Errorf("%+v: a replay gets %d", tt.config, w.Code)
		}
	}
}

// recording counts the replay records of a store.
type recording struct {
	*registry.Memory
	once atomic.Int64
}

func (r *recording) Once(ctx context.Context, scope, id string, until time.Time) (bool, error) {
	r.once.Add(1)
	return r.Memory.Once(ctx, scope, id, until)
}

// A client records at most as many proofs as it may get tokens, whatever else is wrong
// with its requests. Wrong proofs record none, and other clients go on.
func TestDPoPRecordsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &recording{Memory: newStore(t, app(), bound())}
		s := newService(t, Config{Store: store, MaxGrantRate: 5, DPoP: &pop.Config{}})
		p := newProver(t)
		for n := range 100 {
			s.post(appForm+"&scope=none", "DPoP", proof(t, p, ""))
			s.post(appForm, "DPoP", "x")
			if store.once.Load() > 10 {
				t.Fatalf("%d proofs are recorded after %d requests", store.once.Load(), n+1)
			}
		}
		w := s.post(appForm, "DPoP", proof(t, p, ""))
		if w.Code != 429 || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		s.wantToken(t, s.post(secretOf("bound"), "DPoP", proof(t, p, "")))
		time.Sleep(time.Second)
		for range 5 { // a token counts once
			s.wantToken(t, s.post(appForm, "DPoP", proof(t, p, "")))
		}
		if w := s.post(appForm, "DPoP", proof(t, p, "")); w.Code != 429 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// A proof of a new second is needed once the former is too old.
func TestDPoPTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, Config{DPoP: &pop.Config{}}, app())
		old := proof(t, newProver(t), "")
		time.Sleep(71 * time.Second)
		s.wantError(t, s.post(appForm, "DPoP", old), 400, "invalid_dpop_proof", "the DPoP proof is too old (iat)")
	})
}

// The other endpoints have no use for proofs.
func TestDPoPElsewhere(t *testing.T) {
	s := newService(t, Config{DPoP: &pop.Config{}}, app(), bound(), guard("orders", "*"))
	g := s.wantToken(t, s.post(appForm))
	for path, body := range map[string]string{"/introspect": asks("orders", g.token), "/revoke": about(g.token)} {
		if w := s.postTo(path, body, "DPoP", ""); w.Code != 200 || w.Header().Get("DPoP-Nonce") != "" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// The address in a proof is below the issuer, or below the origin for clients with a
// certificate.
func TestDPoPAddress(t *testing.T) {
	s := newService(t, Config{Issuer: testIssuer + "/eu", DPoP: &pop.Config{}, ClientCertificates: &ClientCertificates{Origin: "https://mtls.example.com"}}, app())
	for url, want := range map[string]int{
		testIssuer + "/eu/token":                 200,
		testIssuer + ":443/eu/./token?x=1":       200,
		"https://mtls.example.com/eu/token":      200,
		"https://mtls.example.com:443/eu/token":  200,
		"https://mtls.example.com/token":         400,
		"https://mtls.example.com:8443/eu/token": 400,
		"http://auth.example.com/eu/token":       400,
		testIssuer + "/token":                    400,
		"https://other.example.com/eu/token":     400,
	} {
		made, err := newProver(t).Proof("POST", url, "", "")
		if err != nil {
			t.Fatal(err)
		}
		r := newForm("/eu/token", appForm, "DPoP", made)
		r.Host = "other.example.com"
		if w := s.send(r); w.Code != want {
			t.Errorf("%s: %d %s", url, w.Code, w.Body)
		}
	}
}

// A wrong config says which field of which struct is wrong.
func TestDPoPConfig(t *testing.T) {
	for want, c := range map[string]pop.Config{
		"RequireNonce": {RequireNonce: true},
		"MaxAge":       {MaxAge: time.Hour},
		"Capacity":     {Capacity: 1, Replay: newStore(t).Once},
		"Algorithms":   {Algorithms: []string{"HS256"}},
	} {
		_, err := New(Config{Issuer: testIssuer, Keys: newKeyring(t, ecKey), Store: newStore(t, app()), DPoP: &c})
		if err == nil || !strings.HasPrefix(err.Error(), "issuer: Config.DPoP: pop: Config."+want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Algorithms that were not chosen are refused.
func TestDPoPAlgorithms(t *testing.T) {
	s := newService(t, Config{DPoP: &pop.Config{Algorithms: []string{"EdDSA"}}}, app())
	edwards, err := jose.Generate("EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	right, err := pop.NewProver(edwards, "")
	if err != nil {
		t.Fatal(err)
	}
	s.wantToken(t, s.post(appForm, "DPoP", proof(t, right, "")))
	if w := s.post(appForm, "DPoP", proof(t, newProver(t), "")); w.Code != 400 {
		t.Errorf("ES256: %d", w.Code)
	}
}
