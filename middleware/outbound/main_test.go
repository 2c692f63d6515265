package outbound

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain fails the run when goroutines are left behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		os.Exit(code) // fuzzing leaves a goroutine that waits for signals
	}
	http.DefaultClient.CloseIdleConnections()
	for wait := time.Millisecond; runtime.NumGoroutine() > before; wait *= 2 {
		if wait > 10*time.Second {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines leaked:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			os.Exit(1)
		}
		time.Sleep(wait)
	}
	os.Exit(code)
}

const (
	testTokenURL = "https://auth.example.com/token"
	testAPI      = "https://api.example.com"
	testSecret   = "s3cr3t-of-the-test"
)

// server is an authorization server in memory, and the transport that leads to it.
type server struct {
	mu       sync.Mutex
	life     int           // expires_in; 0 means 3600
	takes    time.Duration // for each answer
	secret   string        // that is right; "" means testSecret
	answer   func(r *http.Request, form url.Values) *http.Response
	requests []url.Values // their forms, client_secret and header included
	granted  int
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	form, err := readForm(r)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	takes := s.takes
	s.requests = append(s.requests, form)
	s.mu.Unlock()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer != nil {
		if res := s.answer(r, form); res != nil {
			return res, nil
		}
	}
	if _, secret, _ := r.BasicAuth(); secret != cmp.Or(s.secret, testSecret) && form.Get("client_secret") != cmp.Or(s.secret, testSecret) {
		return answerOf(401, `{"error":"invalid_client","error_description":"client authentication failed"}`), nil
	}
	s.granted++
	return answerOf(200, fmt.Sprintf(`{"access_token":"token-%d","token_type":"Bearer","expires_in":%d}`, s.granted, cmp.Or(s.life, 3600))), nil
}

func readForm(r *http.Request) (url.Values, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_ = r.Body.Close()
	return url.ParseQuery(string(body))
}

func (s *server) set(change func(s *server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// answerOf is an answer with a Date, as servers send it. header is name, value, and so on.
func answerOf(status int, body string, header ...string) *http.Response {
	res := &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(body)),
		Header: http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}, "Content-Type": {"application/json"}},
		Body:   io.NopCloser(strings.NewReader(body)),
	}
	for i := 0; i+1 < len(header); i += 2 {
		res.Header.Set(header[i], header[i+1])
	}
	return res
}

// alwaysAnswer answers every token request alike.
func alwaysAnswer(status int, body string, header ...string) func(*http.Request, url.Values) *http.Response {
	return func(*http.Request, url.Values) *http.Response { return answerOf(status, body, header...) }
}

// newSource makes a Source of a server in memory. It is closed with the test.
func newSource(tb testing.TB, to http.RoundTripper, change func(c *Config)) *Source {
	tb.Helper()
	c := Config{
		TokenURL:  testTokenURL,
		ClientID:  "client",
		Secret:    Secret(testSecret),
		Resources: []string{testAPI},
		HTTP:      &http.Client{Transport: to},
		Quiet:     true,
	}
	if change != nil {
		change(&c)
	}
	s, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// longest makes all random times of a Source as long as they can be, so that no retry begins
// earlier. It is called before the first fetch.
func longest(s *Source) { s.family.random = func(n time.Duration) time.Duration { return n } }

func wantToken(tb testing.TB, s *Source, want string) {
	tb.Helper()
	if token, err := s.Token(context.Background()); err != nil || token.Text() != want {
		tb.Errorf("Token is %q, %v, want %q", token.Text(), err, want)
	}
}

func wantUnavailable(tb testing.TB, err error) {
	tb.Helper()
	if !errors.Is(err, ErrUnavailable) {
		tb.Errorf("the error is %v, want ErrUnavailable", err)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		tb.Errorf("the error %v looks like the end of the caller's context", err)
	}
}

// api is an API in memory. It answers 200 to all tokens that it does not refuse.
type api struct {
	mu      sync.Mutex
	refused map[string]bool // header values
	answer  func(r *http.Request) *http.Response
	seen    []string // header values
	bodies  []string
	requests,
	closed int // bodies of refusals
}

func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.Body != nil {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(text)
		_ = r.Body.Close()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests++
	header := r.Header.Get("Authorization")
	a.seen, a.bodies = append(a.seen, header), append(a.bodies, body)
	if a.answer != nil {
		if res := a.answer(r); res != nil {
			res.Request = r
			return res, nil
		}
	}
	if header == "" || a.refused[header] {
		res := answerOf(401, `{}`, "WWW-Authenticate", `Bearer realm="api", error="invalid_token"`)
		res.Body = &closeCounter{Reader: bytes.NewReader([]byte("refused")), api: a}
		res.Request = r
		return res, nil
	}
	res := answerOf(200, strconv.Itoa(a.requests))
	res.Request = r
	return res, nil
}

func (a *api) refuse(tokens ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refused == nil {
		a.refused = map[string]bool{}
	}
	for _, token := range tokens {
		a.refused["Bearer "+token] = true
	}
}

type closeCounter struct {
	*bytes.Reader
	api *api
}

func (c *closeCounter) Close() error {
	c.api.mu.Lock()
	defer c.api.mu.Unlock()
	c.api.closed++
	return nil
}
