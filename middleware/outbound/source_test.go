package outbound

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestThousandCallersOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{takes: time.Second, life: 60}
		s := newSource(t, auth, nil)
		for round := 1; round <= 3; round++ { // the token has expired in between
			var calls sync.WaitGroup
			for range 1000 {
				calls.Go(func() { wantToken(t, s, fmt.Sprint("token-", round)) })
			}
			calls.Wait()
			if got := auth.count(); got != round {
				t.Fatalf("%d token requests, want %d", got, round)
			}
			auth.set(func(s *server) { s.answer = alwaysAnswer(503, "") })
			time.Sleep(time.Hour)
			auth.set(func(s *server) { s.answer, s.requests = nil, make([]url.Values, round) })
		}
	})
}

func TestRefreshBlocksNoCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{}
		s := newSource(t, auth, func(c *Config) { c.Timeout = time.Minute })
		wantToken(t, s, "token-1")
		auth.set(func(s *server) { s.takes = 50 * time.Second })
		for range 3600 - 10 {
			began := time.Now()
			if _, err := s.Token(t.Context()); err != nil || !time.Now().Equal(began) {
				t.Fatalf("a call took %v: %v", time.Since(began), err)
			}
			time.Sleep(time.Second)
		}
		if got := auth.count(); got < 2 {
			t.Error("the token was not refreshed")
		}
	})
}

func TestTokenServesToItsLastSafeSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{}
		s := newSource(t, auth, nil)
		wantToken(t, s, "token-1")
		auth.set(func(s *server) { s.answer = alwaysAnswer(500, "") })
		for range 3600 - 5 {
			wantToken(t, s, "token-1")
			time.Sleep(time.Second)
		}
		_, err := s.Token(t.Context())
		wantUnavailable(t, err)
		// 40 min of retries: one a minute at most, after the first few.
		if got := auth.count(); got < 20 || got > 140 {
			t.Errorf("%d token requests in an outage", got)
		}
	})
}

// A token that is not used is not refreshed, and the first use then begins the refresh.
func TestUnusedTokenIsNotRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{}
		s := newSource(t, auth, nil)
		wantToken(t, s, "token-1")
		time.Sleep(45 * time.Minute) // used once, so refreshed once
		if got := auth.count(); got != 2 {
			t.Fatalf("%d token requests", got)
		}
		time.Sleep(time.Until(s.Status().ObtainedAt.Add(50 * time.Minute)))
		if got := auth.count(); got != 2 {
			t.Errorf("an unused token was refreshed")
		}
		wantToken(t, s, "token-2") // valid, and its refresh is overdue
		synctest.Wait()
		if got := auth.count(); got != 3 {
			t.Errorf("the use of an old token began no refresh")
		}
		time.Sleep(24 * time.Hour)
		if got := auth.count(); got != 3 {
			t.Errorf("an idle source made %d token requests", got)
		}
		wantToken(t, s, "token-4")
	})
}

// A call without a token waits for a retry that begins soon, and not for a late one.
func TestCallWaitsForTheNextTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{answer: alwaysAnswer(503, "")}
		s := newSource(t, auth, nil)
		longest(s)
		time.AfterFunc(700*time.Millisecond, func() { auth.set(func(s *server) { s.answer = nil }) })
		began := time.Now()
		wantToken(t, s, "token-1")
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the call took %v", took)
		}
	})
}

func TestForSharesAndSeparates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{}
		s := newSource(t, auth, func(c *Config) { c.Scopes = []string{"a"} })
		const other = "https://stock.example.com/v1"
		wantToken(t, s, "token-1")
		wantToken(t, s.For("", "a"), "token-1") // the same token
		wantToken(t, s.For(other, "b", "c"), "token-2")
		wantToken(t, s.For(other, "c", "b"), "token-2")
		wantToken(t, s.For(other, "b"), "token-3")
		wantToken(t, s.For(other), "token-4")
		for i, want := range []url.Values{
			{"grant_type": {"client_credentials"}, "resource": {testAPI}, "scope": {"a"}},
			{"grant_type": {"client_credentials"}, "resource": {other}, "scope": {"b c"}},
			{"grant_type": {"client_credentials"}, "resource": {other}, "scope": {"b"}},
			{"grant_type": {"client_credentials"}, "resource": {other}},
		} {
			if got := auth.requests[i].Encode(); got != want.Encode() {
				t.Errorf("request %d is %s, want %s", i, got, want.Encode())
			}
		}
		// Its tokens go to its own origin only.
		orders := &api{}
		client := &http.Client{Transport: s.For(other).Transport(orders)}
		if _, err := client.Get(testAPI); err == nil {
			t.Error("a token for one API was sent to another")
		}
		if res, err := client.Get("https://stock.example.com/x"); err != nil || res.StatusCode != 200 {
			t.Error(res, err)
		}
		for _, bad := range []*Source{s.For("stock"), s.For("https://x.example.com/#a"), s.For("", "a b"), s.For("", "")} {
			if _, err := bad.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "For") {
				t.Errorf("the error is %v", err)
			}
		}
	})
}

