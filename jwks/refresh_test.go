package jwks

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRemoteUnknownKeys(t *testing.T) {
	t.Run("one after another", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			mustKey(t, r, "k0")
			for i := range 1000 {
				wantErr(t, r, fmt.Sprint("forged", i), ErrUnknownKey)
			}
			o.wantHits(t, 2)

			// The limit is used up. Known keys are still found, and a new key is
			// found when the Cooldown is over.
			o.serve(numbered(0, 1), "Cache-Control", "max-age=600")
			mustNotWait(t, r, "k0")
			wantErr(t, r, "k1", ErrUnknownKey)
			o.wantHits(t, 2)
			time.Sleep(30*time.Second - time.Nanosecond)
			wantErr(t, r, "k1", ErrUnknownKey)
			time.Sleep(time.Nanosecond)
			mustKey(t, r, "k1")
			o.wantHits(t, 3)
		})
	})
	t.Run("at once, the first requests", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			o.delay.Store(int64(time.Second))
			var all sync.WaitGroup
			for i := range 1000 {
				all.Go(func() { wantErr(t, r, fmt.Sprint("forged", i), ErrUnknownKey) })
			}
			all.Wait()
			if hits := o.hits.Load(); hits > 2 {
				t.Fatalf("%d fetches", hits)
			}
		})
	})
	t.Run("a rotated key is found while forgeries go on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			mustKey(t, r, "k0")
			wantErr(t, r, "forged", ErrUnknownKey)
			o.serve(numbered(0, 1), "Cache-Control", "max-age=600")
			for range 29 {
				time.Sleep(time.Second)
				wantErr(t, r, "forged", ErrUnknownKey)
				wantErr(t, r, "k1", ErrUnknownKey)
			}
			time.Sleep(time.Second)
			wantErr(t, r, "forged", ErrUnknownKey) // the fetch for the forged key is for all
			mustNotWait(t, r, "k1")
			o.wantHits(t, 3)
		})
	})
	t.Run("an answer older than the question", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, "", RemoteConfig{})
			var published atomic.Value
			published.Store(numbered(0))
			o.handle(func(w http.ResponseWriter, _ *http.Request) {
				body := published.Load().(string)
				time.Sleep(400 * time.Millisecond)
				_, _ = io.WriteString(w, body)
			})
			go func() { _ = r.Ready(t.Context()) }()
			time.Sleep(200 * time.Millisecond)
			published.Store(numbered(0, 1))
			mustKey(t, r, "k1") // not in the answer under way: fetches again
			o.wantHits(t, 2)
		})
	})
	t.Run("the empty key id causes no fetch", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			for range 10 {
				wantErr(t, r, "", ErrUnknownKey)
			}
			o.wantHits(t, 1)
			wantErr(t, r, "forged", ErrUnknownKey)
			o.wantHits(t, 2) // the limit was not used
		})
	})
	t.Run("no HTTP cache answers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			var sent []string
			o.handle(func(w http.ResponseWriter, req *http.Request) {
				sent = append(sent, req.Header.Get("Cache-Control"))
				_, _ = io.WriteString(w, numbered(0))
			})
			mustKey(t, r, "k0")
			wantErr(t, r, "forged", ErrUnknownKey)
			if fmt.Sprint(sent) != "[ no-cache]" {
				t.Fatalf("Cache-Control sent: %q", sent)
			}
		})
	})
}

