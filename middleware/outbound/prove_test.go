package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// dpopSource makes a Source with private_key_jwt and DPoP, of a server that demands both.
func dpopSource(t *testing.T, change func(s *strict, c *Config)) (*strict, *Source) {
	t.Helper()
	server, key := newStrict(t), newKey(t, "ES256")
	server.trust("", key)
	server.demandProofs()
	return server, server.source(func(c *Config) {
		c.Assertion, c.DPoP = PrivateKeyJWT(key, "", ""), NewDPoPKey()
		if change != nil {
			change(server, c)
		}
	})
}

func wantCounts(t *testing.T, server *strict, want map[string]int) {
	t.Helper()
	if got := server.counts(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the server counted %v, want %v", got, want)
	}
}

// Both servers ask for a nonce once. The calls see nothing of that. Each has its own.
func TestDPoP(t *testing.T) {
	for _, eager := range []bool{false, true} {
		server, s := dpopSource(t, func(server *strict, _ *Config) { server.eager = eager })
		client := s.Client()
		wantCalls(t, client, server.URL+"/v1/orders?page=2", 3)
		wantCounts(t, server, map[string]int{"token use_dpop_nonce": 1, "token": 1, "api use_dpop_nonce": 1, "api": 3})
		server.demandProofs() // all nonces change
		wantCalls(t, client, server.URL+"/v1/orders", 3)
		wantCounts(t, server, map[string]int{"token use_dpop_nonce": 1, "token": 1, "api use_dpop_nonce": 2, "api": 6})
		wantToken(t, s.For("", "other"), "token-2")
		wantCounts(t, server, map[string]int{"token use_dpop_nonce": 2, "token": 2, "api use_dpop_nonce": 2, "api": 6})
		if got := s.Status(); got.Nonces != 2 || got.Replays != 0 || got.Failures != 0 {
			t.Errorf("%+v", got)
		}
		token, err := s.Token(t.Context())
		if err != nil || token.Type() != "DPoP" || (Token{}).Type() != "" {
			t.Errorf("the type is %q, %v", token.Type(), err)
		}
	}
}

// Keys of each kind, and one that is not in memory.
func TestDPoPKeys(t *testing.T) {
	remote := &signerFunc{newKey(t, "ES256"), func() error { return nil }}
	for name, key := range map[string]ProofKey{
		"ES256": DPoPKey(newKey(t, "ES256"), ""), "EdDSA": DPoPKey(newKey(t, "EdDSA"), ""),
		"PS256": DPoPKey(newKey(t, "PS256"), ""), "KMS": DPoPKey(remote, "ES256"),
	} {
		t.Run(name, func(t *testing.T) {
			server, s := dpopSource(t, func(_ *strict, c *Config) { c.DPoP = key })
			wantCalls(t, s.Client(), server.URL+"/v1/a%2Fb/%20c", 2)
		})
	}
}

// A revoked token is replaced once, and a nonce that changes in the middle does not spoil
// that.
func TestDPoPReplays(t *testing.T) {
	server, s := dpopSource(t, nil)
	client := s.Client()
	wantCalls(t, client, server.URL+"/v1/orders", 1)
	server.demandProofs()
	server.revoke()
	res, err := client.Post(server.URL+"/v1/orders", "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("status %d", res.StatusCode)
	}
	wantCounts(t, server, map[string]int{"token use_dpop_nonce": 2, "token": 2, "api use_dpop_nonce": 2, "api invalid_token": 1, "api": 2})
	if got := s.Status(); got.Nonces != 2 || got.Replays != 1 {
		t.Errorf("%+v", got)
	}
}

