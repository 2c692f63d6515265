package issuer

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks/event"
)

// The address of a caller is that of the connection, or the one that the app gives. It is
// never one that a caller can write. The address of a proxy is not that of a caller: then
// bounds per network are off, and those per client are not.
func TestLockoutBehindProxy(t *testing.T) {
	attempts := func(s *service, headers ...string) (tried int) {
		for n := range 100 {
			client := fmt.Sprintf("203.0.%d.7", n)
			r := newForm("/token", "grant_type=client_credentials", "Authorization", basic("nobody "+client, "wrong"))
			r.RemoteAddr = "10.0.0.1:1"
			for _, name := range append(headers, "X-Client-Ip", "True-Client-Ip") {
				r.Header.Set(name, client)
			}
			if s.send(r).Code == 401 {
				tried++
			}
		}
		return tried
	}
	proxied := func(s *service) (n int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, e := range s.events {
			if e.Op == event.OpConfig && e.Reason == event.ProxyUnknown && e.Err != nil {
				n++
			}
		}
		return n
	}
	for name, tt := range map[string]struct {
		headers       []string
		extract       echo.IPExtractor
		clientIP      func(*http.Request) string
		tried, events int
	}{
		"no proxy":              {tried: 2 * networkFactor},
		"X-Forwarded-For":       {headers: []string{"X-Forwarded-For"}, tried: 100, events: 1},
		"X-Real-IP":             {headers: []string{"X-Real-Ip"}, tried: 100, events: 1},
		"Forwarded":             {headers: []string{"Forwarded"}, tried: 100, events: 1},
		"IPExtractor":           {headers: []string{"X-Forwarded-For"}, extract: echo.ExtractIPFromXFFHeader(), tried: 100},
		"IPExtractor, one":      {headers: []string{"X-Forwarded-For"}, extract: echo.ExtractIPDirect(), tried: 2 * networkFactor},
		"IPExtractor, no IP":    {headers: []string{"Forwarded"}, extract: func(*http.Request) string { return "not an address" }, tried: 100, events: 1},
		"IPExtractor, empty":    {headers: []string{"Forwarded"}, extract: func(*http.Request) string { return "" }, tried: 100, events: 1},
		"Config.ClientIP":       {headers: []string{"X-Forwarded-For"}, clientIP: func(r *http.Request) string { return r.Header.Get("X-Forwarded-For") }, tried: 100},
		"Config.ClientIP, one":  {headers: []string{"X-Forwarded-For"}, clientIP: func(r *http.Request) string { return r.RemoteAddr }, tried: 2 * networkFactor},
		"Config.ClientIP, none": {headers: []string{"X-Forwarded-For"}, clientIP: func(*http.Request) string { return "" }, tried: 100, events: 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, Config{ImportedSecrets: true, FailedAttempts: 2, ClientIP: tt.clientIP}, chosen(t, "app"))
			s.app.IPExtractor = tt.extract
			if got := attempts(s, tt.headers...); got != tt.tried {
				t.Errorf("%d attempts, want %d", got, tt.tried)
			}
			if got := proxied(s); got != tt.events {
				t.Errorf("%d events say that callers behind a proxy are not known, want %d", got, tt.events)
			}
		})
	}

	// One client is bounded, and so it is through Handler.
	s := newGuessed(t, 2, chosen(t, "app"))
	for n, want := range []int{401, 401, 429, 429} {
		r := newForm("/token", "grant_type=client_credentials", "Authorization", basic("app", "wrong"), "X-Forwarded-For", strconv.Itoa(n))
		w := httptest.NewRecorder()
		s.issuer.Handler().ServeHTTP(w, r)
		s.wantStatus(t, w, want)
	}
}
