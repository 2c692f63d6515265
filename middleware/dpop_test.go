package middleware

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
)

func newNonces(tb testing.TB) *pop.Nonces {
	tb.Helper()
	nonces, err := pop.NewNonces([]byte(strings.Repeat("s", 32)))
	if err != nil {
		tb.Fatal(err)
	}
	return nonces
}

// forgeProof is a proof with these changes of its claims: nil leaves one out.
func forgeProof(t *testing.T, h *holder, key *ecdsa.PrivateKey, header, claims map[string]any) string {
	t.Helper()
	genuine, err := jose.Parse(h.proof(t, "GET", "/"), 0)
	if err != nil {
		t.Fatal(err)
	}
	body, err := genuine.UnverifiedPayload()
	if err != nil {
		t.Fatal(err)
	}
	x, y := encode(key.X.FillBytes(make([]byte, 32))), encode(key.Y.FillBytes(make([]byte, 32)))
	top := map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": map[string]any{"kty": "EC", "crv": "P-256", "x": x, "y": y}}
	var inner map[string]any
	if err := json.Unmarshal([]byte(body), &inner); err != nil {
		t.Fatal(err)
	}
	change := func(of, by map[string]any) string {
		for name, value := range by {
			if of[name] = value; value == nil {
				delete(of, name)
			}
		}
		text, err := json.Marshal(of)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	return forge(t, change(top, header), change(inner, claims), key)
}

// Each trap of a proof is refused, with its code and its reason, and uses up nothing.
func TestProofs(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience}})
	a.POST("/", a.serve, a.auth.Require())
	a.GET("/orders", a.serve, a.auth.Require())
	h := newHolder(t, keys)
	other := &holder{Prover: newProver(t, strangeKey), token: h.token}
	another := &holder{Prover: h.Prover, token: sign(t, keys, payload(map[string]string{"jti": `"2"`, "cnf": bindTo(jktOf(h.Prover))["cnf"]}))}
	unused := h.proof(t, "GET", "/")
	type changes = map[string]any
	now := time.Now().Unix()
	forged := func(header, claims changes) []string { return []string{forgeProof(t, h, proverKey, header, claims)} }
	if a.wantStatus(t, "this test forges well", h.request(t, "GET", "/", forged(nil, nil)...), 200); t.Failed() {
		t.FailNow()
	}
	for name, proofs := range map[string][]string{
		"none":                        {},
		"empty":                       {""},
		"an empty one first":          {"", unused},
		"an empty one last":           {unused, ""},
		"twice":                       {unused, unused},
		"joined":                      {unused + ", " + unused},
		"the access token":            {h.token},
		"signature cut":               {unused[:len(unused)-4]},
		"another method":              {h.proof(t, "POST", "/")},
		"another path":                {h.proof(t, "GET", "/orders")},
		"path in another case":        {h.proof(t, "GET", "/%2f")},
		"method in lower case":        forged(nil, changes{"htm": "get"}),
		"another host":                forged(nil, changes{"htu": "https://evil.example/"}),
		"http":                        forged(nil, changes{"htu": "http://api.example.com/"}),
		"no htu":                      forged(nil, changes{"htu": nil}),
		"no htm":                      forged(nil, changes{"htm": nil}),
		"no jti":                      forged(nil, changes{"jti": nil}),
		"no iat":                      forged(nil, changes{"iat": nil}),
		"no ath":                      forged(nil, changes{"ath": nil}),
		"an empty ath":                forged(nil, changes{"ath": ""}),
		"another token":               {another.proof(t, "GET", "/")},
		"old":                         forged(nil, changes{"iat": now - 71}),
		"from the future":             forged(nil, changes{"iat": now + 60}), // the exact bound is a test of jwks/pop
		"iat as text":                 forged(nil, changes{"iat": fmt.Sprint(now)}),
		"typ of an access token":      forged(changes{"typ": "at+jwt"}, nil),
		"no typ":                      forged(changes{"typ": nil}, nil),
		"no key":                      forged(changes{"jwk": nil}, nil),
		"private key":                 forged(changes{"jwk": changes{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"}}, nil),
		"symmetric key":               forged(changes{"alg": "HS256", "jwk": changes{"kty": "oct", "k": "AA"}}, nil),
		"alg none":                    forged(changes{"alg": "none"}, nil),
		"alg of another key":          forged(changes{"alg": "ES384"}, nil),
		"key id beside":               forged(changes{"jwk": nil, "kid": kidOf(t, keys)}, nil),
		"crit":                        forged(changes{"crit": []string{"b64"}, "b64": false}, nil),
		"expired by its own exp":      forged(nil, changes{"exp": now - 60}),
		"signature of another client": {forgeProof(t, h, strangeKey, changes{"jwk": changes{"kty": "EC", "crv": "P-256", "x": encode(proverKey.X.FillBytes(make([]byte, 32))), "y": encode(proverKey.Y.FillBytes(make([]byte, 32)))}}, nil)},
	} {
		w := a.wantRefused(t, name, h.request(t, "GET", "/", proofs...), "invalid_dpop_proof", event.InvalidProof)
		if e := a.events[len(a.events)-1]; e.ClientID != "app1" {
			t.Errorf("%s: client %q", name, e.ClientID)
		}
		if strings.Contains(w.Body.String()+w.Header().Get("WWW-Authenticate"), "jose") {
			t.Errorf("%s: the private cause is answered: %s", name, w.Header().Get("WWW-Authenticate"))
		}
	}
	r := h.request(t, "GET", "/", other.proof(t, "GET", "/"))
	a.wantRefused(t, "a thief with a key of its own", r, codeInvalidToken, event.SenderConstrained)

	a.wantStatus(t, "the unused proof", h.request(t, "GET", "/?page=2", unused), 200)
	w := a.wantRefused(t, "the used proof", h.request(t, "GET", "/", unused), "invalid_dpop_proof", event.ReplayedProof)
	if w.Header().Get("DPoP-Nonce") != "" {
		t.Error("a nonce, and the server has none")
	}
}

// The URL is BaseURL and the path that the guard gets. No header has a say in it, and
// neither has another spelling.
func TestURLOfAProof(t *testing.T) {
	keys := newKeyring(t, ecKey)
	for _, tt := range []struct {
		base, target, htu string
		strip             string
		status            int
	}{
		{"https://api.example.com", "/", "https://api.example.com/", "", 200},
		{"https://api.example.com/", "/", "https://api.example.com", "", 200},
		{"HTTPS://API.example.com:443", "/a/b?c=d", "https://api.example.com/a/b", "", 200},
		{"https://api.example.com", "/a%20b/%C3%BC", "https://api.example.com/a%20b/%c3%bc", "", 200},
		{"https://api.example.com", "/a%2Fb", "https://api.example.com/a%2fb", "", 200},
		{"https://api.example.com", "/a%2Fb", "https://api.example.com/a/b", "", 401},
		{"https://api.example.com", "/a%23b", "https://api.example.com/a", "", 401},
		{"https://api.example.com", "/a%3Fb", "https://api.example.com/a", "", 401},
		{"https://api.example.com", "//evil.example/a", "https://evil.example/a", "", 401},
		{"https://api.example.com", "/a", "https://api.example.com/A", "", 401},
		{"https://api.example.com", "/a", "https://api.example.com/a/", "", 401},
		{"https://api.example.com/prefix", "/a", "https://api.example.com/prefix/a", "", 200},
		{"https://api.example.com/prefix/", "/a", "https://api.example.com/prefix/a", "", 200},
		{"https://api.example.com/prefix", "/a", "https://api.example.com/a", "", 401},
		{"https://api.example.com/v1", "/v1/a", "https://api.example.com/v1/a", "/v1", 200},
		{"https://api.example.com", "/v1.evil.example/a", "https://api.example.com.evil.example/a", "/v1", 401},
		{"https://api.example.com", "/v1:8443/a", "https://api.example.com:8443/a", "/v1", 401},
		{"https://api.example.com", "/v1@evil.example/a", "https://api.example.com@evil.example/a", "/v1", 401},
		{"http://127.0.0.1:8080", "/a", "http://127.0.0.1:8080/a", "", 200},
		{"https://api.example.com", "/a", "http://evil.example/a", "", 401},
	} {
		auth := benchGuard(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: tt.base}})
		h := newHolder(t, keys)
		proof, err := h.Proof("GET", tt.htu, h.token, "")
		if err != nil {
			proof = "none"
		}
		r := h.request(t, "GET", tt.target, proof)
		r.Host, r.Header["Forwarded"], r.Header["X-Forwarded-Host"], r.Header["X-Forwarded-Proto"] = "evil.example", []string{"host=evil.example;proto=http"}, []string{"evil.example"}, []string{"http"}
		guard := http.StripPrefix(tt.strip, auth.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		if w := send(guard, r); w.Code != tt.status {
			t.Errorf("base %s, request %s, htu %s: status %d, want %d", tt.base, tt.target, tt.htu, w.Code, tt.status)
		}
	}
}

// A proof may name the API by its alias too, and not by a third name.
func TestAliasOfAnAPI(t *testing.T) {
	keys := newKeyring(t, ecKey)
	for htu, want := range map[string]int{
		"https://api.example.com/a": 200, "https://mtls.example.com:8443/p/a": 200,
		"https://mtls.example.com:8443/a": 401, "https://mtls.example.com:8443/p/b": 401, "https://evil.example/a": 401,
	} {
		auth := benchGuard(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: "https://api.example.com", AliasURL: "https://mtls.example.com:8443/p/"}})
		h := newHolder(t, keys)
		proof, err := h.Proof("GET", htu, h.token, "")
		if err != nil {
			t.Fatal(err)
		}
		if w := send(auth.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), h.request(t, "GET", "/a", proof)); w.Code != want {
			t.Errorf("htu %s: status %d, want %d", htu, w.Code, want)
		}
	}
}