// Fetches for forged keys do not change the schedule, even if they fail.
func TestRemoteUnknownKeysDuringOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r := remoteOf(t, numbered(0), RemoteConfig{})
		mustKey(t, r, "k0")
		before := r.Status()
		o.delay.Store(int64(time.Hour)) // hangs
		for range 10 {
			start := time.Now()
			done := make(chan struct{})
			go func() {
				defer close(done)
				wantErr(t, r, "forged", ErrUnavailable) // it could be a new key
			}()
			synctest.Wait()
			mustNotWait(t, r, "k0")
			<-done
			if waited := time.Since(start); waited != longestWait {
				t.Fatalf("the call for a forged key waited %v", waited)
			}
			for range 4 { // while it hangs, and when it has failed
				wantErr(t, r, "forged", ErrUnavailable)
				if waited := time.Since(start).Truncate(time.Second); waited != time.Since(start) {
					t.Fatalf("the second forgery waited, %v", waited)
				}
				time.Sleep(2 * time.Second)
			}
			time.Sleep(30*time.Second - time.Since(start))
		}
		o.wantHits(t, 11)
		after := r.Status()
		if !after.NextRefresh.Equal(before.NextRefresh) || !after.ExpiresAt.Equal(before.ExpiresAt) || !after.Fresh {
			t.Fatalf("the schedule changed: from %+v to %+v", before, after)
		}

		// A refresh that is due while a forgery's fetch hangs uses that fetch.
		time.Sleep(time.Until(before.NextRefresh) - time.Second)
		go func() { _, _ = r.Key(t.Context(), "forged", "") }()
		synctest.Wait()
		time.Sleep(2 * time.Second)
		mustNotWait(t, r, "k0")
		o.wantHits(t, 12)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if next := r.Status().NextRefresh; !next.After(time.Now()) || next.After(time.Now().Add(time.Second)) {
			t.Fatalf("next refresh in %v", time.Until(next))
		}
	})
}

// One call a second for two hours, with a healthy issuer and with one that stops
// answering. No call may wait, and the set must serve for exactly its lifetime.
func TestRemoteKnownKeyNeverWaits(t *testing.T) {
	t.Run("refreshes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			key := mustKey(t, r, "k0")
			o.delay.Store(int64(4 * time.Second))
			for range 2 * 3600 {
				time.Sleep(time.Second)
				if mustNotWait(t, r, "k0") != key {
					t.Fatal("another pointer for the same key")
				}
				if !r.Status().Fresh {
					t.Fatalf("the set expired: %+v", r.Status())
				}
			}
			// Each set lives 596 s from its arrival (RFC 9111: the 4 s it took count),
			// and is refreshed at 80 to 90 % of that.
			if hits := o.hits.Load(); hits < 13 || hits > 16 {
				t.Fatalf("%d fetches in two hours", hits)
			}
		})
	})
	for name, fail := range map[string]func(*origin){
		"outage": func(o *origin) { o.down.Store(true) },
		"hang":   func(o *origin) { o.delay.Store(int64(24 * time.Hour)) },
		"errors": func(o *origin) { o.status(http.StatusInternalServerError, numbered(1)) },
		"html":   func(o *origin) { o.serve("<html>moved</html>", "Content-Type", "text/html") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, r := remoteOf(t, numbered(0), RemoteConfig{MaxStale: 30 * time.Minute})
				key := mustKey(t, r, "k0")
				fail(o)
				end := r.Status().StaleUntil
				if want := time.Now().Add(40 * time.Minute); !end.Equal(want) {
					t.Fatalf("stale until %v, want %v", end, want)
				}
				for time.Until(end) > time.Second {
					time.Sleep(time.Second)
					if mustNotWait(t, r, "k0") != key {
						t.Fatal("another pointer for the same key")
					}
				}
				status := r.Status()
				if status.Fresh || status.LastError == nil || status.Failures == 0 || status.Failures+2 < status.Fetches {
					t.Fatalf("status %+v", status)
				}
				// 32 minutes at one a minute, more in the first one, each up to 5 s long.
				if hits := o.hits.Load(); hits < 28 || hits > 75 {
					t.Fatalf("%d fetches", hits)
				}
				time.Sleep(time.Second - time.Nanosecond)
				mustNotWait(t, r, "k0")
				time.Sleep(time.Nanosecond)
				wantErr(t, r, "k0", ErrUnavailable) // not a nanosecond longer
				wantErr(t, r, "forged", ErrUnavailable)

				// The issuer answers again: the same key has the same pointer.
				o.down.Store(false)
				o.delay.Store(0)
				o.serve(numbered(0))
				time.Sleep(longestRetry + 5*time.Second)
				if mustKey(t, r, "k0") != key {
					t.Fatal("another pointer for the same key")
				}
				if status := r.Status(); !status.Fresh || status.LastError != nil {
					t.Fatalf("status %+v", status)
				}
			})
		})
	}
}

