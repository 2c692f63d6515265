package jwks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// Key sets that cannot be used: the set that is held serves until MaxStale. After that
// the answer is "unavailable", and never "unknown key".
func TestRemoteOfSetsInTrouble(t *testing.T) {
	other := jwkOf(1, map[string]any{"kid": "k9", "alg": "RS999"})
	for name, tt := range map[string]struct{ document, says string }{
		"empty":           {`{"keys":[]}`, "it is empty"},
		"nothing usable":  {setOf(other), `key "k9" is skipped: the algorithm "RS999"`},
		"null":            {`{"keys":null}`, `no "keys" array`},
		"{}":              {`{}`, `no "keys" array`},
		"a web page":      {"<html>maintenance</html>", `begins with "<html>main"`},
		"nothing":         {"", "document is empty"},
		"cut short":       {numbered(0)[:50], "cut short"},
		"of another type": {`["a"]`, "begins with"},
		"too many":        {`{"keys":[` + strings.Repeat("0,", 20000) + `0]}`, "more than 16384 keys"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, r := remoteOf(t, numbered(0), RemoteConfig{Quiet: true})
				key := mustKey(t, r, "k0")
				o.serve(tt.document, "Cache-Control", "max-age=600")
				time.Sleep(time.Until(r.Status().NextRefresh))
				mustNotWait(t, r, "k0")
				synctest.Wait()
				wantErr(t, r, "k1", ErrUnavailable)
				if mustNotWait(t, r, "k0") != key || r.Ready(t.Context()) != nil {
					t.Error("the set that is held does not serve")
				}
				if s := r.Status(); s.LastError == nil || !strings.Contains(s.LastError.Error(), tt.says) || s.Keys != 1 || s.URL != setURL {
					t.Errorf("status %+v, want an error that says %q", s, tt.says)
				}
				time.Sleep(time.Until(r.Status().StaleUntil))
				wantErr(t, r, "k0", ErrUnavailable)
				if err := r.Ready(t.Context()); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("Ready: %v", err)
				}
				o.serve(numbered(0), "Cache-Control", "max-age=600")
				time.Sleep(blindRetry)
				if mustKey(t, r, "k0") != key {
					t.Error("another pointer")
				}

				first := NewRemote(setURL, RemoteConfig{Client: &http.Client{Transport: originOf(tt.document)}, Quiet: true})
				defer first.Close()
				wantErr(t, first, "k0", ErrUnavailable)
				if _, err := first.Key(t.Context(), "k0", ""); !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// Status names the entries that are skipped, in a set that serves and in one in
// which nothing is usable.
func TestRemoteStatusNamesSkippedKeys(t *testing.T) {
	bad := jwkOf(1, map[string]any{"kid": "too-new", "alg": "RS999"})
	for _, document := range []string{setOf(bad), setOf(bad, jwkOf(0, map[string]any{"kid": "k0"}))} {
		for range 200 { // a call ends while its fetch is being reported
			r := NewRemote(setURL, RemoteConfig{Client: &http.Client{Transport: originOf(document)}, Quiet: true})
			_, _ = r.Key(t.Context(), "k0", "")
			if s := r.Status().Skipped; len(s) != 1 || s[0].KeyID != "too-new" || !strings.Contains(s[0].Err.Error(), "RS999") {
				t.Fatalf("%v", s)
			}
			if _, err := r.Key(t.Context(), "too-new", ""); !strings.Contains(err.Error(), "RS999") {
				t.Fatalf("a token of a skipped key: %v", err)
			}
			_ = r.Close()
		}
	}
}

// A fixed set in which nothing is usable says why.
func TestFixedOfUnusableKeys(t *testing.T) {
	f := NewFixed(sure(jose.ParseSet([]byte(setOf(jwkOf(1, map[string]any{"kid": "a", "alg": "RS999"}))), nil)))
	if _, err := f.Key(t.Context(), "a", "ES256"); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "RS999") {
		t.Errorf("%v", err)
	}
	if err := f.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Ready: %v", err)
	}
	both := NewFixed(sure(jose.ParseSet([]byte(setOf(jwkOf(1, map[string]any{"kid": "a", "alg": "RS999"}), jwkOf(0, map[string]any{"kid": "b"}))), nil)))
	if _, err := both.Key(t.Context(), "a", "ES256"); !errors.Is(err, ErrUnknownKey) || !strings.Contains(err.Error(), "RS999") {
		t.Errorf("a token of a skipped key: %v", err)
	}
	if err := NewFixed(sure(jose.ParseSet([]byte(numbered(0)), nil))).Ready(t.Context()); err != nil {
		t.Errorf("Ready: %v", err)
	}
}

