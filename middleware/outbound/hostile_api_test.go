package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var refusesAll = func(*http.Request) *http.Response {
	return answerOf(401, "", "WWW-Authenticate", `Bearer error="invalid_token"`)
}

// An API that refuses all tokens of a Source that has many makes few token requests: each
// token is replaced once, and after that the family's rate counts.
func TestAPIThatRefusesEverythingOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tokens, minutes = 200, 10
		auth, orders := &server{}, &api{answer: refusesAll}
		s := newSource(t, auth, nil)
		for range minutes {
			for i := range tokens {
				client := &http.Client{Transport: s.For(testAPI, fmt.Sprint("scope", i)).Transport(orders)}
				for range 5 {
					if res, err := client.Get(testAPI); err != nil || res.StatusCode != 401 {
						t.Fatal(res, err)
					}
				}
			}
			time.Sleep(time.Minute)
		}
		if got, most := auth.count(), 2*tokens+replacementBurst+minutes*int(time.Minute/replacementEvery); got > most {
			t.Errorf("%d token requests for %d tokens in %d minutes, want at most %d", got, tokens, minutes, most)
		}
	})
}

// After a rotation without warning, an API refuses all tokens of a Source that has many.
// Each call gets another one at once.
func TestAllTokensAreReplacedAtOnce(t *testing.T) {
	auth, orders := &server{}, &api{}
	s := newSource(t, auth, nil)
	clients := make([]*http.Client, 200)
	for i := range clients {
		of := s.For(testAPI, fmt.Sprint("scope", i))
		token, err := of.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		orders.refuse(token.Text())
		clients[i] = &http.Client{Transport: of.Transport(orders)}
	}
	for i, client := range clients {
		if res, err := client.Get(testAPI); err != nil || res.StatusCode != 200 {
			t.Fatal(i, res, err)
		}
	}
}

// A refusal that arrives after the token's cell was evicted takes a cell of the family
// again: Close ends its token too.
func TestRefusalAfterEviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{life: 60}
		s := newSource(t, auth, nil)
		late := s.For(testAPI, "late")
		slow := roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") == "Bearer token-1" {
				time.Sleep(time.Hour)
				full(t, s) // evicts the cell
				time.Sleep(time.Hour)
				return refusesAll(r), nil
			}
			return answerOf(200, ""), nil
		})
		if res, err := late.Transport(slow).RoundTrip(mustRequest(t, testAPI)); err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
		token, err := s.For(testAPI, "late").Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantToken(t, late, token.Text())
		s.Close()
		if _, err := late.Token(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("a token after Close: %v", err)
		}
	})
}

