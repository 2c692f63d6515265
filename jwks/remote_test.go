package jwks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

func TestRemoteRefusesConfiguration(t *testing.T) {
	for _, test := range []struct {
		url    string
		config RemoteConfig
		says   string
	}{
		{"", RemoteConfig{}, "write https://"},
		{"auth.example.com/jwks.json", RemoteConfig{}, "write https://"},
		{"ftp://auth.example.com/jwks.json", RemoteConfig{}, "write https://"},
		{"https:///jwks.json", RemoteConfig{}, "write https://"},
		{"https://auth.example.com/%zz", RemoteConfig{}, "invalid URL escape"},
		{"http://auth.example.com/jwks.json", RemoteConfig{}, "InsecureHTTP"},
		{"http://10.0.0.1/jwks.json", RemoteConfig{}, "InsecureHTTP"},
		{"https://me:secret@auth.example.com/jwks.json", RemoteConfig{}, "without them"},
		{"https://169.254.169.254/jwks.json", RemoteConfig{}, "no issuer can be at"},
		{setURL, RemoteConfig{Cooldown: -1}, "RemoteConfig.Cooldown"},
		{setURL, RemoteConfig{Cooldown: 13 * time.Hour}, "RemoteConfig.Cooldown"},
		{setURL, RemoteConfig{MaxStale: -1}, "RemoteConfig.MaxStale"},
		{setURL, RemoteConfig{Timeout: -1}, "RemoteConfig.Timeout"},
	} {
		o := originOf(numbered(0))
		test.config.Client = &http.Client{Transport: o}
		r := NewRemote(test.url, test.config)
		for range 2 {
			_, err := r.Key(t.Context(), "k0", "")
			if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%q %+v: %v, want ErrUnavailable that says %q", test.url, test.config, err, test.says)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%v contains a secret", err)
			}
		}
		if err := r.Status().LastError; !errors.Is(err, ErrUnavailable) {
			t.Errorf("%q: Status().LastError is %v", test.url, err)
		}
		o.wantHits(t, 0)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Only the transport of RemoteConfig.Client is used.
func TestRemoteClient(t *testing.T) {
	o := originOf(numbered(0))
	r := NewRemote(setURL, RemoteConfig{Client: &http.Client{Transport: o, Timeout: 1}})
	defer r.Close()
	mustKey(t, r, "k0")
}

// One kid may name keys of several algorithms. A token for another one asks for a
// key that is not there.
func TestRemoteOfOneKidForTwoAlgorithms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := sure(jose.NewSet(
			sure(jose.NewKey(testKeys()["RS256"].Key().Public(), "RS256", "a")),
			sure(jose.NewKey(testKeys()["RS256"].Key().Public(), "RS512", "a")),
			sure(jose.NewKey(testKeys()["EdDSA"].Key().Public(), "EdDSA", "a"))))
		o, r := remoteOf(t, string(sure(set.MarshalJSON())), RemoteConfig{})
		for alg, want := range map[string]string{"RS256": "RS256", "RS512": "RS512", "EdDSA": "EdDSA", "Ed25519": "EdDSA"} {
			if key := sure(r.Key(t.Context(), "a", alg)); key.Algorithm() != want || key != sure(r.Key(t.Context(), "a", alg)) {
				t.Errorf("%s: %s", alg, key.Algorithm())
			}
		}
		o.wantHits(t, 1)
		for _, alg := range []string{"ES256", "RS384", ""} {
			if key, err := r.Key(t.Context(), "a", alg); key != nil || !errors.Is(err, ErrUnknownKey) {
				t.Errorf("%q: %v, %v", alg, key, err)
			}
		}
		o.wantHits(t, 2) // one for each Cooldown
	})
}

func TestRemoteIsLazy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r := remoteOf(t, numbered(0, 1), RemoteConfig{})
		time.Sleep(24 * time.Hour)
		o.wantHits(t, 0)
		if s := r.Status(); s.Fresh || s.Keys != 0 || s.Skipped != nil || s.LastError != nil || s.Fetches != 0 || s.Failures != 0 ||
			!s.FetchedAt.IsZero() || !s.ExpiresAt.IsZero() || !s.StaleUntil.IsZero() || !s.NextRefresh.IsZero() {
			t.Fatalf("status before the first use: %+v", s)
		}
		start := time.Now()
		mustKey(t, r, "k0")
		mustKey(t, r, "k1")
		o.wantHits(t, 1)
		status := r.Status()
		if !status.Fresh || status.Keys != 2 || status.Fetches != 1 || status.Failures != 0 || status.LastError != nil ||
			!status.FetchedAt.Equal(start) || !status.ExpiresAt.Equal(start.Add(10*time.Minute)) ||
			!status.StaleUntil.Equal(start.Add(70*time.Minute)) {
			t.Fatalf("status %+v", status)
		}
		time.Sleep(24 * time.Hour) // no call, so no fetch
		o.wantHits(t, 1)
		if status := r.Status(); status.Fresh {
			t.Fatalf("status %+v", status)
		}
	})
}

func TestRemoteThousandFirstRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r := remoteOf(t, numbered(0), RemoteConfig{})
		o.delay.Store(int64(time.Second))
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if _, err := r.Key(t.Context(), "k0", ""); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		o.wantHits(t, 1)
	})
}

func TestRemoteCancelledCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r := remoteOf(t, numbered(0), RemoteConfig{})
		o.delay.Store(int64(2 * time.Second))
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { // the caller that starts the fetch
			if _, err := r.Key(ctx, "k0", ""); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) {
				t.Errorf("cancelled caller: %v", err)
			}
		})
		synctest.Wait()
		for range 10 {
			all.Go(func() {
				if _, err := r.Key(t.Context(), "k0", ""); err != nil {
					t.Error(err)
				}
			})
		}
		all.Go(func() {
			short, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			if _, err := r.Key(short, "k0", "ES256"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
				t.Errorf("caller with a deadline: %v after %v", err, time.Since(start))
			}
		})
		synctest.Wait()
		cancel()
		all.Wait()
		o.wantHits(t, 1)
	})
	t.Run("alone", func(t *testing.T) { // the answer is still kept
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			o.delay.Store(int64(2 * time.Second))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, _ = r.Key(ctx, "k0", "")
			time.Sleep(time.Second)
			synctest.Wait()
			mustNotWait(t, r, "k0")
			o.wantHits(t, 1)
		})
	})
}

func TestRemoteReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r := remoteOf(t, numbered(0), RemoteConfig{})
		o.down.Store(true)
		if err := r.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		o.down.Store(false)
		for range 10 {
			if err := r.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		o.wantHits(t, 2)
		for range 3600 { // a probe keeps the set fresh
			time.Sleep(time.Second)
			if err := r.Ready(t.Context()); err != nil || !r.Status().Fresh {
				t.Fatalf("%v, %+v", err, r.Status())
			}
		}
		o.down.Store(true)
		time.Sleep(2 * time.Hour)
		if err := r.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	})
}

func TestRemoteClose(t *testing.T) {
	t.Run("in flight", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			o.delay.Store(int64(4 * time.Second))
			start := time.Now()
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() { wantErr(t, r, "k0", ErrUnavailable) })
			}
			synctest.Wait()
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			all.Wait()
			if time.Since(start) != 0 {
				t.Errorf("Close took %v", time.Since(start))
			}
			wantErr(t, r, "k0", ErrUnavailable)
			o.wantHits(t, 1)
		})
	})
	t.Run("while it refreshes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			mustKey(t, r, "k0")
			o.delay.Store(int64(4 * time.Second))
			time.Sleep(time.Until(r.Status().NextRefresh))
			mustNotWait(t, r, "k0")
			synctest.Wait()
			o.wantHits(t, 2)
			_ = r.Close()
			wantErr(t, r, "k0", ErrUnavailable) // not from the held set
			time.Sleep(time.Hour)
			wantErr(t, r, "k0", ErrUnavailable)
			o.wantHits(t, 2)
		})
	})
	t.Run("with a fresh set", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			mustKey(t, r, "k0")
			for range 2 {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
			wantErr(t, r, "k0", ErrUnavailable)
			wantErr(t, r, "forged", ErrUnavailable)
			if err := r.Status().LastError; !errors.Is(err, ErrUnavailable) {
				t.Errorf("LastError %v", err)
			}
			o.wantHits(t, 1)
		})
	})
	t.Run("unused", func(t *testing.T) {
		r := NewRemote(setURL, RemoteConfig{})
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		wantErr(t, r, "k0", ErrUnavailable)
	})
	t.Run("goroutines", func(t *testing.T) { // of a real connection too
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/hang" {
				<-req.Context().Done()
			}
			_, _ = io.WriteString(w, numbered(0))
		}))
		defer server.Close()
		r := NewRemote(server.URL, RemoteConfig{Timeout: time.Minute})
		noFetchGoroutines(t)
		mustKey(t, r, "k0")
		noFetchGoroutines(t) // nor between fetches
		_ = r.Close()
		hanging := NewRemote(server.URL+"/hang", RemoteConfig{})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := hanging.Key(ctx, "k0", ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		_ = hanging.Close()
		noFetchGoroutines(t)
	})
}