// A proof for one route must not open another: routers do not remove dot segments, and the
// comparison of URLs does.
func TestDotSegments(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience}})
	a.GET("/*", a.serve, a.auth.Require())
	h := newHolder(t, keys)
	for _, path := range []string{"/admin/../orders", "/admin/%2e%2e/orders", "/admin/%2E./orders", "/./orders", "/admin/..", "/orders/.", "/../orders", "/admin%2F../orders"} {
		r := h.request(t, "GET", path, h.proof(t, "GET", "/orders"))
		a.wantRefused(t, path, r, "invalid_dpop_proof", event.InvalidProof)
		r = h.request(t, "GET", path)
		a.wantRefused(t, path+" with its own proof", r, "invalid_dpop_proof", event.InvalidProof)
	}
	for _, path := range []string{"/.well-known/x", "/a/.b", "/a/..b", "/a/b..", "/a/..."} {
		a.wantStatus(t, path, h.request(t, "GET", path), http.StatusOK)
	}
}

// A form that was parsed behind the guard is known to the request in front of it, whose
// server deletes its files.
func TestFormBehindAProof(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience}})
	a.POST("/form", func(c echo.Context) error {
		if _, err := c.MultipartForm(); err != nil {
			return err
		}
		return a.serve(c)
	}, a.auth.RequireBound())
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	if err := errors.Join(form.WriteField("a", "b"), form.Close()); err != nil {
		t.Fatal(err)
	}
	r := newHolder(t, keys).request(t, "POST", "/form")
	r.Body = io.NopCloser(&body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	if a.wantStatus(t, "form", r, http.StatusOK); r.MultipartForm == nil {
		t.Error("the server does not know the form")
	}
}