// Each replay happens once a request, whatever the API says.
func TestDPoPReplaysAreBounded(t *testing.T) {
	for name, test := range map[string]struct {
		nonce      func(n int) string
		challenge  func(n int) string
		want       int // requests
		withoutGet bool
	}{
		"a new nonce each time": {
			nonce: func(n int) string { return fmt.Sprintf("n-%d", n) }, challenge: func(int) string { return `DPoP error="use_dpop_nonce"` }, want: 2,
		},
		"the same nonce each time": {
			nonce: func(int) string { return "n" }, challenge: func(int) string { return `DPoP error="use_dpop_nonce"` }, want: 2,
		},
		"no nonce": {
			nonce: func(int) string { return "" }, challenge: func(int) string { return `DPoP error="use_dpop_nonce"` }, want: 1,
		},
		"a nonce that cannot be": {
			nonce: func(int) string { return `a"b` }, challenge: func(int) string { return `DPoP error="use_dpop_nonce"` }, want: 1,
		},
		"a nonce of 513 bytes": {
			nonce: func(int) string { return strings.Repeat("n", 513) }, challenge: func(int) string { return `DPoP error="use_dpop_nonce"` }, want: 1,
		},
		"another error": {
			nonce: func(n int) string { return fmt.Sprintf("n-%d", n) }, challenge: func(int) string { return `DPoP error="invalid_dpop_proof"` }, want: 1,
		},
		"a challenge of Bearer": {
			nonce: func(n int) string { return fmt.Sprintf("n-%d", n) }, challenge: func(int) string { return `Bearer error="use_dpop_nonce"` }, want: 1,
		},
		"a Bearer challenge about the token": {
			nonce: func(int) string { return "" }, challenge: func(int) string { return `Bearer error="invalid_token", DPoP algs="ES256"` }, want: 1,
		},
		"both in turn": {
			nonce: func(n int) string { return fmt.Sprintf("n-%d", n) }, want: 3,
			challenge: func(n int) string {
				return []string{`DPoP error="invalid_token"`, `DPoP algs="ES256", error="use_dpop_nonce"`}[n%2]
			},
		},
		"a body that cannot be read again": {
			nonce: func(n int) string { return fmt.Sprintf("n-%d", n) }, challenge: func(int) string { return `DPoP error="use_dpop_nonce"` }, want: 1, withoutGet: true,
		},
	} {
		granted, n := 0, 0
		auth := &server{answer: func(*http.Request, url.Values) *http.Response {
			granted++
			return answerOf(200, fmt.Sprintf(`{"access_token":"token-%d","token_type":"DPoP","expires_in":60}`, granted))
		}}
		orders := &api{answer: func(*http.Request) *http.Response {
			n++
			res := answerOf(401, "refused", "WWW-Authenticate", test.challenge(n))
			if nonce := test.nonce(n); nonce != "" {
				res.Header.Set("DPoP-Nonce", nonce)
			}
			return res
		}}
		s := newSource(t, auth, func(c *Config) { c.DPoP = NewDPoPKey() })
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, testAPI+"/orders", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		if test.withoutGet {
			r.GetBody = nil
		}
		res, err := (&http.Client{Transport: s.Transport(orders)}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(res.Body); res.StatusCode != 401 || string(text) != "refused" || err != nil || orders.requests != test.want {
			t.Errorf("%s: status %d, %q after %d requests, want %d", name, res.StatusCode, text, orders.requests, test.want)
		}
		for i, body := range orders.bodies {
			if body != "body" {
				t.Errorf("%s: request %d has the body %q", name, i, body)
			}
		}
	}
}

// A token of the wrong type is not used, in either direction.
func TestTokenTypes(t *testing.T) {
	server, s := dpopSource(t, func(server *strict, _ *Config) { server.bearer = true })
	if _, err := s.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "token_type is not DPoP") {
		t.Errorf("a Bearer token in place of a DPoP token: %v", err)
	}
	if res, err := s.Client().Get(server.URL + "/v1/orders"); err == nil || server.count("api")+server.count("api invalid_token") > 0 {
		t.Errorf("it was sent: %v", res)
	}
	plain := newSource(t, &server0{func(*http.Request) *http.Response {
		return answerOf(200, `{"access_token":"a","token_type":"DPoP","expires_in":60}`)
	}}, nil)
	if _, err := plain.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "token_type is not Bearer") {
		t.Errorf("a DPoP token in place of a Bearer token: %v", err)
	}
}

// What makes no proofs gets no bound token.
func TestBoundTokensAreNotForOthers(t *testing.T) {
	server, s := dpopSource(t, nil)
	if token, err := s.OAuth2().Token(); token != nil || !errors.Is(err, errNoProof) {
		t.Errorf("%v", err)
	}
	if header, err := s.PerRPC().GetRequestMetadata(t.Context(), server.URL); header != nil || !errors.Is(err, errNoProof) {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"DPoP", "dpop", "Dpop"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/a", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header[name] = []string{"x"}
		if res, err := s.Client().Do(r); err == nil || !strings.Contains(err.Error(), "DPoP header already") {
			t.Errorf("%s: %v, %v", name, res, err)
		}
	}
}

