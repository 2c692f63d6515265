package middleware

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// judge is an introspection endpoint that a test speaks to without a network. It
// answers for a token, which it is told in full, and keeps a record of who was asked.
type judge struct {
	says func(token string) (status int, header http.Header, body string)

	mu    sync.Mutex
	asked []string
}

func (j *judge) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	token := r.PostForm.Get("token")
	j.mu.Lock()
	j.asked = append(j.asked, token)
	j.mu.Unlock()
	status, header, body := j.says(token)
	if status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// questions is how often was asked since the last time.
func (j *judge) questions() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := len(j.asked)
	j.asked = nil
	return n
}

func active(string) (int, http.Header, string) { return http.StatusOK, nil, `{"active":true}` }

// judged is a guarded handler whose tokens j is asked about.
func judged(t *testing.T, j *judge) (guarded http.Handler, token func(client string, n int, scope string) string) {
	t.Helper()
	keys := newKeyring(t, ecKey)
	auth := benchGuard(t, Config{Keys: keys, Introspection: &Introspection{
		Endpoint: "https://auth.example.com/introspect", ClientID: "api", ClientSecret: "s", Client: &http.Client{Transport: j}, Timeout: time.Minute,
	}})
	t.Cleanup(func() { _ = auth.Close() })
	guarded = auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	return guarded, func(client string, n int, scope string) string {
		return "Bearer " + sign(t, keys, payload(map[string]string{
			"client_id": strconv.Quote(client), "sub": strconv.Quote(client), "jti": strconv.Quote(fmt.Sprint(client, n)), "scope": strconv.Quote(scope),
		}))
	}
}

// A gateway in front of the issuer finds a valid token too long. Its owner sends it
// again and again. No other token is refused.
func TestGuardIntrospectsOneThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &judge{says: func(token string) (int, http.Header, string) {
			if len(token) > 4096 {
				return http.StatusRequestEntityTooLarge, nil, ""
			}
			return active(token)
		}}
		guarded, token := judged(t, j)
		hostile := token("hostile", 0, strings.Repeat("a ", 2000)+"a")
		for n := range 40 {
			if w := ask(guarded, http.MethodGet, "/", hostile); w.Code != http.StatusServiceUnavailable {
				t.Errorf("status %d for a token about which nothing is known", w.Code)
			}
			if w := ask(guarded, http.MethodGet, "/", token("good", n, "a")); w.Code != http.StatusNoContent {
				t.Fatalf("another client's token: status %d", w.Code)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := j.questions(); n != 40+4 {
			t.Errorf("asked %d times, want 4 about the hostile token", n)
		}
	})
}

// One client's tokens take a quarter of the requests under way. The client is that of
// the verified token.
func TestGuardIntrospectsInShares(t *testing.T) {
	release := make(chan struct{})
	j := &judge{says: func(token string) (int, http.Header, string) {
		<-release
		return active(token)
	}}
	guarded, token := judged(t, j)
	var hostile sync.WaitGroup
	answered := make(chan int, maxFlights+1)
	for n := range maxFlights + 1 {
		hostile.Go(func() { answered <- ask(guarded, http.MethodGet, "/", token("hostile", n, "a")).Code })
	}
	asked := 0
	until := func(n int) { // so many are either answered or asked about
		for asked += j.questions(); asked+len(answered) < n; asked += j.questions() {
			time.Sleep(time.Millisecond)
		}
	}
	until(maxFlights + 1)
	if asked != maxFlights/4 {
		t.Errorf("%d tokens of one client are asked about", asked)
	}
	good := make(chan int, 1)
	go func() { good <- ask(guarded, http.MethodGet, "/", token("good", 0, "a")).Code }()
	for asked < maxFlights/4+1 && len(good) == 0 {
		asked += j.questions()
		time.Sleep(time.Millisecond)
	}
	close(release)
	if code := <-good; code != http.StatusNoContent {
		t.Errorf("another client's token: status %d", code)
	}
	hostile.Wait()
}
