package outbound

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// refusing is an API that refuses token-1 with the given challenges.
func refusing(challenges ...string) *api {
	return &api{answer: func(r *http.Request) *http.Response {
		if r.Header.Get("Authorization") != "Bearer token-1" {
			return nil
		}
		res := answerOf(401, "refused")
		res.Header["Www-Authenticate"] = challenges
		return res
	}}
}

// A challenge counts wherever it is, and only if it is of Bearer.
func TestChallengesThatAreReplayed(t *testing.T) {
	for name, test := range map[string]struct {
		challenges []string
		replayed   bool
	}{
		"several challenges in one header":       {[]string{`Basic realm="a", Bearer realm="b", error="invalid_token", Digest nonce="c"`}, true},
		"several headers":                        {[]string{`Basic realm="a"`, `Bearer error="invalid_token"`}, true},
		"several headers, the first is Bearer":   {[]string{`Bearer error="invalid_token"`, `Basic realm="a"`}, true},
		"two Bearer challenges":                  {[]string{`Bearer realm="a", Bearer error="invalid_token"`}, true},
		"two Bearer challenges, two headers":     {[]string{`Bearer error="insufficient_scope"`, `Bearer error="invalid_token"`}, true},
		"a scheme in lower case":                 {[]string{`bearer error="invalid_token"`}, true},
		"a scheme in upper case":                 {[]string{`BEARER error="invalid_token"`}, true},
		"a DPoP challenge":                       {[]string{`DPoP error="invalid_token", algs="ES256"`}, false},
		"DPoP and then Bearer":                   {[]string{`DPoP algs="ES256", Bearer error="invalid_token"`}, true},
		"Bearer and then DPoP":                   {[]string{`Bearer, DPoP error="invalid_token"`}, false},
		"Bearer and DPoP, two headers":           {[]string{`Bearer`, `DPoP error="invalid_token"`}, false},
		"a quoted pair in the error":             {[]string{`Bearer error="invalid\_token"`}, true},
		"a quoted pair that is another error":    {[]string{`Bearer error="invalid_token\""`}, false},
		"white space around the equals sign":     {[]string{`Bearer error = "invalid_token"`}, true},
		"tabs":                                   {[]string{"Bearer\terror=\"invalid_token\""}, true},
		"the error in another scheme's text":     {[]string{`Basic realm="Bearer error=invalid_token"`}, false},
		"the error in another scheme's list":     {[]string{`Basic realm="a, Bearer error=\"invalid_token\""`}, false},
		"the error in a parameter of Bearer":     {[]string{`Bearer error_description="error=invalid_token"`}, false},
		"a name that ends in error":              {[]string{`Bearer x-error="invalid_token"`}, false},
		"the error's case":                       {[]string{`Bearer error="Invalid_Token"`}, false},
		"a longer scheme":                        {[]string{`BearerX error="invalid_token"`}, false},
		"an error that is only part of the text": {[]string{`Bearer error="invalid_token_x"`}, false},
	} {
		orders := refusing(test.challenges...)
		res, err := (&http.Client{Transport: newSource(t, &server{}, nil).Transport(orders)}).Get(testAPI)
		if err != nil {
			t.Fatal(err)
		}
		if got := res.StatusCode == 200; got != test.replayed || !got && orders.requests != 1 {
			t.Errorf("%s: status %d after %d requests", name, res.StatusCode, orders.requests)
		}
	}
}

