package outbound

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A new secret in the file is tried at the next call, and not only after the delay of the
// refusal, which is up to 5 min. Each content is tried once.
func TestChangedFileEndsTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := newSecretServer("right")
		s, path, _ := fileSource(t, auth)
		calls := func(what, tried string) {
			t.Helper()
			for range 20 {
				_, _ = s.Token(t.Context())
			}
			if got := auth.newAttempts(); got != tried {
				t.Errorf("%s: %q were tried, want %q", what, got, tried)
			}
		}
		write(t, path, "wrong")
		calls("wrong", "wrong")
		time.Sleep(2 * secretPoll)
		calls("the same file", "")
		write(t, path, "wrong\n")
		time.Sleep(secretPoll)
		calls("the same secret", "")
		write(t, path, "wro\nng")
		time.Sleep(secretPoll)
		calls("no secret", "")
		write(t, path, "other")
		time.Sleep(secretPoll)
		calls("another wrong one", "other")
		write(t, path, "wrong")
		time.Sleep(secretPoll)
		calls("one that was tried", "")
		write(t, path, "right")
		time.Sleep(secretPoll)
		calls("the right one", "right")
		if err := s.Ready(t.Context()); err != nil || s.Status().Failed != 0 {
			t.Errorf("%v, %+v", err, s.Status())
		}
	})
}

// A file that changes all the time does not lock the client out.
func TestFileThatAlwaysChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := newSecretServer("right")
		s, path, _ := fileSource(t, auth)
		s.family.random = func(n time.Duration) time.Duration { return n - 1 } // the longest delays
		for i := range 60 {
			write(t, path, fmt.Sprint("wrong", i))
			_, _ = s.Token(t.Context())
			time.Sleep(time.Second)
		}
		if got := len(strings.Fields(auth.newAttempts())); got > maxRefused+1 {
			t.Errorf("%d tries in a minute", got)
		}
	})
}

// After rotate-secret -revoke the token in hand is refused as well: calls get another one
// when the file has the new secret, whether they ask for a token or send a request.
func TestChangedFileWithARefusedToken(t *testing.T) {
	for _, way := range []string{"requests", "Ready", "Token", "requests of another Source of For"} {
		synctest.Test(t, func(t *testing.T) {
			auth, orders := newSecretServer("old"), &api{}
			s, path, _ := fileSource(t, auth)
			other := s.For(testAPI, "other")
			send := func(s *Source) int {
				res, err := (&http.Client{Transport: s.Transport(orders)}).Get(testAPI)
				if err != nil {
					return 0
				}
				return res.StatusCode
			}
			write(t, path, "old")
			if send(s) != 200 || send(other) != 200 {
				t.Fatal("no token")
			}
			life := time.Hour
			orders.refuse("token-1", "token-2")
			auth.set(func(*server) { auth.valid = []string{"new"} })
			for range 6 {
				if got := send(s); got != 401 {
					t.Errorf("status %d with a revoked token", got)
				}
				time.Sleep(time.Second)
			}
			write(t, path, "new")
			time.Sleep(secretPoll)
			switch way {
			case "requests":
				if got := send(s); got != 200 {
					t.Errorf("status %d with the new secret in the file", got)
				}
			case "Ready":
				if err := s.Ready(t.Context()); err != nil {
					t.Error(err)
				}
			case "Token":
				time.Sleep(life) // so that none is held
				if _, err := s.Token(t.Context()); err != nil {
					t.Error(err)
				}
			default:
				if got := send(other); got != 200 {
					t.Errorf("status %d with the new secret in the file", got)
				}
				if got := send(s); got != 200 {
					t.Errorf("status %d after another Source got a token", got)
				}
			}
			if got := auth.newAttempts(); !strings.HasPrefix(got, "old old old new") || strings.Count(got, "old") != 3 {
				t.Errorf("%s: %q were tried", way, got)
			}
		})
	}
}

// What ends no delay: Retry-After, a file that hangs, other refusals, other SecretFuncs.
func TestChangedFileThatEndsNoDelay(t *testing.T) {
	for name, answer := range map[string]*http.Response{
		"Retry-After":         answerOf(401, `{"error":"invalid_client"}`, "Retry-After", "240"),
		"unauthorized_client": answerOf(400, `{"error":"unauthorized_client"}`),
		"a firewall":          answerOf(403, ""),
	} {
		synctest.Test(t, func(t *testing.T) {
			auth := newSecretServer("right")
			s, path, _ := fileSource(t, auth)
			auth.set(func(s *server) {
				s.answer = func(*http.Request, url.Values) *http.Response {
					auth.tried = append(auth.tried, "one")
					return answer
				}
			})
			write(t, path, "first")
			_, _ = s.Token(t.Context())
			write(t, path, "second")
			time.Sleep(2 * time.Second)
			_, err := s.Token(t.Context())
			if got := auth.newAttempts(); got != "one" || err == nil {
				t.Errorf("%s: %q were tried, %v", name, got, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		disk, auth := &hanging{mended: make(chan struct{})}, newSecretServer("right")
		s := newSource(t, auth, func(c *Config) { c.Secret = (&secretFile{path: "secret", read: disk.read}).secret })
		_, _ = s.Token(t.Context())
		disk.hangs.Store(true)
		time.Sleep(time.Minute / 4)
		var calls sync.WaitGroup
		began := time.Now()
		for range 50 {
			calls.Go(func() {
				if _, err := s.Token(t.Context()); err == nil || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a file that hangs: %v", err)
				}
			})
		}
		calls.Wait()
		if took := time.Since(began); took > secretPollWait || auth.newAttempts() != testSecret || disk.reads.Load() > 2 {
			t.Errorf("the calls took %v, and %d reads", took, disk.reads.Load())
		}
		close(disk.mended)
	})
}

// Another Source with the same file has delays of its own.
func TestChangedFileOfTwoSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "secret")
		file, auth := SecretFile(path), newSecretServer("right")
		write(t, path, "wrong")
		one := newSource(t, auth, func(c *Config) { c.Secret = file })
		two := newSource(t, auth, func(c *Config) { c.Secret = file })
		_, _ = one.Token(t.Context())
		_, _ = two.Token(t.Context())
		write(t, path, "right")
		time.Sleep(secretPoll)
		for _, s := range []*Source{one, two} {
			if _, err := s.Token(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if got := auth.newAttempts(); got != "wrong wrong right right" {
			t.Errorf("%q were tried", got)
		}
	})
}
