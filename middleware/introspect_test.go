package middleware

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// introspectable is an issuer's introspection endpoint.
type introspectable struct {
	*httptest.Server
	asked  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
}

func newIntrospectable(t *testing.T) *introspectable {
	s := &introspectable{}
	s.says(`{"active":true}`)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		id, secret, _ := r.BasicAuth()
		if r.Method != http.MethodPost || id != url.QueryEscape("a:pi") || secret != url.QueryEscape("s e+cret") || r.PostFormValue("token") != introspectedToken {
			t.Errorf("%s by %q %q with %v", r.Method, id, secret, r.PostForm)
		}
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *introspectable) says(body string) {
	s.does(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
}

func (s *introspectable) does(h http.HandlerFunc) { s.answer.Store(&h) }

func (s *introspectable) config() Introspection {
	return Introspection{Endpoint: s.URL, ClientID: "a:pi", ClientSecret: "s e+cret", Client: s.Client()}
}

const introspectedToken = "the.token.itself"

// introspecting is what the guard calls.
func introspecting(t *testing.T, c Introspection) func(ctx context.Context, jti string) (bool, error) {
	t.Helper()
	i, err := newIntrospector(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.close)
	return func(ctx context.Context, jti string) (bool, error) {
		return i.revoked(ctx, jti, "client of "+jti, introspectedToken)
	}
}

func TestIntrospect(t *testing.T) {
	s := newIntrospectable(t)
	c := s.config()
	c.CacheFor = time.Hour
	revoked := introspecting(t, c)
	for range 5 {
		if got, err := revoked(t.Context(), "one"); got || err != nil {
			t.Fatalf("active: %v %v", got, err)
		}
	}
	if s.asked.Load() != 1 {
		t.Errorf("asked %d times, want 1", s.asked.Load())
	}
	c.CacheFor = 100 * time.Millisecond
	revoked = introspecting(t, c)
	if got, err := revoked(t.Context(), "one"); got || err != nil {
		t.Fatalf("active: %v %v", got, err)
	}
	s.says(`{"active":false}`)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got, err := revoked(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}
		if got {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the revocation is never noticed")
		}
	}
}

func TestIntrospectFails(t *testing.T) {
	outer := t                               // the servers and the guards outlive the subtests
	again := map[string]func(t *testing.T){} // what is asked once more, after the pause
	const hangs = "hangs"
	for name, h := range map[string]http.HandlerFunc{
		"500":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); fmt.Fprint(w, `{"active":true}`) },
		"401":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) },
		"redirect":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"HTML":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"no member": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) },
		"a string":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"active":"true"}`) },
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"active":true,"x":"`+strings.Repeat("x", maxIntrospection)+`"}`)
		},
		"101": func(w http.ResponseWriter, _ *http.Request) { // the connection stays open
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			outer.Cleanup(func() { _ = conn.Close() })
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		},
		hangs:        func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"hung up on": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newIntrospectable(outer)
			s.does(h)
			c := s.config()
			c.Client, c.Timeout = nil, time.Minute
			if name == hangs {
				c.Timeout = 2 * time.Second
			}
			revoked := introspecting(outer, c)
			var firstEnded time.Time
			for range 2 {
				if got, err := revoked(t.Context(), "one"); got || err == nil {
					t.Errorf("%v %v, want an error: nothing is known", got, err)
				} else if strings.Contains(err.Error(), introspectedToken) || strings.Contains(err.Error(), "e+cret") {
					t.Errorf("the error tells a secret: %v", err)
				}
				if firstEnded.IsZero() {
					firstEnded = time.Now()
				}
			}
			// A machine that is so slow that the pause is over proves nothing.
			if got := s.asked.Load(); got != 1 && time.Since(firstEnded) < pause {
				t.Errorf("asked %d times, want 1: an issuer in trouble is left alone for a moment", got)
			}
			s.says(`{"active":true}`)
			again[name] = func(t *testing.T) {
				if got, err := revoked(t.Context(), "one"); got || err != nil {
					t.Errorf("after that: %v %v", got, err)
				}
			}
		})
	}
	time.Sleep(pause)
	for name, ask := range again {
		t.Run("then "+name, ask)
	}
}

// anew is a transport that sends a request anew as often as it may, as net/http does while
// an HTTP/2 server refuses streams.
type anew struct{ sent atomic.Int64 }

func (a *anew) RoundTrip(r *http.Request) (*http.Response, error) {
	for a.sent.Add(1) < 100 {
		if _, err := r.GetBody(); err != nil {
			return nil, err
		}
	}
	return nil, http.ErrAbortHandler
}

func TestIntrospectionIsSentFewTimes(t *testing.T) {
	transport := &anew{}
	revoked := introspecting(t, Introspection{
		Endpoint: "https://auth.example.com/introspect", ClientID: "a:pi", ClientSecret: "s e+cret",
		Client: &http.Client{Transport: transport},
	})
	if got, err := revoked(t.Context(), "one"); got || err == nil {
		t.Errorf("%v %v", got, err)
	}
	if got := transport.sent.Load(); got > 10 {
		t.Errorf("it was sent %d times", got)
	}
}

func TestIntrospectOnce(t *testing.T) {
	s := newIntrospectable(t)
	release := make(chan struct{})
	s.does(func(w http.ResponseWriter, _ *http.Request) { <-release; fmt.Fprint(w, `{"active":true}`) })
	revoked := introspecting(t, s.config())

	leaving, leave := context.WithCancel(t.Context())
	var first, crowd sync.WaitGroup
	first.Go(func() {
		if _, err := revoked(leaving, "one"); err == nil {
			t.Error("a caller that left got an answer")
		}
	})
	for s.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 100 {
		crowd.Go(func() {
			if got, err := revoked(t.Context(), "one"); got || err != nil {
				t.Errorf("%v %v: a caller that left failed the rest", got, err)
			}
		})
	}
	leave()
	first.Wait()
	close(release)
	crowd.Wait()
	if s.asked.Load() != 1 {
		t.Errorf("asked %d times, want 1", s.asked.Load())
	}
}

