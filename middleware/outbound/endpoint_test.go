package outbound

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

const testIssuer = "https://auth.example.com"

// issuer is an authorization server with metadata, in memory.
type issuer struct {
	server   server
	document func(r *http.Request) (*http.Response, error) // nil: the metadata
	polls    atomic.Int64
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		return i.server.RoundTrip(r)
	}
	i.polls.Add(1)
	i.server.mu.Lock()
	document := i.document
	i.server.mu.Unlock()
	if document != nil {
		return document(r)
	}
	return answerOf(200, fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q}`, testIssuer, testTokenURL)), nil
}

// metadata answers each request for metadata alike.
func (i *issuer) metadata(status int, header ...string) {
	i.server.set(func(*server) {
		i.document = func(*http.Request) (*http.Response, error) { return answerOf(status, "", header...), nil }
	})
}

func newIssuerSource(t *testing.T, i *issuer) *Source {
	return newSource(t, i, func(c *Config) { c.TokenURL, c.Issuer = "", testIssuer })
}

// After a failure of the token endpoint the metadata is fetched again. If that fails, in
// whatever way, the latest endpoint is used.
func TestLastEndpointIsKept(t *testing.T) {
	for name, document := range map[string]func(*http.Request) (*http.Response, error){
		"503":        func(*http.Request) (*http.Response, error) { return answerOf(503, ""), nil },
		"404":        func(*http.Request) (*http.Response, error) { return answerOf(404, ""), nil },
		"a web page": func(*http.Request) (*http.Response, error) { return answerOf(200, "<html>"), nil },
		"other": func(*http.Request) (*http.Response, error) {
			return answerOf(200, `{"issuer":"https://x.example.com"}`), nil
		},
		"no endpoint": func(*http.Request) (*http.Response, error) { return answerOf(200, `{"issuer":"`+testIssuer+`"}`), nil },
		"unreachable": func(*http.Request) (*http.Response, error) { return nil, errors.New("no route to host") },
		"hangs":       func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{}
				s := newIssuerSource(t, i)
				wantToken(t, s, "token-1")
				i.server.set(func(s *server) {
					i.document, s.takes = document, time.Second // an ended context is noticed
					failed := false
					s.answer = func(*http.Request, url.Values) *http.Response {
						if failed {
							return nil
						}
						failed = true
						return answerOf(503, "")
					}
				})
				time.Sleep(rediscoverGap)
				polls := i.polls.Load()
				wantToken(t, s.For(testAPI, "x"), "token-2") // waits for the retry
				if i.polls.Load() == polls {
					t.Error("the metadata was not fetched again")
				}
				if got := s.Status().Endpoint; got != testTokenURL {
					t.Errorf("the endpoint is %s", got)
				}
			})
		})
	}
}

// The metadata endpoint's Retry-After is kept, with and without a known token endpoint.
func TestMetadataRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		i.document = func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "openid-configuration") {
				return answerOf(404, ""), nil
			}
			return answerOf(503, "", "Retry-After", "120"), nil
		}
		s := newIssuerSource(t, i)
		_, err := s.Token(t.Context())
		wantUnavailable(t, err)
		if next := time.Until(s.Status().NextTry); next < 2*time.Minute || next > 3*time.Minute {
			t.Errorf("the next try is in %v, want 2 min", next)
		}
		polls := i.polls.Load()
		for range 110 { // later calls wait for the try
			_, _ = s.Token(t.Context())
			time.Sleep(time.Second)
		}
		if got := i.polls.Load(); got != polls {
			t.Errorf("%d requests within Retry-After", got-polls)
		}
		i.server.set(func(*server) { i.document = nil })
		time.Sleep(time.Minute)
		wantToken(t, s, "token-1")

		i.metadata(429, "Retry-After", "600")
		s.family.fetcher.discovery.expire(testTokenURL)
		time.Sleep(rediscoverGap)
		polls = i.polls.Load()
		for n := range 500 {
			wantAny(t, s.For(testAPI, fmt.Sprint("s", n)))
			time.Sleep(time.Second)
		}
		if got := i.polls.Load() - polls; got != 2 { // the two addresses, once
			t.Errorf("%d requests for metadata within Retry-After", got)
		}
	})
}

func TestLongestMetadataRetryAfter(t *testing.T) {
	after := func(d time.Duration) error { return &fetch.StatusError{Status: 503, RetryAfter: d} }
	for _, test := range []struct {
		err  error
		want time.Duration
	}{
		{errors.New("x"), 0},
		{context.Canceled, 0},
		{after(time.Minute), time.Minute},
		{after(-time.Minute), 0},
		{after(1000 * time.Hour), maxRetryAfter},
		{fmt.Errorf("%w; %w", after(0), fmt.Errorf("x: %w", after(time.Minute))), time.Minute},
		{unavailable(fmt.Errorf("%w; %w", after(2*time.Minute), after(time.Minute))), 2 * time.Minute},
	} {
		if got := classify(test.err).retryAfter; got != test.want {
			t.Errorf("%v: %v, want %v", test.err, got, test.want)
		}
	}
}