// The method is the one that is served. A HEAD request needs a proof of its own, and an
// override by a header does not fit the proof.
func TestMethodOfAProof(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience}})
	a.HEAD("/", a.serve, a.auth.Require())
	a.DELETE("/", a.serve, a.auth.Require())
	a.Pre(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if method := c.Request().Header.Get("X-HTTP-Method-Override"); method != "" {
				c.Request().Method = method
			}
			return next(c)
		}
	})
	h := newHolder(t, keys)
	a.wantStatus(t, "HEAD", h.request(t, "HEAD", "/"), 200)
	a.wantStatus(t, "HEAD with a proof for GET", h.request(t, "HEAD", "/", h.proof(t, "GET", "/")), 401)
	r := h.request(t, "POST", "/")
	r.Header.Set("X-HTTP-Method-Override", "DELETE")
	a.wantStatus(t, "overridden", r, 401)
}

// A client without a nonce gets one and succeeds at its second try. It learns the next one
// from any answer, and no answer is cached with it.
func TestNonces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeyring(t, ecKey)
		config := Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience, Proofs: pop.Config{Nonces: newNonces(t), RequireNonce: true}}}
		a, replica := newAPI(t, config), newAPI(t, config)
		replica.auth.dpop.nonces = newNonces(t) // of the same secret
		a.GET("/public", a.serve, a.auth.Require())
		a.GET("/cached", func(c echo.Context) error {
			c.Response().Header().Set("Cache-Control", "max-age=5")
			return a.serve(c)
		}, a.auth.Require())
		h := newHolder(t, keys)
		first := h.proof(t, "GET", "/")
		w := a.wantRefused(t, "no nonce", h.request(t, "GET", "/", first), "use_dpop_nonce", event.NonceNeeded)
		if got := w.Header().Values("WWW-Authenticate"); !strings.HasPrefix(got[0], `DPoP error="use_dpop_nonce", error_description="`) {
			t.Errorf("challenges %q", got)
		}
		if h.nonce = w.Header().Get("DPoP-Nonce"); h.nonce == "" || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("headers %v", w.Header())
		}
		w = a.wantStatus(t, "the second try", h.request(t, "GET", "/"), 200)
		if w.Header().Get("DPoP-Nonce") != "" || w.Header().Get("Cache-Control") != "" {
			t.Errorf("the client has the current nonce, and gets %v", w.Header())
		}
		replica.wantStatus(t, "at a replica", h.request(t, "GET", "/"), 200)

		before := h.nonce
		time.Sleep(90 * time.Second)
		w = a.wantStatus(t, "with the nonce before", h.request(t, "GET", "/"), 200)
		if h.nonce = w.Header().Get("DPoP-Nonce"); h.nonce == "" || h.nonce == before || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v", w.Header())
		}
		if w = a.wantStatus(t, "with the new nonce", h.request(t, "GET", "/"), 200); w.Header().Get("DPoP-Nonce") != "" {
			t.Errorf("headers %v", w.Header())
		}
		time.Sleep(90 * time.Second)
		if w = a.wantStatus(t, "the handler decides about caches", h.request(t, "GET", "/cached"), 200); w.Header().Get("DPoP-Nonce") == "" || w.Header().Get("Cache-Control") != "max-age=5" {
			t.Errorf("headers %v", w.Header())
		}
		time.Sleep(10 * time.Minute)
		a.wantStatus(t, "the token has expired too", h.request(t, "GET", "/"), 401)
		h = newHolder(t, keys)
		h.nonce = before
		a.wantRefused(t, "an old nonce", h.request(t, "GET", "/"), "use_dpop_nonce", event.NonceNeeded)
		h.nonce = "made-up"
		a.wantRefused(t, "a nonce of its own", h.request(t, "GET", "/"), "use_dpop_nonce", event.NonceNeeded)
		w = a.wantStatus(t, "no token at all", request("GET", "/"), 401)
		if h.nonce = w.Header().Get("DPoP-Nonce"); h.nonce == "" {
			t.Error("a client that asks without a token gets no nonce")
		}
		a.wantStatus(t, "with that nonce", h.request(t, "GET", "/"), 200)
	})
}