func TestIntrospectMisconfigured(t *testing.T) {
	keys := newKeyring(t, ecKey)
	good := Introspection{Endpoint: "https://auth.example.com/introspect", ClientID: "api", ClientSecret: "s"}
	for name, change := range map[string]func(*Introspection){
		"Endpoint":     func(c *Introspection) { c.Endpoint = "" },
		"https":        func(c *Introspection) { c.Endpoint = "http://auth.example.com/introspect" },
		"ClientID":     func(c *Introspection) { c.ClientID = "" },
		"ClientSecret": func(c *Introspection) { c.ClientSecret = "" },
		"CacheFor":     func(c *Introspection) { c.CacheFor = -1 },
		"Timeout":      func(c *Introspection) { c.Timeout = -1 },
	} {
		c := good
		change(&c)
		_, err := New(Config{Issuer: testIssuer, Audience: testAudience, Keys: keys, Introspection: &c})
		if err == nil || !strings.HasPrefix(err.Error(), "middleware: Config.Introspection.") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for scheme, accepted := range map[string]bool{"http": true, "ftp": false} {
		c := good
		c.Endpoint, c.InsecureHTTP = scheme+"://auth.example.com/introspect", true
		if _, err := New(Config{Issuer: testIssuer, Audience: testAudience, Keys: keys, Introspection: &c}); (err == nil) != accepted {
			t.Errorf("InsecureHTTP, %s: %v", scheme, err)
		}
	}
}

// The guard asks about the token it was sent, but not about an invalid one. The answer
// decides.
func TestIntrospection(t *testing.T) {
	keys := newKeyring(t, ecKey)
	var presented, answer atomic.Pointer[string]
	var asked atomic.Int64
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		token := r.PostFormValue("token")
		presented.Store(&token)
		fmt.Fprint(w, *answer.Load())
	}))
	defer issuer.Close()
	c := Introspection{Endpoint: issuer.URL, ClientID: "api", ClientSecret: "s", Client: issuer.Client()}
	for name, tt := range map[string]struct {
		answer string
		status int
	}{
		"active":             {`{"active":true,"scope":"x"}`, 200},
		"inactive":           {`{"active":false}`, 401},
		"another case":       {`{"active":false,"Active":true}`, 401},
		"another case alone": {`{"Active":true}`, 503},
		"twice":              {`{"active":false,"active":true}`, 503},
		"null":               {`{"active":null}`, 503},
		"number":             {`{"active":1}`, 503},
		"array":              {`[{"active":true}]`, 503},
		"two documents":      {`{"active":true}{"active":true}`, 503},
	} {
		t.Run(name, func(t *testing.T) {
			answer.Store(&tt.answer)
			a := newAPI(t, Config{Keys: keys, Introspection: &c})
			token := goodToken(t, keys)
			for range 3 { // the third is a hit in the cache of verified tokens
				if w := a.get("/", "Bearer "+token); w.Code != tt.status {
					t.Errorf("status %d, want %d: %s", w.Code, tt.status, a.cause())
				}
			}
			if *presented.Load() != token {
				t.Error("asked about another token")
			}
			before := asked.Load()
			a.get("/", "Bearer "+token[:len(token)-8]+"AAAAAAAA")
			a.get("/", "Bearer "+sign(t, keys, payload(map[string]string{"exp": "1"})))
			if asked.Load() != before {
				t.Error("asked about a token that is not valid")
			}
			if err := a.auth.Close(); err != nil {
				t.Error(err)
			}
			if w := a.get("/", "Bearer "+sign(t, keys, payload(map[string]string{"jti": `"another"`}))); w.Code != http.StatusServiceUnavailable {
				t.Errorf("status %d after Close", w.Code)
			}
		})
	}
}

// Close ends a request that is under way, and who waits for it is answered.
func TestCloseEndsIntrospection(t *testing.T) {
	keys := newKeyring(t, ecKey)
	asked := make(chan struct{}, 1)
	issuer := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // so that the server notices when the client leaves
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer issuer.Close()
	a := newAPI(t, Config{Keys: keys, Introspection: &Introspection{Endpoint: issuer.URL, ClientID: "api", ClientSecret: "s", Client: issuer.Client(), Timeout: time.Hour}})
	go func() {
		<-asked
		_ = a.auth.Close()
	}()
	if w := a.get("/", "Bearer "+goodToken(t, keys)); w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
}

// As many tokens as may be asked about at the same time are; one more is refused
// at once.
func TestIntrospectionIsBounded(t *testing.T) {
	release := make(chan struct{})
	s := newIntrospectable(t)
	s.does(func(w http.ResponseWriter, _ *http.Request) { <-release; fmt.Fprint(w, `{"active":true}`) })
	c := s.config()
	c.Timeout = time.Minute
	revoked := introspecting(t, c)
	var crowd sync.WaitGroup
	for n := range maxFlights {
		crowd.Go(func() {
			if got, err := revoked(t.Context(), fmt.Sprint(n)); got || err != nil {
				t.Errorf("%v %v", got, err)
			}
		})
	}
	for s.asked.Load() < maxFlights {
		time.Sleep(time.Millisecond)
	}
	if _, err := revoked(t.Context(), "one more"); err == nil {
		t.Error("one more was asked about")
	}
	close(release)
	crowd.Wait()
	if got, err := revoked(t.Context(), "one more"); got || err != nil {
		t.Errorf("after that: %v %v", got, err)
	}
	s.CloseClientConnections()
}
