package middleware

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// asking is a source that asks for the network of each call.
type asking struct {
	keys     jwks.Source
	networks []any
}

func (a *asking) Key(ctx context.Context, kid, alg string) (*jose.Key, error) {
	a.networks = append(a.networks, ctx.Value(jwks.NetworkKey{}))
	return a.keys.Key(ctx, kid, alg)
}

// Where a request comes from: Config.ClientIP says so, or Echo's IPExtractor, or the
// connection. Behind an unknown proxy, or without an IP address, it is not known, and an
// event says so once.
func TestNetworkOfARequest(t *testing.T) {
	keys := newKeyring(t, ecKey)
	token := "Bearer " + goodToken(t, keys)
	clientIP := func(*http.Request) string { return "198.51.100.7" }
	for name, tt := range map[string]struct {
		clientIP  func(*http.Request) string
		extractor echo.IPExtractor
		header    string
		want      any
		unknown   int // events
	}{
		"connection":           {want: "192.0.2.0/24"},
		"ClientIP":             {clientIP: clientIP, want: "198.51.100.0/24"},
		"ClientIP, proxied":    {clientIP: clientIP, header: "X-Forwarded-For", want: "198.51.100.0/24"},
		"ClientIP before Echo": {clientIP: clientIP, extractor: echo.ExtractIPDirect(), want: "198.51.100.0/24"},
		"ClientIP is nonsense": {clientIP: func(*http.Request) string { return "" }, want: "", unknown: 1},
		"extractor":            {extractor: func(*http.Request) string { return "203.0.113.9" }, header: "X-Forwarded-For", want: "203.0.113.0/24"},
		"extractor, nothing":   {extractor: func(*http.Request) string { return "" }, want: "", unknown: 1},
		"NAT64":                {clientIP: func(*http.Request) string { return "[64:ff9b::198.51.100.7]:443" }, want: "198.51.100.0/24"},
		"unknown proxy":        {header: "X-Forwarded-For", want: "", unknown: 1},
		"Forwarded":            {header: "Forwarded", want: "", unknown: 1},
		"X-Real-IP":            {header: "X-Real-IP", want: "", unknown: 1},
	} {
		source := &asking{keys: keys}
		a := newAPI(t, Config{Keys: source, ClientIP: tt.clientIP, CacheSize: -1})
		a.IPExtractor = tt.extractor
		handlers := []http.Handler{a}
		if tt.extractor == nil {
			handlers = append(handlers, a.auth.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		}
		for range 2 {
			for _, h := range handlers {
				r := request(http.MethodGet, "/", token)
				if tt.header != "" {
					r.Header.Set(tt.header, "203.0.113.1")
				}
				if w := send(h, r); w.Code != http.StatusOK {
					t.Errorf("%s: status %d", name, w.Code)
				}
			}
		}
		for _, got := range source.networks {
			if got != tt.want {
				t.Errorf("%s: %q, want %q", name, got, tt.want)
			}
		}
		unknown := slices.DeleteFunc(a.events, func(e Event) bool { return e.Reason != event.ProxyUnknown || e.Op != event.OpConfig })
		if len(unknown) != tt.unknown || len(source.networks) != 2*len(handlers) {
			t.Errorf("%s: events %+v, asked %d times", name, unknown, len(source.networks))
		}
	}
}

// A flood of forged key ids does not keep out a token of another network by a new key.
func TestForgedKeyIDsLeaveRoomForANewKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // an unknown key waits for a second at most
		old, both := newKeyring(t, ecKey), newKeyring(t, edKey, ecKey)
		set := &published{keys: old}
		remote := jwks.NewRemote("https://auth.example.com/keys", jwks.RemoteConfig{Client: &http.Client{Transport: set}})
		defer remote.Close()
		var mu sync.Mutex
		guard := newAPI(t, Config{Keys: remote, Observe: func(context.Context, Event) {}}).auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			_, _ = io.WriteString(w, "served")
		}))
		from := func(address, token string) int {
			r := request(http.MethodGet, "/", "Bearer "+token)
			r.RemoteAddr = address + ":1234"
			return send(guard, r).Code
		}
		if status := from("192.0.2.1", goodToken(t, old)); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
		set.keys, set.after = both, 400*time.Millisecond
		var flood sync.WaitGroup
		statuses := map[int]int{}
		for n := range 300 {
			flood.Go(func() {
				status := from(fmt.Sprintf("192.0.2.%d", n%250), forge(t, fmt.Sprintf(`{"alg":"ES256","kid":"forged-%d","typ":"at+jwt"}`, n), payload(nil), strangeKey))
				mu.Lock()
				statuses[status]++
				mu.Unlock()
			})
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if n := remote.Status().Waiting; n != 8 {
			t.Errorf("%d calls of one network wait, want 8", n)
		}
		if status := from("198.51.100.1", goodToken(t, both)); status != http.StatusOK {
			t.Errorf("a token by a new key: status %d", status)
		}
		flood.Wait()
		if statuses[401]+statuses[503] != 300 || statuses[401] > 8 {
			t.Errorf("statuses of the flood: %v", statuses)
		}
	})
}

// published is a key set at an address, which is answered after a while.
type published struct {
	keys  http.Handler
	after time.Duration
}

func (p *published) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(p.after)
	w := httptest.NewRecorder()
	p.keys.ServeHTTP(w, r)
	return w.Result(), nil
}

// A cached token costs no context of its own, so the source learns no network then.
func TestCachedTokensAskForNoNetwork(t *testing.T) {
	keys := newKeyring(t, ecKey)
	source := &asking{keys: keys}
	a := newAPI(t, Config{Keys: source, CacheSize: 10})
	token := goodToken(t, keys)
	for range 4 {
		a.wantServed(t, token)
	}
	if got := fmt.Sprint(source.networks); !strings.HasSuffix(got, "<nil>]") {
		t.Errorf("%s", got)
	}
}