// An outage and a wrong secret are of all tokens, a scope that is refused of one.
func TestForSharesBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{answer: alwaysAnswer(401, `{"error":"invalid_client"}`)}
		s := newSource(t, auth, nil)
		for i := range 50 {
			if _, err := s.For(fmt.Sprint("https://api", i, ".example.com")).Token(t.Context()); err == nil {
				t.Fatal("a token")
			}
		}
		if got := auth.count(); got != 1 {
			t.Errorf("50 tokens tried the secret %d times", got)
		}
		auth.set(func(s *server) {
			s.requests = nil
			s.answer = func(_ *http.Request, form url.Values) *http.Response {
				if form.Get("scope") == "bad" {
					return answerOf(400, `{"error":"invalid_scope"}`)
				}
				return nil
			}
		})
		time.Sleep(slowestDelay)
		for range 10 {
			if _, err := s.For(testAPI, "bad").Token(t.Context()); err == nil {
				t.Fatal("a token")
			}
			wantToken(t, s, "token-1")
		}
		if got := auth.count(); got != 2 {
			t.Errorf("%d token requests", got)
		}
	})
}

// When an outage may be over, one token is tried. The others wait for it, and then get
// tokens of their own.
func TestOneTryForAllTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{answer: alwaysAnswer(503, "")}
		s := newSource(t, auth, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, _ = s.Token(ctx)
		time.Sleep(longestDelay)
		for _, up := range []bool{false, true} {
			auth.set(func(s *server) {
				s.requests, s.takes = nil, time.Second
				s.answer = func(_ *http.Request, form url.Values) *http.Response {
					if !up {
						return answerOf(503, "", "Retry-After", "60")
					}
					return answerOf(200, fmt.Sprintf(`{"access_token":"t-%s","token_type":"Bearer","expires_in":60}`, form.Get("scope")))
				}
			})
			var calls sync.WaitGroup
			began := time.Now()
			for i := range 20 {
				calls.Go(func() {
					scope := fmt.Sprint("s", i)
					token, err := s.For(testAPI, scope).Token(t.Context())
					if up != (err == nil) || up && token.Text() != "t-"+scope {
						t.Errorf("the token for %s is %q, %v", scope, token.Text(), err)
					}
				})
			}
			time.Sleep(500 * time.Millisecond)
			if got := auth.count(); got != 1 {
				t.Errorf("%d token requests at once after an outage", got)
			}
			calls.Wait()
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("the calls took %v", took)
			}
			time.Sleep(2 * longestDelay)
		}
	})
}

// A server that refuses a scope answers, so the outage is over for the other tokens.
func TestRefusedScopeEndsTheOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{answer: alwaysAnswer(503, "", "Retry-After", "60")}
		s := newSource(t, auth, nil)
		_, _ = s.Token(t.Context())
		time.Sleep(2 * longestDelay)
		auth.set(func(s *server) {
			s.answer = func(_ *http.Request, form url.Values) *http.Response {
				if form.Get("scope") == "bad" {
					return answerOf(400, `{"error":"invalid_scope"}`)
				}
				return nil
			}
		})
		_, _ = s.For(testAPI, "bad").Token(t.Context())
		if st := s.Status(); st.Failed != 0 || st.LastError != nil {
			t.Errorf("%+v", st)
		}
		began := time.Now()
		wantToken(t, s, "token-1")
		if took := time.Since(began); took != 0 {
			t.Errorf("the call took %v", took)
		}
	})
}

func TestForIsBounded(t *testing.T) {
	s := newSource(t, &server{}, nil)
	for i := range maxCells + 10 { // without a token they make room
		s.For(testAPI, fmt.Sprint("scope", i))
	}
	wantAny(t, s)
	for i := range maxCells - 1 { // the token of s is one of them
		wantAny(t, s.For(testAPI, fmt.Sprint("s", i)))
	}
	if _, err := s.For(testAPI, "one-too-many").Token(t.Context()); !errors.Is(err, errManyCells) {
		t.Errorf("the error is %v", err)
	}
	wantAny(t, s.For(testAPI, "s0"))
}

