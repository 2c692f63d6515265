package outbound

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// hanging is a file whose reads hang until it is mended.
type hanging struct {
	mended  chan struct{}
	hangs   atomic.Bool
	readers atomic.Int64 // under way
	most    atomic.Int64
	reads   atomic.Int64
}

func (h *hanging) read(string) (string, error) {
	h.reads.Add(1)
	h.most.Store(max(h.most.Load(), h.readers.Add(1)))
	defer h.readers.Add(-1)
	if h.hangs.Load() {
		<-h.mended
	}
	return testSecret, nil
}

// events collects events.
type events struct {
	mu   sync.Mutex
	seen []Event
}

func (e *events) observe(_ context.Context, event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, event)
}

func (e *events) last() Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.seen) == 0 {
		return Event{}
	}
	return e.seen[len(e.seen)-1]
}

// A secret file that hangs before any token: fetches fail at their timeout, one reader
// waits, and Close does not.
func TestSecretFileHangsAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &hanging{mended: make(chan struct{})}
		disk.hangs.Store(true)
		auth, seen := &server{}, &events{}
		s := newSource(t, auth, func(c *Config) {
			c.Secret = (&secretFile{path: "secret", read: disk.read}).secret
			c.Observe = seen.observe
		})
		began := time.Now()
		_, err := s.Token(t.Context())
		wantUnavailable(t, err)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("the call took %v, want the timeout", took)
		}
		synctest.Wait()
		if e := seen.last(); e.Reason != event.SecretUnreadable || e.Err == nil {
			t.Errorf("%+v", e)
		}
		for i := range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, _ = s.For(testAPI, fmt.Sprint("s", i)).Token(ctx)
			cancel()
		}
		if auth.count() != 0 || disk.reads.Load() != 1 {
			t.Errorf("%d requests, %d reads", auth.count(), disk.reads.Load())
		}
		go func() { _, _ = s.Token(t.Context()) }()
		time.Sleep(longestDelay)
		began = time.Now()
		s.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %v", took)
		}
		close(disk.mended)
	})
}

// A secret file that hangs later: the last valid secret is used, and the event says so.
func TestSecretFileHangsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &hanging{mended: make(chan struct{})}
		auth, seen := &server{takes: time.Second}, &events{}
		s := newSource(t, auth, func(c *Config) {
			c.Secret = (&secretFile{path: "secret", read: disk.read}).secret
			c.Observe = seen.observe
		})
		wantToken(t, s, "token-1")
		disk.hangs.Store(true)
		for i := range 5 {
			began := time.Now()
			wantToken(t, s.For(testAPI, fmt.Sprint("s", i)), fmt.Sprint("token-", i+2))
			if took := time.Since(began); took != 3500*time.Millisecond {
				t.Errorf("the call took %v, want half of the timeout and 1 s", took)
			}
			synctest.Wait()
			if e := seen.last(); e.Reason != event.SecretUnreadable || e.Err == nil || !strings.Contains(e.Err.Error(), "last valid secret") {
				t.Errorf("%+v", e)
			}
		}
		if disk.most.Load() != 1 || disk.reads.Load() != 2 {
			t.Errorf("%d reads, %d at once", disk.reads.Load(), disk.most.Load())
		}
		if err := s.Status().LastError; err != nil {
			t.Errorf("the latest fetch got a token, and its error is %v", err)
		}
		disk.hangs.Store(false)
		close(disk.mended)
		wantToken(t, s.For(testAPI, "mended"), "token-7")
		synctest.Wait()
		if e := seen.last(); e.Reason != "" || e.Err != nil {
			t.Errorf("%+v", e)
		}
	})
}

// A SecretFunc that does not heed its context holds up neither its fetch nor Close, and is
// called once.
func TestSecretFuncHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mended, calls := make(chan struct{}), atomic.Int64{}
		auth := &server{}
		s := newSource(t, auth, func(c *Config) {
			c.Secret = func(context.Context) (string, error) {
				calls.Add(1)
				<-mended
				return testSecret, nil
			}
		})
		began := time.Now()
		_, err := s.Token(t.Context())
		wantUnavailable(t, err)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("the call took %v", took)
		}
		for range 10 {
			time.Sleep(longestDelay)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err = s.Token(ctx)
			cancel()
			if err == nil {
				t.Fatal("a token")
			}
		}
		if calls.Load() != 1 || !strings.Contains(s.Status().LastError.Error(), "has not returned") {
			t.Errorf("%d calls: %v", calls.Load(), s.Status().LastError)
		}
		close(mended)
		time.Sleep(longestDelay)
		wantAny(t, s)
		mended = make(chan struct{})
		go func() { _, _ = s.For(testAPI, "x").Token(context.Background()) }()
		synctest.Wait()
		began = time.Now()
		s.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %v", took)
		}
		close(mended)
	})
}

