package outbound

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var seen []Event
		next := func() (e Event) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(seen) == 0 {
				t.Fatal("there is no event")
			}
			e, seen = seen[0], seen[1:]
			return e
		}
		auth, orders := &server{takes: time.Second}, &api{}
		var unreadable error
		s := newSource(t, auth, func(c *Config) {
			c.Scopes = []string{"orders:read"}
			c.Secret = func(context.Context) (string, error) { return testSecret, unreadable }
			c.Observe = func(_ context.Context, e Event) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, e)
			}
		})
		longest(s) // no retry within a millisecond
		answers := func(status int, body string) func(s *server) {
			return func(s *server) { s.answer = alwaysAnswer(status, body) }
		}
		auth.set(answers(401, `{"error":"invalid_client"}`))
		_, _ = s.Token(t.Context())
		if e := next(); e.Op != event.OpFetchToken || e.Reason != event.CredentialRefused || e.Status != 401 || e.Code != "invalid_client" ||
			e.ClientID != "client" || e.URL != testTokenURL || e.Duration != time.Second || e.Err == nil || !slices.Equal(e.Audience, []string{testAPI}) || e.Scopes[0] != "orders:read" {
			t.Errorf("%+v", e)
		}
		for _, test := range []struct {
			change func(s *server)
			err    error
			want   event.Reason
		}{
			{answers(400, `{"error":"unauthorized_client"}`), nil, event.CredentialRefused},
			{answers(400, `{"error":"invalid_scope"}`), nil, event.InvalidScope},
			{answers(400, `{"error":"invalid_target"}`), nil, event.InvalidTarget},
			{answers(503, ``), nil, event.TokenUnavailable},
			{answers(503, ``), errors.New("no file"), event.SecretUnreadable},
			{func(s *server) { s.answer = nil }, nil, ""},
		} {
			time.Sleep(slowestDelay)
			unreadable = test.err
			auth.set(test.change)
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond) // no retries
			_, _ = s.Token(ctx)
			cancel()
			time.Sleep(time.Second)
			if e := next(); e.Op != event.OpFetchToken || e.Reason != test.want || (e.Err == nil) != (test.want == "") {
				t.Errorf("%+v, want %s", e, test.want)
			}
		}
		auth.set(answers(503, ``))
		wantAny(t, s)
		time.Sleep(41 * time.Minute)
		if e := next(); e.Reason != event.FetchFailed || e.Status != 503 {
			t.Errorf("%+v", e)
		}
		auth.set(func(s *server) { s.answer = nil })
		time.Sleep(longestDelay + time.Second)
		synctest.Wait()
		mu.Lock()
		seen = nil
		mu.Unlock()
		token, _ := s.Token(t.Context())
		orders.refuse(token.Text())
		if res, err := (&http.Client{Transport: s.Transport(orders)}).Get(testAPI + "/orders/1?key=private"); err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
		fetched, replayed := next(), next() // by two goroutines, in any order
		if fetched.Op == event.OpReplay {
			fetched, replayed = replayed, fetched
		}
		if e := fetched; e.Op != event.OpFetchToken || e.Reason != "" {
			t.Errorf("%+v", e)
		}
		if e := replayed; e.Op != event.OpReplay || e.Reason != event.TokenRefused || e.Status != 401 || e.Code != "invalid_token" || e.URL != testAPI {
			t.Errorf("%+v", e)
		}
	})
}

// Without an observer, changes are logged and repetitions are not.
func TestLog(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		var log syncBuffer
		before := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
		synctest.Test(t, func(t *testing.T) {
			auth := &server{}
			s := newSource(t, auth, func(c *Config) { c.Quiet = quiet })
			wantAny(t, s)
			auth.set(func(s *server) { s.answer = alwaysAnswer(503, "") })
			time.Sleep(50 * time.Minute) // many retries
			auth.set(func(s *server) { s.answer = nil })
			time.Sleep(2 * time.Minute)
			synctest.Wait()
		})
		slog.SetDefault(before)
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		switch {
		case quiet:
			if log.String() != "" {
				t.Errorf("quiet logs %q", lines)
			}
		case len(lines) != 2 || !strings.Contains(lines[0], "WARN msg=token.fetch reason=fetch_failed") || !strings.Contains(lines[1], "INFO msg=token.fetch"):
			t.Errorf("the log is %q", lines)
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}