// Guards further in find that the proof was checked: it is used up once a request.
func TestProofIsCheckedOnce(t *testing.T) {
	keys := newKeyring(t, ecKey)
	var asked atomic.Int32
	a := newAPI(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience, Proofs: pop.Config{
		Replay: func(context.Context, string, string, time.Time) (bool, error) { return asked.Add(1) == 1, nil },
	}}})
	handler := func(next http.Handler) http.Handler { return a.auth.HandlerBound(next, "orders:read") }
	group := a.Group("/v1", a.auth.Require())
	group.GET("/orders", a.serve, a.auth.Require("orders:read"), a.auth.RequireBound(), echo.WrapMiddleware(handler))
	a.GET("/wrapped", a.serve, echo.WrapMiddleware(handler), a.auth.Require(), a.auth.RequireFunc(func(echo.Context, *Token) error { return nil }))
	h := newHolder(t, keys)
	for _, path := range []string{"/v1/orders", "/wrapped"} {
		asked.Store(0)
		if a.wantStatus(t, path, h.request(t, "GET", path), 200); asked.Load() != 1 {
			t.Errorf("%s: the proof was checked %d times", path, asked.Load())
		}
	}
	// In between: a context of the app, a guard of another Bearer, and a token of a test.
	other := newAPI(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience}}).auth
	inner := echo.New()
	inner.GET("/x", a.serve, other.Require(), a.auth.Require())
	between := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, end := context.WithCancel(WithToken(r.Context(), nil))
		defer end()
		other.Handler(inner).ServeHTTP(w, r.WithContext(ctx))
	})
	asked.Store(0)
	if w := send(handler(between), h.request(t, "GET", "/x")); w.Code != 200 || asked.Load() != 1 {
		t.Errorf("status %d, the proof was checked %d times", w.Code, asked.Load())
	}
	// What another Bearer has checked is not checked for this one.
	asked.Store(1)
	if w := send(other.Handler(handler(between)), h.request(t, "GET", "/x")); w.Code != 401 || asked.Load() != 2 {
		t.Errorf("status %d, the proof was checked %d times", w.Code, asked.Load())
	}
	plain := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	asked.Store(0)
	if w := send(handler(handler(plain)), h.request(t, "GET", "/x")); w.Code != 200 || asked.Load() != 1 {
		t.Errorf("status %d, the proof was checked %d times", w.Code, asked.Load())
	}
}