// The proof names the request that is sent.
func TestProofNamesTheRequest(t *testing.T) {
	auth := &server0{func(*http.Request) *http.Response {
		return answerOf(200, `{"access_token":"a","token_type":"dpop","expires_in":60}`)
	}}
	s := newSource(t, auth, func(c *Config) {
		c.DPoP, c.Origins = NewDPoPKey(), []string{"https://api.example.com", "https://orders.example.com"}
	})
	proofs := map[string]bool{}
	for want, change := range map[string]func(r *http.Request){
		"GET https://api.example.com/":         func(r *http.Request) { r.Method, r.URL.Path = "", "" },
		"PUT https://api.example.com/a":        func(r *http.Request) { r.Method, r.URL.Path, r.URL.RawQuery = "PUT", "/a", "secret=1" },
		"GET https://api.example.com/a%2Fb":    func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/a/b", "/a%2Fb" },
		"GET https://orders.example.com/a":     func(r *http.Request) { r.URL.Path, r.Host = "/a", "orders.example.com" },
		"GET https://api.example.com/%C3%A4":   func(r *http.Request) { r.URL.Path = "/ä" },
		"GET https://api.example.com/with-cap": func(r *http.Request) { r.URL.Host, r.URL.Path, r.Host = "API.example.com", "/with-cap", "" },
	} {
		seen := ""
		base := roundTrip(func(r *http.Request) (*http.Response, error) {
			proof := r.Header.Get("DPoP")
			token, err := jose.Parse(proof, 0)
			if err != nil {
				t.Error(err)
				return answerOf(200, ""), nil
			}
			payload, _ := token.UnverifiedPayload()
			claims, _ := jose.ParseObject(payload)
			htm, _, _ := claims.String("htm")
			htu, _, _ := claims.String("htu")
			seen = htm + " " + htu
			if proofs[proof] || r.Header.Get("Authorization") != "DPoP a" || strings.Contains(payload, "secret") {
				t.Errorf("%s: a proof twice, %q or %s", want, r.Header.Get("Authorization"), payload)
			}
			proofs[proof] = true
			return answerOf(200, ""), nil
		})
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, testAPI, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		if _, err := s.Transport(base).RoundTrip(r); err != nil || seen != want {
			t.Errorf("%q, %v, want %q", seen, err, want)
		}
	}
	for target, cause := range map[string]string{"//orders.example.com/x": "opaque", "//other/x": "URL.Opaque names another host"} {
		r := &http.Request{URL: &url.URL{Scheme: "https", Host: "api.example.com", Opaque: target}, Body: io.NopCloser(strings.NewReader("x"))}
		if res, err := s.Transport(&api{}).RoundTrip(r); err == nil || !strings.Contains(err.Error(), cause) {
			t.Errorf("%s: %v, %v", target, res, err)
		}
	}
}

// A redirect on the same origin has a proof of its own.
func TestProofOfARedirect(t *testing.T) {
	server, s := dpopSource(t, nil)
	server.Config.Handler.(*http.ServeMux).Handle("/away", http.RedirectHandler("/v1/orders", http.StatusTemporaryRedirect))
	wantCalls(t, s.Client(), server.URL+"/away", 2)
}

// The request ends with its context while a key in a KMS hangs, and its body is closed.
func TestProofOfAKeyThatHangs(t *testing.T) {
	var hang atomic.Bool // the next signature
	hangs, release := make(chan struct{}), make(chan struct{})
	key := &signerFunc{newKey(t, "ES256"), func() error {
		if hang.CompareAndSwap(true, false) {
			close(hangs)
			<-release
		}
		return nil
	}}
	auth := &server0{func(*http.Request) *http.Response {
		return answerOf(200, `{"access_token":"a","token_type":"DPoP","expires_in":3600}`)
	}}
	s := newSource(t, auth, func(c *Config) { c.DPoP = DPoPKey(key, "") })
	wantToken(t, s, "a")
	hang.Store(true)
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	body := &closeNoter{closed: make(chan struct{})}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, testAPI, body)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-hangs
		cancel()
	}()
	if res, err := s.Transport(&api{}).RoundTrip(r); res != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", res, err)
	}
	<-body.closed
	// The deadline of that request does not end others.
	for range 3 {
		res, err := (&http.Client{Transport: s.Transport(&api{answer: alwaysOK})}).Get(testAPI)
		if err != nil || res.StatusCode != 200 {
			t.Errorf("%v, %v", res, err)
		}
	}
}

func alwaysOK(*http.Request) *http.Response { return answerOf(200, "") }

type closeNoter struct{ closed chan struct{} }

func (c *closeNoter) Read([]byte) (int, error) { return 0, io.EOF }
func (c *closeNoter) Close() error             { close(c.closed); return nil }

// Two APIs have nonces of their own. Each is asked for once, also if the calls alternate.
func TestNoncesOfTwoAPIs(t *testing.T) {
	var refused atomic.Int32
	apis := make([]string, 2)
	for n := range apis {
		nonce := fmt.Sprint("nonce-of-", n)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			proof, err := jose.Parse(r.Header.Get("DPoP"), 0)
			if err != nil {
				t.Error(err)
			}
			payload, err := proof.UnverifiedPayload()
			if err != nil {
				t.Error(err)
			}
			if !strings.Contains(payload, `"nonce":"`+nonce+`"`) {
				refused.Add(1)
				w.Header().Set("DPoP-Nonce", nonce)
				w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
				w.WriteHeader(http.StatusUnauthorized)
			}
		}))
		t.Cleanup(server.Close)
		apis[n] = server.URL
	}
	_, s := dpopSource(t, func(_ *strict, c *Config) { c.Origins = apis })
	for range 3 {
		for _, api := range apis {
			wantCalls(t, s.Client(), api, 1)
		}
	}
	if n := refused.Load(); n != 2 {
		t.Errorf("%d nonces were asked for, want 2", n)
	}
}