// noFetchGoroutines fails the test if a fetch or a connection of the client is still there.
func noFetchGoroutines(t *testing.T) {
	t.Helper()
	var stacks string
	for range 3000 {
		buf := make([]byte, 1<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, "(*Remote).fly") && !strings.Contains(stacks, "(*persistConn)") {
			return
		}
		time.Sleep(10 * time.Millisecond) // a connection takes a moment to end
	}
	t.Fatalf("goroutines are left:\n%s", stacks)
}

func TestRemoteKeyDoesNotAllocate(t *testing.T) {
	r := NewRemote(setURL, RemoteConfig{Client: &http.Client{Transport: originOf(numbered(0, 1))}})
	defer r.Close()
	mustKey(t, r, "k1")
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := r.Key(ctx, "k1", ""); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	r.mu.Lock() // it needs no lock
	defer r.mu.Unlock()
	mustKey(t, r, "k1")
}

// A verifier that has used a key asks for it again, and compares the pointers.
func TestRemoteKeyIsCurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r := remoteOf(t, numbered(0, 1), RemoteConfig{})
		k0 := mustKey(t, r, "k0")
		mustKey(t, r, "k1")
		due := r.Status().NextRefresh
		time.Sleep(time.Until(due) - time.Nanosecond)
		if mustNotWait(t, r, "k0") != k0 {
			t.Error("another pointer")
		}
		o.handle(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, numbered(0)) })
		time.Sleep(time.Nanosecond)
		mustKey(t, r, "k0")
		synctest.Wait()
		if mustNotWait(t, r, "k0") != k0 {
			t.Error("another pointer after a refresh")
		}
		wantErr(t, r, "k1", ErrUnknownKey)
		_ = r.Close()
		wantErr(t, r, "k0", ErrUnavailable)
	})
}

// Key needs no lock while a refresh is under way.
func TestRemoteKeyTakesNoLockDuringRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r := remoteOf(t, numbered(0), RemoteConfig{})
		mustKey(t, r, "k0")
		o.delay.Store(int64(time.Second))
		time.Sleep(time.Until(r.Status().NextRefresh))
		mustNotWait(t, r, "k0")
		synctest.Wait()
		if s := r.current.Load(); !s.until.Equal(s.expiresAt) {
			t.Errorf("serves without the lock until %v, want %v", s.until, s.expiresAt)
		}
	})
}

// Everything at once, on the real clock, for the race detector.
func TestRemoteConcurrently(t *testing.T) {
	o := &origin{}
	var n atomic.Int64
	o.handle(func(w http.ResponseWriter, _ *http.Request) {
		if i := n.Add(1); i%4 == 0 {
			w.WriteHeader(http.StatusBadGateway)
		} else {
			_, _ = io.WriteString(w, numbered(0, 1+int(i)%7))
		}
	})
	const cooldown = 5 * time.Millisecond
	start := time.Now()
	r := NewRemote(setURL, RemoteConfig{Client: &http.Client{Transport: o}, Cooldown: cooldown, Timeout: time.Minute})
	if err := r.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 2000 {
				if g == 0 && i%100 == 0 {
					time.Sleep(cooldown)
				}
				_ = r.Status()
				if _, err := r.Key(t.Context(), "k0", ""); err != nil {
					t.Errorf("the key that is always published: %v", err)
				}
				if key, err := r.Key(t.Context(), fmt.Sprint("k", i%9), ""); err != nil && !errors.Is(err, ErrUnknownKey) && !errors.Is(err, ErrUnavailable) || (key == nil) == (err == nil) {
					t.Errorf("%v, %v", key, err)
				}
			}
		})
	}
	all.Wait()
	if most := 3 + 2*time.Since(start).Seconds()/cooldown.Seconds(); float64(o.hits.Load()) > most {
		t.Errorf("%d fetches, want at most %v", o.hits.Load(), most)
	}
	_ = r.Close()
	wantErr(t, r, "k0", ErrUnavailable)
}

func BenchmarkRemoteKey(b *testing.B) {
	r := NewRemote(setURL, RemoteConfig{Client: &http.Client{Transport: originOf(numbered(0, 1, 2))}})
	defer r.Close()
	ctx := b.Context()
	if err := r.Ready(ctx); err != nil {
		b.Fatal(err)
	}
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Key(ctx, "k1", ""); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := r.Key(ctx, "k1", ""); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("unknown", func(b *testing.B) { // a forgery within the cooldown
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Key(ctx, "forged", ""); !errors.Is(err, ErrUnknownKey) {
				b.Fatal(err)
			}
		}
	})
}
