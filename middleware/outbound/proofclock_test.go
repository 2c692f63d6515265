package outbound

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// skewed is an authorization server and an API whose clock is ahead of this one. They
// accept proofs from a minute ago to 10 s ahead.
type skewed struct {
	tb    testing.TB
	ahead time.Duration
	nonce string // that is asked for, after the time was checked; "" is none
	date  string // in the place of the Date

	mu     sync.Mutex
	bodies []string
}

func (s *skewed) now() time.Time { return time.Now().Add(s.ahead) }

func (s *skewed) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body := ""
	if r.Body != nil {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(text)
	}
	s.bodies = append(s.bodies, body)
	toToken := strings.HasSuffix(r.URL.Path, "/token")
	date := s.date
	if date == "" {
		date = s.now().UTC().Format(http.TimeFormat)
	}
	refuse := func(code string) (*http.Response, error) {
		status := 401
		if toToken {
			status = 400
		}
		return answerOf(status, fmt.Sprintf(`{"error":%q}`, code), "Date", date, "DPoP-Nonce", s.nonce, "WWW-Authenticate", fmt.Sprintf("DPoP error=%q", code)), nil
	}
	claims := s.claims(r.Header.Get("DPoP"))
	issued, _, _ := claims.Time("iat")
	nonce, _, _ := claims.String("nonce")
	if age := s.now().Sub(issued); age < -10*time.Second || age > time.Minute {
		return refuse("invalid_dpop_proof")
	}
	if nonce != s.nonce {
		return refuse("use_dpop_nonce")
	}
	if toToken {
		return answerOf(200, `{"access_token":"a","token_type":"DPoP","expires_in":3600}`, "Date", date), nil
	}
	return answerOf(200, "", "Date", date), nil
}

func (s *skewed) claims(proof string) jose.Object {
	s.tb.Helper()
	token, err := jose.Parse(proof, 0)
	if err != nil {
		s.tb.Fatal(err)
	}
	payload, err := token.UnverifiedPayload()
	if err != nil {
		s.tb.Fatal(err)
	}
	claims, err := jose.ParseObject(payload)
	if err != nil {
		s.tb.Fatal(err)
	}
	return claims
}

func (s *skewed) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.bodies)
}

// A clock that is wrong costs one more request to each server, and no failure. The servers
// do not have to agree.
func TestProofsHaveTheServersTime(t *testing.T) {
	for _, ahead := range []time.Duration{0, 8 * time.Second, 30 * time.Second, -30 * time.Second, -2 * time.Minute, 3 * time.Hour, -3 * time.Hour} {
		for _, nonce := range []string{"", "n"} {
			synctest.Test(t, func(t *testing.T) {
				auth, orders := &skewed{tb: t, ahead: ahead, nonce: nonce}, &skewed{tb: t, ahead: -ahead / 2, nonce: nonce}
				s := newSource(t, auth, func(c *Config) { c.DPoP = NewDPoPKey() })
				client := &http.Client{Transport: s.Transport(orders)}
				for range 3 {
					res, err := client.Post(testAPI, "text/plain", strings.NewReader("body"))
					if err != nil {
						t.Fatal(err)
					}
					_ = res.Body.Close()
					if res.StatusCode != 200 {
						t.Fatalf("%v, %q: status %d", ahead, nonce, res.StatusCode)
					}
				}
				if auth.requests() > 2 || orders.requests() > 4 {
					t.Errorf("%v, %q: %d token requests, %d calls", ahead, nonce, auth.requests(), orders.requests())
				}
				for _, body := range orders.bodies {
					if body != "body" {
						t.Errorf("%v: the body is %q", ahead, body)
					}
				}
			})
		}
	}
}

// A server that refuses each proof gets a request once more at most, whatever its Date is.
func TestProofTimesAreBounded(t *testing.T) {
	for name, test := range map[string]struct {
		date func(n int) string
		want int
	}{
		"another time":  {func(n int) string { return time.Now().Add(time.Duration(n) * time.Hour).UTC().Format(http.TimeFormat) }, 2},
		"the same time": {func(int) string { return time.Now().UTC().Format(http.TimeFormat) }, 1},
		"two days":      {func(int) string { return time.Now().Add(48 * time.Hour).UTC().Format(http.TimeFormat) }, 1},
		"no time":       {func(int) string { return "soon" }, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			for _, atAPI := range []bool{true, false} {
				n := 0
				refuses := roundTrip(func(*http.Request) (*http.Response, error) {
					n++
					status := 401
					if !atAPI {
						status = 400
					}
					return answerOf(status, `{"error":"invalid_dpop_proof"}`, "Date", test.date(n), "WWW-Authenticate", `DPoP error="invalid_dpop_proof"`), nil
				})
				if atAPI {
					s := newSource(t, &skewed{tb: t}, func(c *Config) { c.DPoP = NewDPoPKey() })
					res, err := (&http.Client{Transport: s.Transport(refuses)}).Get(testAPI)
					if err != nil || res.StatusCode != 401 {
						t.Errorf("%s: %v, %v", name, res, err)
					}
				} else if _, err := newSource(t, refuses, func(c *Config) { c.DPoP = NewDPoPKey() }).Token(t.Context()); err == nil {
					t.Errorf("%s: a token", name)
				}
				if n != test.want {
					t.Errorf("%s, at an API %v: %d requests, want %d", name, atAPI, n, test.want)
				}
			}
		})
	}
}

// An answer from a cache has an old Date. It does not change the time of later proofs.
func TestProofTimeOfACache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		orders := &skewed{tb: t, date: time.Now().Add(-3 * time.Hour).UTC().Format(http.TimeFormat)}
		s := newSource(t, &skewed{tb: t}, func(c *Config) { c.DPoP = NewDPoPKey() })
		wantCalls(t, &http.Client{Transport: s.Transport(orders)}, testAPI, 3)
		if orders.requests() != 3 {
			t.Errorf("%d requests", orders.requests())
		}
	})
}