// The nonces of any number of APIs are bounded.
func TestNoncesAreBounded(t *testing.T) {
	var all nonces
	for i := range 3 * maxNonces {
		n := all.at(origin{"https", fmt.Sprintf("%d.example.com", i), "443"})
		if n.learn(http.Header{"Dpop-Nonce": {"a"}}, ""); n.get() != "a" {
			t.Fatal("the nonce is not kept")
		}
	}
	if len(all.of) != maxNonces {
		t.Errorf("%d are kept", len(all.of))
	}
}

func TestNonceIn(t *testing.T) {
	for name, test := range map[string]struct {
		values []string
		want   string
	}{
		"one": {[]string{"eyJ7S_zG.eyJH0-Z.HX4w-7v"}, "eyJ7S_zG.eyJH0-Z.HX4w-7v"}, "none": {nil, ""}, "empty": {[]string{""}, ""},
		"two": {[]string{"a", "b"}, ""}, "a space": {[]string{"a b"}, ""}, "a control character": {[]string{"a\x00"}, ""}, "not ASCII": {[]string{"ä"}, ""},
		"the longest": {[]string{strings.Repeat("n", maxNonce)}, strings.Repeat("n", maxNonce)}, "too long": {[]string{strings.Repeat("n", maxNonce+1)}, ""},
	} {
		if got := nonceIn(http.Header{"Dpop-Nonce": test.values}); got != test.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A nonce that the prover cannot send would end all calls: both sides must agree on what a
// nonce is.
func FuzzNonce(f *testing.F) {
	for _, seed := range []string{"", "a", "a b", `"`, `\`, "ä", "\x7f", "~", "!", strings.Repeat("n", 512), strings.Repeat("n", 513)} {
		f.Add(seed)
	}
	key := NewDPoPKey()
	f.Fuzz(func(t *testing.T, nonce string) {
		taken := nonceIn(http.Header{"Dpop-Nonce": {nonce}}) != ""
		_, err := key.prover.Proof("GET", testAPI, "a", nonce)
		if taken && err != nil {
			t.Errorf("%q is kept and cannot be sent: %v", nonce, err)
		}
		if !taken && err == nil && nonce != "" {
			t.Errorf("%q could be sent and is not kept", nonce)
		}
	})
}

// A server that asks for a nonce again and again, or refuses proofs, is about the client: it
// is retried slowly.
func TestProofsThatTheTokenEndpointRefuses(t *testing.T) {
	for _, code := range []string{"use_dpop_nonce", "invalid_dpop_proof"} {
		var reasons []event.Reason
		n := 0
		auth := &server{answer: func(*http.Request, url.Values) *http.Response {
			n++
			return answerOf(400, fmt.Sprintf(`{"error":%q}`, code), "DPoP-Nonce", fmt.Sprintf("n-%d", n))
		}}
		s := newSource(t, auth, func(c *Config) {
			c.DPoP, c.Observe = NewDPoPKey(), func(_ context.Context, e Event) { reasons = append(reasons, e.Reason) }
		})
		for range 5 {
			_, err := s.Token(t.Context())
			if e, ok := errors.AsType[*Error](err); !ok || e.Code != code {
				t.Errorf("%v", err)
			}
		}
		if _, err := s.For("", "other").Token(t.Context()); err == nil {
			t.Errorf("%s: another token", code)
		}
		want := map[string]int{"use_dpop_nonce": 2, "invalid_dpop_proof": 1}[code]
		s.Close()
		if auth.count() != want || len(reasons) != 1 || reasons[0] != event.CredentialRefused {
			t.Errorf("%s: %d requests, want %d; events %v", code, auth.count(), want, reasons)
		}
	}
}

// Requests of many goroutines have proofs of their own, while nonces change.
func TestDPoPConcurrently(t *testing.T) {
	server, s := dpopSource(t, nil)
	client := s.Client()
	var calls sync.WaitGroup
	for range 16 {
		calls.Go(func() {
			for range 10 {
				res, err := client.Get(server.URL + "/v1/orders")
				if err != nil {
					t.Error(err)
					return
				}
				_ = res.Body.Close()
				if res.StatusCode != 200 {
					t.Errorf("status %d", res.StatusCode)
				}
			}
		})
	}
	calls.Wait()
	if got := server.counts(); got["token"] != 1 || got["api"] != 160 || got["api invalid_dpop_proof"] > 0 {
		t.Errorf("%v", got)
	}
}
