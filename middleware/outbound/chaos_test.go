package outbound

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// onceBody counts what becomes of a request's body.
type onceBody struct {
	io.Reader
	closed *atomic.Int64
	once   atomic.Bool
}

func (b *onceBody) Close() error {
	if b.once.Swap(true) {
		return errors.New("closed twice")
	}
	b.closed.Add(1)
	return nil
}

// Everything at once, and Close in the middle of it: callers with short deadlines, many
// wants, an issuer and an API that answer all sorts of things, and readers of all states.
// Each call ends, each body is closed exactly once, nothing secret is printed, and after
// Close there is no request and no goroutine.
func TestEverythingAtOnce(t *testing.T) {
	const seed = 13
	synctest.Test(t, func(t *testing.T) {
		var dice sync.Mutex
		random := rand.New(rand.NewPCG(seed, seed))
		roll := func(n int) int {
			dice.Lock()
			defer dice.Unlock()
			return random.IntN(n)
		}
		var printed sync.Map
		see := func(values ...any) {
			for _, v := range values {
				text, _ := json.Marshal(v)
				printed.Store(fmt.Sprintf("%v %+v %#v %s", v, v, v, text), true)
			}
		}
		auth := &server{life: 20}
		auth.answer = func(*http.Request, url.Values) *http.Response {
			return []*http.Response{
				nil, nil, nil, nil, nil, nil,
				answerOf(503, testSecret, "Retry-After", "2"),
				answerOf(400, `{"error":"invalid_scope"}`),
				answerOf(200, `{"access_token":"opaque-`+testSecret+`","token_type":"DPoP"}`),
				answerOf(302, "", "Location", "https://evil.example.com/"),
				answerOf(200, `<html>`, "Content-Type", "text/html"),
				answerOf(200, `{"access_token":"opaque-short","token_type":"Bearer","expires_in":1}`),
			}[roll(12)]
		}
		var sent, opened, closed atomic.Int64
		base := roundTrip(func(r *http.Request) (*http.Response, error) {
			sent.Add(1)
			if r.Body != nil {
				defer r.Body.Close()
			}
			if r.Header.Get("Authorization") == "" {
				t.Error("a request without a token")
			}
			select {
			case <-r.Context().Done():
				return nil, r.Context().Err()
			case <-time.After(time.Duration(roll(1000)) * time.Millisecond):
			}
			switch roll(6) {
			case 0:
				return nil, errors.New("cut off after " + r.Header.Get("Authorization"))
			case 1:
				return nil, nil
			case 2, 3:
				return refusesAll(r), nil
			}
			return answerOf(200, ""), nil
		})
		s := newSource(t, auth, func(c *Config) {
			c.Observe = func(_ context.Context, e Event) { see(e, &e) }
			c.Secret = func(ctx context.Context) (string, error) {
				switch n := roll(10); {
				case auth.count() == 0: // or a few failures in a row would end all calls before the first request
				case n == 0:
					return "", errors.New("no secret")
				case n == 1:
					<-ctx.Done()
				}
				return testSecret, nil
			}
		})
		var calls sync.WaitGroup
		for i := range 100 {
			calls.Go(func() {
				of := s
				for range 20 {
					if i%2 == 0 {
						of = s.For([]string{testAPI, "", "urn:x", "::"}[roll(4)], fmt.Sprint("scope", roll(50)))
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(roll(20_000))*time.Millisecond)
					body := func() (io.ReadCloser, error) {
						opened.Add(1)
						return &onceBody{Reader: strings.NewReader("x"), closed: &closed}, nil
					}
					first, _ := body()
					r, err := http.NewRequestWithContext(ctx, http.MethodPost, testAPI, first)
					if err != nil {
						t.Error(err)
					}
					r.GetBody = body
					res, err := of.Transport(base).RoundTrip(r)
					see(res, err, of, of.Status())
					token, err := of.Token(ctx)
					see(token, &token, err, of.Ready(ctx))
					cancel()
				}
			})
		}
		time.Sleep(2 * time.Minute)
		for range 3 {
			calls.Go(func() { s.Close() })
		}
		calls.Wait()
		if opened.Load() != closed.Load() {
			t.Errorf("%d bodies, closed %d times", opened.Load(), closed.Load())
		}
		before := sent.Load() + int64(auth.count())
		time.Sleep(24 * time.Hour)
		if after := sent.Load() + int64(auth.count()); after != before || before == 0 {
			t.Errorf("%d requests after Close", after-before)
		}
		texts := 0
		printed.Range(func(text, _ any) bool {
			texts++
			for _, secret := range []string{testSecret, "Bearer token-", "opaque-", "\"token-"} {
				if strings.Contains(text.(string), secret) {
					t.Errorf("%q is in %.500s", secret, text)
					return false
				}
			}
			return true
		})
		if texts < 100 {
			t.Errorf("only %d texts", texts)
		}
	})
}