// The token's own signature stays cached, and the proof is checked at every request.
func TestBoundTokenIsCached(t *testing.T) {
	keys := newKeyring(t, ecKey)
	var looked atomic.Int32
	a := caching(t, Config{
		Keys: sourceFunc(func(ctx context.Context, kid string) (*jose.Key, error) { looked.Add(1); return keys.Key(ctx, kid, "") }),
		DPoP: &DPoP{BaseURL: testAudience},
	})
	h := newHolder(t, keys)
	for range 3 {
		a.wantStatus(t, "good", h.request(t, "GET", "/"), 200)
	}
	if s := a.auth.Status(); s.Hits != 1 || s.Misses != 2 || !a.caches(h.token) {
		t.Errorf("%+v", s)
	}
	used := h.request(t, "GET", "/")
	a.wantStatus(t, "good", used, 200)
	a.wantRefused(t, "a replay", used, "invalid_dpop_proof", event.ReplayedProof)
	a.wantRefused(t, "no proof", h.request(t, "GET", "/", []string{""}...), "invalid_dpop_proof", event.InvalidProof)
	a.wantRefused(t, "Bearer", request("GET", "/", "Bearer "+h.token), codeInvalidToken, event.SenderConstrained)
	thief := &holder{Prover: newProver(t, strangeKey), token: h.token}
	a.wantRefused(t, "another key", thief.request(t, "GET", "/"), codeInvalidToken, event.SenderConstrained)
	if s := a.auth.Status(); s.Misses != 2 {
		t.Errorf("the signature of a cached token was checked again: %+v", s)
	}
}

// What nobody can tell is never a first use: 503, and Ready says so if it is the store.
func TestReplaysUnavailable(t *testing.T) {
	keys := newKeyring(t, ecKey)
	down := errors.New("no store")
	var failure error
	a := newAPI(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience, Proofs: pop.Config{
		Replay: func(context.Context, string, string, time.Time) (bool, error) { return failure == nil, failure },
	}}})
	h := newHolder(t, keys)
	a.wantStatus(t, "before", h.request(t, "GET", "/"), 200)
	failure = down
	w := a.wantStatus(t, "down", h.request(t, "GET", "/"), http.StatusServiceUnavailable)
	if e := a.events[len(a.events)-1]; e.Reason != event.ReplaysUnavailable || !errors.Is(e.Err, down) || w.Header().Get("Retry-After") == "" || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("%+v, %v", e, w.Header())
	}
	if err := a.auth.Ready(t.Context()); !errors.Is(err, down) || !errors.Is(err, jwks.ErrUnavailable) || !errors.Is(a.auth.Status().Replays, down) {
		t.Errorf("Ready: %v, Status: %+v", err, a.auth.Status())
	}
	if text, err := json.Marshal(a.auth.Status()); err != nil || !strings.Contains(string(text), `"Replays":"`) {
		t.Errorf("%s, %v", text, err)
	}
	a.wantStatus(t, "plain tokens need no store", request("GET", "/", "Bearer "+goodToken(t, keys)), 200)
	failure = nil
	a.wantStatus(t, "after", h.request(t, "GET", "/"), 200)
	if err := a.auth.Ready(t.Context()); err != nil || a.auth.Status().Replays != nil {
		t.Errorf("Ready: %v, Status: %+v", err, a.auth.Status())
	}
}