// A Remote that had no call for longer than the set lives fetches before it trusts the
// set.
func TestRemoteIdle(t *testing.T) {
	t.Run("removed key", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			mustKey(t, r, "k0")
			o.serve(numbered(1))
			o.delay.Store(int64(time.Second))
			time.Sleep(10 * time.Minute)
			wantErr(t, r, "k0", ErrUnknownKey)
			o.wantHits(t, 2)
			mustNotWait(t, r, "k1")
		})
	})
	t.Run("outage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			key := mustKey(t, r, "k0")
			o.delay.Store(int64(time.Hour))
			time.Sleep(10 * time.Minute)
			start := time.Now()
			if mustKey(t, r, "k0") != key || time.Since(start) != 5*time.Second {
				t.Fatalf("served after %v, want one attempt of 5 s", time.Since(start))
			}
			for range 120 { // no call waits for the retries
				time.Sleep(time.Second)
				mustNotWait(t, r, "k0")
			}
			// No call until after the next retry: a call waits for it.
			time.Sleep(20 * time.Minute)
			o.delay.Store(0)
			o.serve(numbered(1))
			wantErr(t, r, "k0", ErrUnknownKey)
		})
	})
	t.Run("refresh failed long before the end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, "", RemoteConfig{})
			o.serve(numbered(0), "Cache-Control", "max-age=86400")
			mustKey(t, r, "k0")
			o.delay.Store(int64(time.Hour))
			time.Sleep(22 * time.Hour)
			mustNotWait(t, r, "k0")
			time.Sleep(time.Hour) // without a call
			mustNotWait(t, r, "k0")
			synctest.Wait()
			o.wantHits(t, 3)
		})
	})
	t.Run("without end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			mustKey(t, r, "k0")
			time.Sleep(1000 * time.Hour)
			o.down.Store(true)
			wantErr(t, r, "k0", ErrUnavailable)
			o.wantHits(t, 2)
		})
	})
	t.Run("stale runs out while waiting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{MaxStale: 2 * time.Second})
			mustKey(t, r, "k0")
			o.delay.Store(int64(time.Hour))
			time.Sleep(10*time.Minute + time.Second)
			wantErr(t, r, "k0", ErrUnavailable)
		})
	})
}

func TestRemoteRotation(t *testing.T) {
	// refresh waits until the next one is over.
	refresh := func(t *testing.T, r *Remote) {
		t.Helper()
		time.Sleep(time.Until(r.Status().NextRefresh))
		mustNotWait(t, r, "k0") // the set it has still serves
		synctest.Wait()
	}
	t.Run("removed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0, 1), RemoteConfig{})
			mustKey(t, r, "k0")
			o.serve(numbered(1))
			refresh(t, r)
			wantErr(t, r, "k0", ErrUnknownKey)
			mustNotWait(t, r, "k1")
		})
	})
	t.Run("unchanged", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0, 1), RemoteConfig{})
			k0, k1 := mustKey(t, r, "k0"), mustKey(t, r, "k1")
			o.serve(numbered(2, 1, 0))
			refresh(t, r)
			if mustNotWait(t, r, "k0") != k0 || mustNotWait(t, r, "k1") != k1 {
				t.Fatal("another pointer for the same key")
			}
		})
	})
	t.Run("same kid, another key", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			old := mustKey(t, r, "k0")
			o.serve(setOf(jwkOf(1, map[string]any{"kid": "k0", "alg": "ES256"})))
			refresh(t, r)
			key := mustNotWait(t, r, "k0")
			if key == old || !jwkPool()[1].Equal(key.Public()) {
				t.Fatal("the old key is found under the kid of the new one")
			}
		})
	})
}