func TestKeysAreNotConcatenated(t *testing.T) {
	keys := map[string]*want{}
	for _, w := range []*want{
		{}, {scopes: []string{""}}, {scopes: []string{"a", "b"}}, {scopes: []string{"ab", "c"}}, {scopes: []string{"a", "bc"}}, {scopes: []string{"ab"}}, {scopes: []string{"a b"}}, {scopes: []string{"1:a"}},
		{resources: []string{"a", "b"}}, {resources: []string{"a"}, scopes: []string{"b"}}, {resources: []string{"a1:b"}}, {resources: []string{"a]1[1:b"}},
	} {
		if other := keys[w.key()]; other != nil {
			t.Errorf("%+v and %+v have one key", w, other)
		}
		keys[w.key()] = w
	}
	if a, b := (&want{scopes: []string{"a", "b", "a"}}), (&want{scopes: []string{"b", "a"}}); a.key() != b.key() {
		t.Error("the order of scopes makes two tokens")
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{takes: time.Hour}
		s := newSource(t, auth, func(c *Config) { c.Timeout = 2 * time.Hour })
		other := s.For(testAPI, "other")
		var calls sync.WaitGroup
		for _, s := range []*Source{s, s, other} {
			calls.Go(func() {
				if _, err := s.Token(t.Context()); !errors.Is(err, ErrClosed) {
					t.Errorf("a call that waits: %v", err)
				}
			})
		}
		time.Sleep(time.Second)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		calls.Wait()
		auth.set(func(s *server) { s.takes = 0 })
		for _, s := range []*Source{s, other, s.For(testAPI, "new")} {
			if _, err := s.Token(t.Context()); !errors.Is(err, ErrClosed) {
				t.Errorf("a call afterwards: %v", err)
			}
		}
		s.Close()
		held := newSource(t, auth, nil)
		wantAny(t, held)
		held.Close()
		if _, err := held.Token(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("a closed source gives its token: %v", err)
		}
		requests := auth.count()
		time.Sleep(24 * time.Hour)
		if auth.count() != requests {
			t.Error("a closed source sends requests")
		}
	})
}

// Close waits for a fetch that is slow to end.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		s := newSource(t, roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			time.Sleep(time.Second)
			ended = true
			return nil, r.Context().Err()
		}), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, _ = s.Token(ctx)
		s.Close()
		if !ended {
			t.Error("a fetch runs on after Close")
		}
	})
}

func TestReadyAndStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{answer: alwaysAnswer(401, `{"error":"invalid_client"}`)}
		s := newSource(t, auth, nil)
		if st := s.Status(); st.Valid || st.LastError != nil || st.Fetches != 0 || st.Endpoint != testTokenURL || st.ClientID != "client" {
			t.Errorf("%+v", st)
		}
		if s.Ready(t.Context()) == nil {
			t.Error("ready without a token")
		}
		st := s.Status()
		if st.LastError == nil || st.Failed != 1 || st.Fetches != 1 || st.Failures != 1 || time.Until(st.NextTry) < slowDelay/2 {
			t.Errorf("%+v", st)
		}
		text, err := json.Marshal(st)
		if err != nil || !strings.Contains(string(text), `"LastError":"outbound: the authorization server answered 401 invalid_client"`) {
			t.Errorf("%s, %v", text, err)
		}
		auth.set(func(s *server) { s.answer = nil })
		time.Sleep(slowDelay)
		if err := s.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		st = s.Status()
		if !st.Valid || st.LastError != nil || time.Until(st.ExpiresAt) != time.Hour || time.Until(st.UsableUntil) != time.Hour-longestSafe ||
			time.Until(st.RefreshAt) < 20*time.Minute || time.Until(st.RefreshAt) > 40*time.Minute {
			t.Errorf("%+v", st)
		}
	})
}

// The token endpoint is found through metadata, once, and again when it has moved.
func TestIssuerMetadata(t *testing.T) {
	var issuer string
	var mu sync.Mutex
	path, metadata, tokens := "/token", 0, 0
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch r.URL.Path {
		case "/.well-known/oauth-authorization-server":
			metadata++
			fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q}`, issuer, issuer+path)
		case path:
			tokens++
			fmt.Fprint(w, `{"access_token":"t","token_type":"Bearer","expires_in":3600}`)
		default:
			http.NotFound(w, r)
		}
	}))
	defer web.Close()
	issuer = web.URL
	s := newSource(t, nil, func(c *Config) { c.HTTP, c.TokenURL, c.Issuer = nil, "", issuer })
	for _, scope := range []string{"a", "b", "c"} {
		wantToken(t, s.For(testAPI, scope), "t")
	}
	if metadata != 1 || tokens != 3 || s.Status().Endpoint != issuer+"/token" {
		t.Errorf("%d fetches of metadata, %d of tokens, at %s", metadata, tokens, s.Status().Endpoint)
	}
	mu.Lock()
	path = "/moved"
	mu.Unlock()
	wantToken(t, s.For(testAPI, "d"), "t") // waits for the retry
	if metadata != 2 {
		t.Errorf("%d fetches of metadata", metadata)
	}
}

func TestEndedContextAndZeroSource(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	auth := &server{}
	s := newSource(t, auth, nil)
	if _, err := s.Token(ctx); !errors.Is(err, context.Canceled) || auth.count() != 0 {
		t.Errorf("%v after %d requests", err, auth.count())
	}
	wantAny(t, s)
	if _, err := s.Token(ctx); err != nil {
		t.Errorf("a held token needs no context: %v", err)
	}
	for _, s := range []*Source{nil, {}} {
		if _, err := s.Token(t.Context()); err == nil {
			t.Error("a zero Source gives a token")
		}
		if _, err := s.Client().Get(testAPI); err == nil {
			t.Error("a zero Source sends a request")
		}
	}
}