// A request is sent again if its body can be had again. The refusal is the answer
// otherwise, and its body can be read.
func TestBodiesThatAreReplayed(t *testing.T) {
	fault := errors.New("the file is gone")
	ended, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, test := range map[string]struct {
		change   func(r *http.Request)
		replayed bool
	}{
		"a body with GetBody":           {func(*http.Request) {}, true},
		"no body":                       {func(r *http.Request) { r.Body, r.GetBody, r.ContentLength = nil, nil, 0 }, true},
		"NoBody without GetBody":        {func(r *http.Request) { r.Body, r.GetBody, r.ContentLength = http.NoBody, nil, 0 }, true},
		"a body without GetBody":        {func(r *http.Request) { r.GetBody = nil }, false},
		"GetBody fails":                 {func(r *http.Request) { r.GetBody = func() (io.ReadCloser, error) { return nil, fault } }, false},
		"Expect: 100-continue":          {func(r *http.Request) { r.Header.Set("Expect", "100-continue") }, true},
		"Expect, and no GetBody":        {func(r *http.Request) { r.Header.Set("Expect", "100-continue"); r.GetBody = nil }, false},
		"the request's context ended":   {func(r *http.Request) { *r = *r.WithContext(ended) }, false},
		"a body of unknown length":      {func(r *http.Request) { r.ContentLength = -1 }, true},
		"a header that the app has set": {func(r *http.Request) { r.Header.Set("Idempotency-Key", "1") }, true},
	} {
		auth, orders := &server{}, refusing(`Bearer error="invalid_token"`)
		s := newSource(t, auth, nil)
		wantToken(t, s, "token-1")
		refuse := orders.answer
		orders.answer = func(r *http.Request) *http.Response {
			res := refuse(r)
			if r.Context().Done() == ended.Done() { // another call replaces the token, and this one's context ends
				c := s.cell.Load()
				c.replace(context.Background(), c.held.Load(), true)
				cancel()
			}
			return res
		}
		r, err := http.NewRequest(http.MethodPost, testAPI, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		test.change(r)
		header := len(r.Header)
		res, err := s.Transport(orders).RoundTrip(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, err := io.ReadAll(res.Body)
		if got := res.StatusCode == 200; got != test.replayed || !got && (orders.requests != 1 || string(text) != "refused") || err != nil {
			t.Errorf("%s: %d %q after %d requests, %v", name, res.StatusCode, text, orders.requests, err)
		}
		if test.replayed && (orders.requests != 2 || orders.bodies[0] != orders.bodies[1] || len(r.Header) != header) {
			t.Errorf("%s: the API got %q, and the request has the header %v", name, orders.bodies, r.Header)
		}
	}
}

// A request with Expect: 100-continue is refused before its body is sent, over a real
// connection.
func TestExpectContinueIsReplayed(t *testing.T) {
	var bodies []string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token-1" {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(401)
			return
		}
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
	}))
	defer web.Close()
	base := &http.Transport{ExpectContinueTimeout: time.Minute}
	s := newSource(t, &server{}, func(c *Config) { c.Origins = []string{web.URL} })
	client := &http.Client{Transport: s.Transport(base)}
	defer client.CloseIdleConnections()
	r, err := http.NewRequest(http.MethodPost, web.URL, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Expect", "100-continue")
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 || len(bodies) != 1 || bodies[0] != "body" {
		t.Errorf("%d, the API got %q", res.StatusCode, bodies)
	}
}

// dripping is a body of which a byte arrives each second, until it is closed.
type dripping struct{ closed chan struct{} }

func (d *dripping) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return copy(p, "x"), nil
	case <-d.closed:
		return 0, io.ErrClosedPipe
	}
}

func (d *dripping) Close() error { close(d.closed); return nil }

// The replay does not wait for the refusal's body.
func TestReplayWaitsForNoBody(t *testing.T) {
	for name, length := range map[string]int64{"unknown length": -1, "a short length": 10} {
		synctest.Test(t, func(t *testing.T) {
			body := &dripping{make(chan struct{})}
			orders := &api{answer: func(r *http.Request) *http.Response {
				if r.Header.Get("Authorization") != "Bearer token-1" {
					return nil
				}
				res := answerOf(401, "", "WWW-Authenticate", `Bearer error="invalid_token"`)
				res.Body, res.ContentLength = body, length
				return res
			}}
			s := newSource(t, &server{}, nil)
			began := time.Now()
			res, err := (&http.Client{Transport: s.Transport(orders)}).Get(testAPI)
			if err != nil || res.StatusCode != 200 {
				t.Fatal(res, err)
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("%s: the call took %v", name, took)
			}
			select {
			case <-body.closed:
			default:
				t.Errorf("%s: the refusal's body is open", name)
			}
		})
	}
}

// idler counts how often it is asked to close its idle connections.
type idler struct {
	http.RoundTripper
	asked int
}

func (i *idler) CloseIdleConnections() { i.asked++ }

func TestCloseIdleConnections(t *testing.T) {
	s := newSource(t, &server{}, nil)
	base := &idler{RoundTripper: &api{}}
	(&http.Client{Transport: s.Transport(base)}).CloseIdleConnections()
	if base.asked != 1 {
		t.Errorf("the base was asked %d times", base.asked)
	}
	(&http.Client{Transport: s.Transport(&api{})}).CloseIdleConnections() // has none
	nested := &idler{RoundTripper: &api{}}
	(&http.Client{Transport: s.Transport(s.Transport(nested))}).CloseIdleConnections()
	if nested.asked != 1 {
		t.Errorf("through two transports the base was asked %d times", nested.asked)
	}
}

// A large body of a refusal is not read.
func TestLargeRefusalIsNotRead(t *testing.T) {
	orders := &api{}
	orders.refuse("token-1")
	large := bytes.NewReader(make([]byte, 10<<20))
	base := roundTrip(func(r *http.Request) (*http.Response, error) {
		res, err := orders.RoundTrip(r)
		if err == nil && res.StatusCode == 401 {
			res.Body = io.NopCloser(large)
		}
		return res, err
	})
	res, err := (&http.Client{Transport: newSource(t, &server{}, nil).Transport(base)}).Get(testAPI)
	if err != nil || res.StatusCode != 200 || large.Len() != 10<<20 {
		t.Errorf("%v, %v, %d bytes left", res, err, large.Len())
	}
}
