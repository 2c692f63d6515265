package outbound

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRequestIsNotChanged(t *testing.T) {
	orders := &api{}
	s := newSource(t, &server{}, nil)
	r, err := http.NewRequest(http.MethodPost, testAPI+"/orders", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Mine", "1")
	header, body := maps.Clone(r.Header), r.Body
	res, err := s.Transport(orders).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(r.Header, header, func(a, b []string) bool { return a[0] == b[0] }) || r.Body != body {
		t.Errorf("the request was changed: %v", r.Header)
	}
	if orders.seen[0] != "Bearer token-1" || orders.bodies[0] != "body" {
		t.Errorf("the API saw %q with %q", orders.seen, orders.bodies)
	}
	if res.Request != r {
		t.Error("the answer's Request is not the one that was given")
	}
}

// body counts how often it is closed.
type body struct {
	io.Reader
	closed int
}

func (b *body) Close() error { b.closed++; return nil }

func TestRefusedRequests(t *testing.T) {
	down := &server{answer: alwaysAnswer(400, `{"error":"invalid_scope"}`)}
	for name, test := range map[string]struct {
		url    string
		header string
		auth   *server
		say    string
	}{
		"no token":             {testAPI, "", down, "invalid_scope"},
		"another host":         {"https://evil.example.com/", "", &server{}, "Config.Origins"},
		"another port":         {testAPI + ":8443/", "", &server{}, "Config.Origins"},
		"another scheme":       {"http://api.example.com/", "", &server{}, "write https in the URL"},
		"a host that begins":   {testAPI + ".evil.example.com/", "", &server{}, "Config.Origins"},
		"credentials of a URL": {"https://api.example.com@evil.example.com/", "", &server{}, "Config.Origins"},
		"two credentials":      {testAPI, "Authorization", &server{}, "Authorization header already"},
		"two, oddly spelled":   {testAPI, "authorization", &server{}, "Authorization header already"},
	} {
		orders := &api{}
		s := newSource(t, test.auth, nil)
		content := &body{Reader: strings.NewReader("body")}
		r, err := http.NewRequest(http.MethodPost, test.url, content)
		if err != nil {
			t.Fatal(err)
		}
		if test.header != "" {
			r.Header[test.header] = []string{"Basic eDp5"}
		}
		if _, err := s.Transport(orders).RoundTrip(r); err == nil || !strings.Contains(err.Error(), test.say) {
			t.Errorf("%s: the error is %v, want one with %q", name, err, test.say)
		}
		if orders.requests != 0 || content.closed != 1 {
			t.Errorf("%s: %d requests, and the body was closed %d times", name, orders.requests, content.closed)
		}
	}
}

func TestSameOriginSpelledOtherwise(t *testing.T) {
	orders := &api{}
	s := newSource(t, &server{}, nil)
	for _, address := range []string{"https://API.example.com/x", "HTTPS://api.example.com:443/x?y", testAPI} {
		r, err := http.NewRequest(http.MethodGet, address, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := s.Transport(orders).RoundTrip(r); err != nil || res.StatusCode != 200 {
			t.Errorf("%s: %v, %v", address, res, err)
		}
	}
}

func TestWhatIsReplayed(t *testing.T) {
	const refused = `Bearer realm="a, b", error="invalid_token", error_description="say \"no\""`
	for name, test := range map[string]struct {
		status    int
		challenge string
		replayed  bool
	}{
		"refused":               {401, refused, true},
		"after another scheme":  {401, `Basic realm="x, error=\"invalid_token\"", ` + refused, true},
		"a token for the value": {401, `bearer Error=invalid_token`, true},
		"token68 before":        {401, `Negotiate dGVzdA==, Bearer error="invalid_token"`, true},
		"403":                   {403, refused, false},
		"503":                   {503, refused, false},
		"no challenge":          {401, "", false},
		"another scheme":        {401, `DPoP error="invalid_token"`, false},
		"another error":         {401, `Bearer error="insufficient_scope"`, false},
		"no error":              {401, `Bearer realm="invalid_token"`, false},
		"scheme after Bearer":   {401, `Bearer realm="x", DPoP error="invalid_token"`, false},
		"text in a realm":       {401, `Bearer realm="x, error=invalid_token"`, false},
		"an escaped quote":      {401, `Bearer realm="x\", error=invalid_token, \""`, false},
		"a string without end":  {401, `Bearer error="invalid_token`, false},
		"junk":                  {401, `"=,,= ==" Bearer`, false},
	} {
		auth := &server{}
		orders := &api{answer: func(r *http.Request) *http.Response {
			if r.Header.Get("Authorization") == "Bearer token-1" {
				return answerOf(test.status, "", "WWW-Authenticate", test.challenge)
			}
			return nil
		}}
		s := newSource(t, auth, nil)
		res, err := (&http.Client{Transport: s.Transport(orders)}).Get(testAPI)
		if err != nil {
			t.Fatal(err)
		}
		want, fetches := test.status, 1
		if test.replayed {
			want, fetches = 200, 2
		}
		if res.StatusCode != want || auth.count() != fetches || orders.requests != fetches {
			t.Errorf("%s: status %d after %d token requests and %d requests, want %d after %d", name, res.StatusCode, auth.count(), orders.requests, want, fetches)
		}
	}
}

func TestUnreplayableRequestGetsTheRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth, orders := &server{}, &api{}
		orders.refuse("token-1")
		s := newSource(t, auth, nil)
		client := &http.Client{Transport: s.Transport(orders)}
		res, err := client.Post(testAPI, "text/plain", io.MultiReader(strings.NewReader("stream")))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(res.Body); res.StatusCode != 401 || string(text) != "refused" || err != nil {
			t.Errorf("the answer is %d %q, %v, want the refusal, readable", res.StatusCode, text, err)
		}
		synctest.Wait()
		if got := auth.count(); got != 2 {
			t.Errorf("%d token requests: the refused token is not replaced", got)
		}
		if res, err = client.Get(testAPI); err != nil || res.StatusCode != 200 {
			t.Errorf("the next request: %v, %v", res, err)
		}
	})
}

func TestRefusalWhileTheIssuerIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth, orders := &server{}, &api{}
		s := newSource(t, auth, nil)
		wantToken(t, s, "token-1")
		orders.refuse("token-1")
		auth.set(func(s *server) { s.answer = alwaysAnswer(503, "") })
		client := &http.Client{Transport: s.Transport(orders)}
		for range 50 {
			res, err := client.Get(testAPI)
			if err != nil {
				t.Fatal(err)
			}
			if text, _ := io.ReadAll(res.Body); res.StatusCode != 401 || string(text) != "refused" {
				t.Errorf("the answer is %d %q, want the refusal, readable", res.StatusCode, text)
			}
		}
		if got := auth.count(); got > 3 {
			t.Errorf("50 refusals made %d token requests", got-1)
		}
		// The retry does not wait for the next planned refresh.
		auth.set(func(s *server) { s.answer = nil })
		time.Sleep(4 * time.Second)
		synctest.Wait()
		wantToken(t, s, "token-2")
		// The 50 refusals were of one token, so the next one is replaced at once.
		orders.refuse("token-2")
		if res, err := client.Get(testAPI); err != nil || res.StatusCode != 200 {
			t.Error(res, err)
		}
	})
}

// An API that refuses all tokens must not make a token request of each of its own.
func TestAPIThatRefusesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{}
		orders := &api{answer: func(*http.Request) *http.Response {
			return answerOf(401, "", "WWW-Authenticate", `Bearer error="invalid_token"`)
		}}
		s := newSource(t, auth, nil)
		client := &http.Client{Transport: s.Transport(orders)}
		for range 600 {
			if res, err := client.Get(testAPI); err != nil || res.StatusCode != 401 {
				t.Fatal(res, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := auth.count(); got > 1+replayBurst+2 {
			t.Errorf("600 refusals in a minute made %d token requests", got)
		}
	})
}

// A server that caches tokens gives the refused one again.
func TestSameTokenAgainIsNoReplay(t *testing.T) {
	auth := &server{answer: alwaysAnswer(200, `{"access_token":"same","token_type":"Bearer","expires_in":60}`)}
	orders := &api{}
	orders.refuse("same")
	s := newSource(t, auth, nil)
	res, err := (&http.Client{Transport: s.Transport(orders)}).Get(testAPI)
	if err != nil || res.StatusCode != 401 || orders.requests != 1 {
		t.Errorf("%v, %v after %d requests", res, err, orders.requests)
	}
}

func TestErrorOfBaseIsPassedOn(t *testing.T) {
	s := newSource(t, &server{}, nil)
	fault := errors.New("no route")
	base := roundTrip(func(*http.Request) (*http.Response, error) { return nil, fault })
	if _, err := (&http.Client{Transport: s.Transport(base)}).Get(testAPI); !errors.Is(err, fault) {
		t.Errorf("the error is %v", err)
	}
}

func TestGRPC(t *testing.T) {
	var _ interface { // gRPC's credentials.PerRPCCredentials
		GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error)
		RequireTransportSecurity() bool
	} = PerRPC{}
	s := newSource(t, &server{}, func(c *Config) { c.Origins = []string{"https://orders.example.com:50051", "https://api.example.com"} })
	for uri, ok := range map[string]bool{
		"https://orders.example.com:50051/orders.Service": true,
		"https://api.example.com/orders.Service":          true,
		"https://api.example.com:443/orders.Service":      true,
		"https://orders.example.com/orders.Service":       false,
		"https://evil.example.com/orders.Service":         false,
	} {
		header, err := s.PerRPC().GetRequestMetadata(t.Context(), uri)
		if ok != (err == nil) || ok && header["authorization"] != "Bearer token-1" {
			t.Errorf("%s: %v, %v", uri, header, err)
		}
	}
	if !s.PerRPC().RequireTransportSecurity() {
		t.Error("tokens are sent without TLS")
	}
}

func TestOAuth2(t *testing.T) {
	s := newSource(t, &server{life: 600}, nil)
	token, err := s.OAuth2().Token()
	if err != nil || token.AccessToken != "token-1" || token.Type() != "Bearer" || !token.Valid() || time.Until(token.Expiry) > 600*time.Second {
		t.Errorf("%+v, %v", token, err)
	}
	down := newSource(t, &server{answer: alwaysAnswer(400, `{"error":"invalid_target"}`)}, nil)
	if token, err := down.OAuth2().Token(); token != nil || err == nil {
		t.Errorf("%v, %v", token, err)
	}
}

func TestRefusalBodyIsBounded(t *testing.T) {
	read := 0
	endless := &body{Reader: readerFunc(func(p []byte) (int, error) { read += len(p); return copy(p, bytes.Repeat([]byte("x"), len(p))), nil })}
	first := true
	orders := &api{answer: func(*http.Request) *http.Response {
		if !first {
			return nil
		}
		first = false
		res := answerOf(401, "", "WWW-Authenticate", `Bearer error="invalid_token"`)
		res.Body = endless
		return res
	}}
	s := newSource(t, &server{}, nil)
	res, err := (&http.Client{Transport: s.Transport(orders)}).Get(testAPI)
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	if read > 64<<10 || endless.closed != 1 {
		t.Errorf("%d bytes of a refusal were read, and it was closed %d times", read, endless.closed)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