// suspend lets d pass for the wall clock alone, as a machine's sleep does: all times
// that the Remote holds become so much older. In a time with a monotonic reading, the
// wall clock's seconds begin at bit 30.
func suspend(r *Remote, d time.Duration) {
	age := func(t time.Time) time.Time {
		if t != t.Round(0) {
			*(*uint64)(unsafe.Pointer(&t)) -= uint64(d/time.Second) << 30
		}
		return t
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.due, r.waitFrom, r.askAfter = age(r.due), age(r.waitFrom), age(r.askAfter)
	if h := r.current.Load(); h != nil {
		s := *h
		s.fetchedAt, s.expiresAt, s.staleUntil, s.until = age(s.fetchedAt), age(s.expiresAt), age(s.staleUntil), age(s.until)
		r.current.Store(&s)
	}
}

// After a suspend of two hours the held set is not trusted, and Status does not call it
// fresh. This runs on the real clock, because the fake clock is never suspended.
func TestRemoteAfterSuspend(t *testing.T) {
	t.Run("a dropped key", func(t *testing.T) {
		o, r := remoteOf(t, numbered(0), RemoteConfig{})
		mustKey(t, r, "k0")
		suspend(r, 2*time.Hour)
		if r.Status().Fresh {
			t.Error("Status says that the set is fresh")
		}
		o.serve(numbered(1), "Cache-Control", "max-age=600")
		wantErr(t, r, "k0", ErrUnknownKey)
		mustKey(t, r, "k1")
		if !r.Status().Fresh {
			t.Error("Status does not say that the new set is fresh")
		}
	})
	t.Run("within MaxStale, the issuer away", func(t *testing.T) {
		o, r := remoteOf(t, numbered(0), RemoteConfig{Quiet: true})
		mustKey(t, r, "k0")
		suspend(r, 30*time.Minute)
		o.down.Store(true)
		for range 3 {
			mustKey(t, r, "k0")
		}
		if r.Status().Failures == 0 {
			t.Error("nothing was fetched")
		}
	})
	t.Run("beyond MaxStale, the issuer away", func(t *testing.T) {
		o, r := remoteOf(t, numbered(0), RemoteConfig{Quiet: true})
		mustKey(t, r, "k0")
		suspend(r, 2*time.Hour)
		o.down.Store(true)
		for range 3 {
			wantErr(t, r, "k0", ErrUnavailable)
		}
		o.down.Store(false)
		time.Sleep(time.Until(r.Status().NextRefresh))
		mustKey(t, r, "k0")
	})
}

// logged returns what slog.Default got since the last call.
func logged(t *testing.T) func() string {
	t.Helper()
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return func() string {
		defer out.Reset()
		return out.String()
	}
}

// Without an observer, changes are logged, and not each fetch.
func TestRemoteLogsChanges(t *testing.T) {
	log := logged(t)
	synctest.Test(t, func(t *testing.T) {
		o, r := remoteOf(t, numbered(0), RemoteConfig{})
		want := func(when string, lines int, parts ...string) {
			t.Helper()
			synctest.Wait()
			got := log()
			if strings.Count(got, "\n") != lines {
				t.Errorf("%s: logged %q, want %d lines", when, got, lines)
			}
			for _, part := range parts {
				if !strings.Contains(got, part) {
					t.Errorf("%s: logged %q, without %q", when, got, part)
				}
			}
		}
		run := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); {
				time.Sleep(time.Second)
				_, _ = r.Key(t.Context(), "k0", "")
			}
		}
		mustKey(t, r, "k0")
		run(time.Hour)
		want("while all is well", 0)
		o.down.Store(true)
		run(time.Until(r.Status().ExpiresAt) - 2*time.Second)
		want("it fails", 1, "level=WARN", "msg=key.fetch", "reason=fetch_failed", "url="+setURL, "connection refused")
		run(3 * time.Minute)
		want("the set is stale", 1, "level=WARN", "reason=fetch_failed")
		run(2 * time.Hour)
		want("nothing serves", 1, "level=WARN", "reason=keys_unavailable")
		o.down.Store(false)
		run(time.Hour)
		want("it is back", 1, "level=INFO", "msg=key.fetch")
		o.serve(setOf(jwkOf(0, map[string]any{"kid": "k0"}), jwkOf(1, map[string]any{"kid": "new", "alg": "RS999"})), "Cache-Control", "max-age=600")
		run(time.Hour)
		want("an entry is skipped", 1, "level=WARN", "reason=key_skipped", "new", "RS999")
		o.serve(numbered(0), "Cache-Control", "max-age=600")
		run(time.Hour)
		want("it is no more", 0)

		_, quiet := remoteOf(t, "<html>", RemoteConfig{Quiet: true})
		wantErr(t, quiet, "k0", ErrUnavailable)
		want("Quiet", 0)
		_, first := remoteOf(t, "<html>", RemoteConfig{})
		wantErr(t, first, "k0", ErrUnavailable)
		want("the first fetch", 1, "reason=keys_unavailable")
	})
}