// Secret, metadata and token share one timeout.
func TestOneTimeoutForAFetch(t *testing.T) {
	for _, known := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			i := &issuer{}
			var slow atomic.Bool
			wait := func() {
				if slow.Load() {
					time.Sleep(2 * time.Second) // in spite of any context
				}
			}
			i.document = func(r *http.Request) (*http.Response, error) {
				if wait(); r.Context().Err() != nil {
					return nil, r.Context().Err()
				}
				return answerOf(200, fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q}`, testIssuer, testTokenURL)), nil
			}
			s := newSource(t, i, func(c *Config) {
				c.TokenURL, c.Issuer = "", testIssuer
				c.Secret = func(context.Context) (string, error) { wait(); return testSecret, nil }
			})
			if known {
				wantAny(t, s)
				s.family.fetcher.discovery.expire(testTokenURL)
			}
			slow.Store(true)
			i.server.set(func(s *server) { s.takes = 4 * time.Second })
			began := time.Now()
			_, err := s.For(testAPI, "x").Token(t.Context())
			wantUnavailable(t, err)
			if took := time.Since(began); took != 5*time.Second {
				t.Errorf("the call took %v, want the timeout", took)
			}
		})
	}
}

// secretServer is an authorization server that takes some secrets, and notes those that
// are tried.
type secretServer struct {
	server
	valid []string
	tried []string
}

func newSecretServer(valid ...string) *secretServer {
	s := &secretServer{valid: valid}
	s.answer = func(r *http.Request, _ url.Values) *http.Response {
		_, secret, _ := r.BasicAuth()
		s.tried = append(s.tried, secret)
		if !slices.Contains(s.valid, secret) {
			return answerOf(401, `{"error":"invalid_client"}`)
		}
		return answerOf(200, fmt.Sprintf(`{"access_token":"token-%d","token_type":"Bearer","expires_in":3600}`, len(s.tried)))
	}
	return s
}

// newAttempts returns the secrets that were tried since the last call.
func (s *secretServer) newAttempts() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Join(s.tried, " ")
	s.tried = nil
	return all
}

// fileSource is a Source whose secret is in a file.
func fileSource(t *testing.T, s *secretServer) (*Source, string, *events) {
	path, seen := filepath.Join(t.TempDir(), "secret"), &events{}
	return newSource(t, s, func(c *Config) { c.Secret, c.Observe = SecretFile(path), seen.observe }), path, seen
}

// A torn write is no last valid secret: only what the server has accepted is.
func TestTornSecretIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := newSecretServer("one", "two")
		s, path, seen := fileSource(t, auth)
		fetch := func(scope string) error { _, err := s.For(testAPI, scope).Token(t.Context()); return err }

		write(t, path, "o") // at the start, nothing is valid
		if fetch("a") == nil {
			t.Error("a token for a torn secret")
		}
		write(t, path, "")
		time.Sleep(slowDelay)
		wantUnavailable(t, fetch("a"))
		if got := auth.newAttempts(); got != "o" {
			t.Errorf("%q were tried", got)
		}
		write(t, path, "one")
		time.Sleep(longestDelay)
		if err := fetch("a"); err != nil {
			t.Error(err)
		}
		auth.newAttempts()

		write(t, path, "tw") // while another one is valid
		if err := fetch("b"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if e := seen.last(); e.Reason != event.CredentialRefused || e.Err == nil || !strings.Contains(e.Err.Error(), "former secret") {
			t.Errorf("%+v", e)
		}
		write(t, path, "")
		if err := fetch("c"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if e := seen.last(); e.Reason != event.SecretUnreadable || e.Err == nil {
			t.Errorf("%+v", e)
		}
		write(t, path, "two")
		if err := fetch("d"); err != nil {
			t.Error(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := fetch("e"); err != nil {
			t.Error(err)
		}
		if got := auth.newAttempts(); got != "tw one one two two" {
			t.Errorf("%q were tried", got)
		}
	})
}

// A former secret is tried once after a new one is refused, and never after it was refused
// itself.
func TestFormerSecretIsTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := newSecretServer("one")
		s, path, _ := fileSource(t, auth)
		write(t, path, "one")
		wantAny(t, s)
		write(t, path, "two")
		auth.set(func(*server) { auth.valid = nil })
		auth.newAttempts()
		for i := range 50 {
			_, err := s.For(testAPI, fmt.Sprint("s", i)).Token(t.Context())
			if e, ok := errors.AsType[*Error](err); !ok || e.Code != "invalid_client" {
				t.Errorf("the error is %v", err)
			}
		}
		if got := auth.newAttempts(); got != "two one" {
			t.Errorf("%q were tried", got)
		}
		for range 3 {
			time.Sleep(slowestDelay)
			if _, err := s.For(testAPI, "x").Token(t.Context()); err == nil {
				t.Error("a token")
			}
			if got := auth.newAttempts(); strings.Contains(got, "one") {
				t.Errorf("%q were tried", got)
			}
		}
		// Nor while the file cannot be read.
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(slowestDelay)
		_, err := s.For(testAPI, "x").Token(t.Context())
		wantUnavailable(t, err)
		if got := auth.newAttempts(); got != "" {
			t.Errorf("%q were tried", got)
		}
	})
}

// The former secret does not turn a refusal into a fast failure.
func TestFormerSecretFailsOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := newSecretServer("one")
		s, path, _ := fileSource(t, auth)
		write(t, path, "one")
		wantAny(t, s)
		write(t, path, "two")
		judge := auth.answer
		auth.set(func(s *server) {
			s.answer = func(r *http.Request, form url.Values) *http.Response {
				if _, secret, _ := r.BasicAuth(); secret == "one" {
					auth.tried = append(auth.tried, secret)
					return answerOf(503, "")
				}
				return judge(r, form)
			}
		})
		auth.newAttempts()
		for range 20 {
			_, err := s.For(testAPI, "x").Token(t.Context())
			if e, ok := errors.AsType[*Error](err); !ok || e.Code != "invalid_client" {
				t.Errorf("the error is %v", err)
			}
			time.Sleep(time.Second)
		}
		if got := auth.newAttempts(); got != "two one" {
			t.Errorf("%q were tried", got)
		}
	})
}

// Other refusals say nothing about the secret.
func TestOtherRefusalsKeepTheSecret(t *testing.T) {
	for _, answer := range []struct {
		status int
		body   string
	}{{401, "no"}, {400, `{"error":"unauthorized_client"}`}, {400, `{"error":"invalid_scope"}`}, {403, ""}, {503, `{"error":"invalid_client"}`}} {
		synctest.Test(t, func(t *testing.T) {
			auth := newSecretServer("one")
			s, path, _ := fileSource(t, auth)
			write(t, path, "one")
			wantAny(t, s)
			judge := auth.answer
			auth.set(func(s *server) { s.answer = alwaysAnswer(answer.status, answer.body) })
			_, _ = s.For(testAPI, "x").Token(t.Context())
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			auth.set(func(s *server) { s.answer = judge })
			time.Sleep(slowestDelay)
			wantAny(t, s.For(testAPI, "y"))
		})
	}
}

// A func of the app that changes what the file has gets no other secret tried.
func TestChangedSecretHasNoFormerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "secret")
		file := SecretFile(path)
		auth := newSecretServer("one-x")
		s := newSource(t, auth, func(c *Config) {
			c.Secret = func(ctx context.Context) (string, error) {
				secret, err := file(ctx)
				return secret + "-x", err
			}
		})
		write(t, path, "one")
		wantAny(t, s)
		write(t, path, "two")
		if _, err := s.For(testAPI, "x").Token(t.Context()); err == nil {
			t.Error("a token")
		}
		if got := auth.newAttempts(); got != "one-x two-x" {
			t.Errorf("%q were tried", got)
		}
	})
}