// One client that fills its share of the memory is refused with 503, and no other client
// is, and the API stays ready.
func TestFullMemoryOfProofs(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience, Proofs: pop.Config{Capacity: 8, PerKey: 2}}})
	h := newHolder(t, keys)
	for _, status := range []int{200, 200, 503, 503} {
		a.wantStatus(t, "the busy client", h.request(t, "GET", "/"), status)
	}
	if e := a.events[len(a.events)-1]; e.Reason != event.ReplaysUnavailable || e.ClientID != "app1" {
		t.Errorf("%+v", e)
	}
	p := newProver(t, strangeKey)
	quiet := &holder{Prover: p, token: sign(t, keys, payload(map[string]string{"client_id": `"app2"`, "cnf": bindTo(jktOf(p))["cnf"]}))}
	a.wantStatus(t, "another client", quiet.request(t, "GET", "/"), 200)
	a.wantStatus(t, "the busy client", h.request(t, "GET", "/"), 503)
	if err := a.auth.Ready(t.Context()); err != nil {
		t.Errorf("one client makes the API not ready: %v", err)
	}
}

// Of many requests with one proof, to several replicas with one store, one is let in.
func TestProofRace(t *testing.T) {
	keys := newKeyring(t, ecKey)
	store, err := registry.NewMemory()
	if err != nil {
		t.Fatal(err)
	}
	var served atomic.Int32
	var replicas []http.Handler
	for range 2 {
		auth := benchGuard(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience, Proofs: pop.Config{Replay: store.Once}}})
		replicas = append(replicas, auth.HandlerBound(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) })))
	}
	h := newHolder(t, keys)
	for range 20 {
		served.Store(0)
		proof := h.proof(t, "GET", "/")
		var group sync.WaitGroup
		for i := range 16 {
			r := h.request(t, "GET", "/", proof)
			group.Go(func() { send(replicas[i%2], r) })
		}
		if group.Wait(); served.Load() != 1 {
			t.Fatalf("%d requests with one proof were served", served.Load())
		}
	}
}

// Over real connections: HTTP/1.1 and HTTP/2, DPoP alone and with a certificate.
func TestDPoPOverTLS(t *testing.T) {
	keys := newKeyring(t, ecKey)
	mine := newCertificate(t)
	app := echo.New()
	server := overTLS(t, app)
	auth := benchGuard(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: server.URL, Proofs: pop.Config{Nonces: newNonces(t), RequireNonce: true}}, ClientCertificates: &ClientCertificates{}})
	app.GET("/v1/bound", func(c echo.Context) error { return c.String(http.StatusOK, TokenFrom(c).ClientID) }, auth.RequireBound("orders:read"))
	client := clientOf(t, server, tls.VersionTLS13, mine)
	for name, members := range map[string][]string{"DPoP": nil, "both": {x5tOf(mine.Leaf)}} {
		h := newHolder(t, keys, members...)
		statuses := []int{}
		var last http.Header
		for try := range 3 {
			nonce := last.Get("DPoP-Nonce")
			proof, err := h.Proof("GET", server.URL+"/v1/bound?page=1", h.token, nonce)
			if err != nil {
				t.Fatal(err)
			}
			header := http.Header{"Authorization": {"DPoP " + h.token}, "Dpop": {proof}}
			var status int
			if status, last = sendTo(t, client, server.URL+"/v1/bound?page=1", header); try == 1 {
				replayed, _ := sendTo(t, client, server.URL+"/v1/bound?page=1", header)
				statuses = append(statuses, replayed)
				last.Set("DPoP-Nonce", nonce)
			}
			statuses = append(statuses, status)
		}
		if fmt.Sprint(statuses) != "[401 401 200 200]" {
			t.Errorf("%s: statuses %v", name, statuses)
		}
	}
}