// An observer gets one event about skipped entries.
func TestRemoteObservesSkippedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var listener listener
		o, r := remoteOf(t, setOf(jwkOf(0, map[string]any{"kid": "k0"}), nil), RemoteConfig{Observe: listener.observe})
		for range 100 {
			mustKey(t, r, "k0")
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		heard, skipped := listener.take(), 0
		for _, e := range heard {
			if e.Reason == event.KeySkipped {
				skipped++
			} else if e.Err != nil {
				t.Errorf("%+v", e)
			}
		}
		if skipped != 1 || len(heard) != int(o.hits.Load())+1 {
			t.Errorf("%d events, %d of them of skipped entries", len(heard), skipped)
		}
	})
}

// The first address of the metadata never answers; the second one does, at once.
func TestIssuerRemoteOfAnAddressThatHangs(t *testing.T) {
	const issuer = "https://auth.example.com"
	synctest.Test(t, func(t *testing.T) {
		o := &origin{}
		o.handle(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.Contains(r.URL.Path, "oauth-authorization-server"):
				<-r.Context().Done()
			case strings.Contains(r.URL.Path, "openid-configuration"):
				_, _ = io.WriteString(w, metadataOf(issuer, issuer+"/keys"))
			default:
				_, _ = io.WriteString(w, numbered(0))
			}
		})
		r := NewIssuerRemote(issuer, RemoteConfig{Client: &http.Client{Transport: o}, Timeout: 2 * time.Second})
		defer r.Close()
		began := time.Now()
		if err := r.Ready(t.Context()); err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// A set of 10 000 keys over the network.
func TestRemoteOfTenThousandKeys(t *testing.T) {
	keys := make([]any, 10_000)
	for i := range keys {
		keys[i] = jwkOf(0, map[string]any{"kid": fmt.Sprint("k", i), "alg": "ES256", "use": "sig", "x5t": strings.Repeat("a", 27)})
	}
	document := setOf(keys...)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, document) }))
	defer server.Close()
	r := NewRemote(server.URL, RemoteConfig{Timeout: time.Minute})
	defer r.Close()
	mustKey(t, r, "k0")
	mustKey(t, r, "k9999")
	if n := r.Status().Keys; n != len(keys) {
		t.Errorf("%d keys", n)
	}
}