func mustRequest(t *testing.T, to string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Servers and proxies route by Host and by an absolute request line, so these name no other
// origin either.
func TestTargetsBesideTheURL(t *testing.T) {
	for name, test := range map[string]struct {
		change func(r *http.Request)
		sent   bool
	}{
		"no Host":                   {func(r *http.Request) { r.Host = "" }, true},
		"the same Host":             {func(r *http.Request) { r.Host = "API.example.com:443" }, true},
		"an origin that is named":   {func(r *http.Request) { r.Host = "stock.example.com" }, true},
		"another Host":              {func(r *http.Request) { r.Host = "evil.example.com" }, false},
		"another port":              {func(r *http.Request) { r.Host = "api.example.com:8443" }, false},
		"userinfo":                  {func(r *http.Request) { r.Host = "api.example.com@evil.example.com" }, false},
		"a path in Host":            {func(r *http.Request) { r.Host = "evil.example.com/api.example.com" }, false},
		"a dot behind":              {func(r *http.Request) { r.Host = "api.example.com." }, false},
		"an opaque path":            {func(r *http.Request) { r.URL.Opaque = "/a%2fb" }, true},
		"an opaque line":            {func(r *http.Request) { r.URL.Opaque = "//api.example.com/x" }, true},
		"all of the server":         {func(r *http.Request) { r.Method, r.URL.Opaque = http.MethodOptions, "*" }, true},
		"another opaque line":       {func(r *http.Request) { r.URL.Opaque = "//evil.example.com/x" }, false},
		"another absolute line":     {func(r *http.Request) { r.URL.Opaque = "https://evil.example.com/x" }, false},
		"an absolute line of http":  {func(r *http.Request) { r.URL.Opaque = "http://api.example.com/x" }, false},
		"an authority":              {func(r *http.Request) { r.URL.Opaque = "evil.example.com:443" }, false},
		"a backslash in the line":   {func(r *http.Request) { r.URL.Opaque = `\\evil.example.com/x` }, false},
		"userinfo in the line":      {func(r *http.Request) { r.URL.Opaque = "//api.example.com@evil.example.com/x" }, false},
		"a line that is not a URL":  {func(r *http.Request) { r.URL.Opaque = "https://[/x" }, false},
		"another host in the query": {func(r *http.Request) { r.URL.RawQuery = "//evil.example.com" }, true},
	} {
		orders := &api{}
		s := newSource(t, &server{}, func(c *Config) { c.Resources = []string{testAPI, "https://stock.example.com"} })
		r := mustRequest(t, testAPI+"/orders")
		test.change(r)
		_, err := s.Transport(orders).RoundTrip(r)
		if sent := orders.requests == 1; sent != test.sent || (err == nil) != test.sent {
			t.Errorf("%s: %d requests, %v", name, orders.requests, err)
		}
	}
}

// A reverse proxy sends tokens only with the Host of the API.
func TestReverseProxyWithTheCallersHost(t *testing.T) {
	orders := &api{}
	s := newSource(t, &server{}, nil)
	target, _ := url.Parse(testAPI)
	for host, want := range map[string]int{"evil.example.com": 0, "": 1} {
		orders.requests = 0
		proxy := &httputil.ReverseProxy{Transport: s.Transport(orders), Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = host
		}, ErrorHandler: func(http.ResponseWriter, *http.Request, error) {}}
		proxy.ServeHTTP(discard{http.Header{}}, mustRequest(t, "http://proxy.example.com/orders"))
		if orders.requests != want {
			t.Errorf("Host %q: %d requests", host, orders.requests)
		}
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// A base that breaks the rules of RoundTripper breaks no caller.
func TestBaseThatBreaksTheRules(t *testing.T) {
	s := newSource(t, &server{}, nil)
	nothing := roundTrip(func(*http.Request) (*http.Response, error) { return nil, nil })
	if res, err := s.Transport(nothing).RoundTrip(mustRequest(t, testAPI)); res != nil || !errors.Is(err, errNoAnswer) {
		t.Errorf("neither answer nor error: %v, %v", res, err)
	}
	bodiless := roundTrip(func(r *http.Request) (*http.Response, error) {
		res := refusesAll(r)
		res.Body = nil
		return res, nil
	})
	if res, err := s.Transport(bodiless).RoundTrip(mustRequest(t, testAPI)); err != nil || res.StatusCode != 401 {
		t.Errorf("no body: %v, %v", res, err)
	}
}

// A GetBody without a body is one that fails.
func TestGetBodyWithoutABody(t *testing.T) {
	s, orders := newSource(t, &server{}, nil), refusing(`Bearer error="invalid_token"`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, testAPI, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	r.GetBody = func() (io.ReadCloser, error) { return nil, nil }
	res, err := s.Transport(orders).RoundTrip(r)
	if err != nil || res.StatusCode != 401 || orders.requests != 1 {
		t.Errorf("%v, %v after %d requests", res, err, orders.requests)
	}
}

// An API that sends the token back gets it into no error of the request.
func TestQuotedTokensAreWithheld(t *testing.T) {
	const token = `opaque"token\1`
	auth := &server{answer: alwaysAnswer(200, `{"access_token":"opaque\"token\\1","token_type":"Bearer","expires_in":60}`)}
	for name, answer := range map[string]string{
		"the status":  "HTTP/1.1 " + token + "\r\n\r\n",
		"a header":    "HTTP/1.1 200 OK\r\n" + token + "\r\n\r\n",
		"the length":  "HTTP/1.1 200 OK\r\nContent-Length: " + token + "\r\n\r\n",
		"another one": "HTTP/1.1 x\r\n\r\n",
	} {
		api := strings.TrimSuffix(rawServer(t, func(c net.Conn) { _, _ = io.WriteString(c, answer) }), "/token")
		s := newSource(t, auth, func(c *Config) { c.Origins = []string{api} })
		base := &http.Transport{DisableKeepAlives: true}
		_, err := s.Transport(base).RoundTrip(mustRequest(t, api))
		if text := fmt.Sprint(err); err == nil || strings.Contains(text, "opaque") || errors.Is(err, errQuotesToken) != (name != "another one") {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	h := &held{text: "canceled"}
	cancel()
	if h.quotedIn(fmt.Errorf("x: %w", ended.Err()), "") {
		t.Error("the end of the caller's context is withheld")
	}
}

// A challenge of megabytes is read in little time, and thousands of challenges too.
func TestLargeChallenges(t *testing.T) {
	for name, challenge := range map[string]string{
		"schemes":    strings.Repeat("Basic ", 200_000),
		"commas":     strings.Repeat(",", 1_000_000),
		"parameters": strings.Repeat(`Bearer error="x",`, 60_000),
		"quotes":     strings.Repeat(`"`, 1_000_001),
		"open":       `Bearer error="` + strings.Repeat(`\`, 1_000_000),
		"equals":     strings.Repeat("=", 1_000_000),
		"spaces":     "Bearer" + strings.Repeat(" ", 1_000_000) + "=",
		"pairs":      strings.Repeat("a =", 300_000),
	} {
		began := time.Now()
		for range 2 {
			if challenges(http.Header{"Www-Authenticate": {challenge}}, schemeBearer, "invalid_token") {
				t.Errorf("%s: it says invalid_token", name)
			}
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}

// Resources and scopes of For are bounded, or 1024 of them would fill the memory. Many bad
// scopes have one short error.
func TestForIsBoundedInBytes(t *testing.T) {
	s := newSource(t, &server{}, nil)
	wantAny(t, s.For(testAPI+"/"+strings.Repeat("x", 10<<10)))
	for name, of := range map[string]*Source{
		"a resource":  s.For(testAPI + "/" + strings.Repeat("x", maxWant)),
		"a scope":     s.For(testAPI, strings.Repeat("x", maxWant)),
		"many scopes": s.For("", strings.Split(strings.Repeat("ab", maxWant/2), "")...),
		"bad scopes":  s.For("", strings.Split(strings.Repeat(`"`, 10_000), "")...),
	} {
		if _, err := of.Token(t.Context()); err == nil || len(err.Error()) > 200 {
			t.Errorf("%s: the error is %.300v", name, err)
		}
	}
}
