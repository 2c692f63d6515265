package jwks

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRemoteETag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r := remoteOf(t, "", RemoteConfig{})
		etag, full := `"1"`, 0
		o.handle(func(w http.ResponseWriter, req *http.Request) {
			if req.Header.Get("If-None-Match") == etag {
				w.WriteHeader(http.StatusNotModified) // without Cache-Control: the last one stays valid
				return
			}
			full++
			w.Header().Set("ETag", etag)
			w.Header().Set("Cache-Control", "max-age=120")
			_, _ = io.WriteString(w, numbered(full-1))
		})
		key := mustKey(t, r, "k0")
		for i := range 5 {
			time.Sleep(120 * time.Second)
			if mustKey(t, r, "k0") != key {
				t.Fatal("another pointer for the same key")
			}
			o.wantHits(t, uint64(i)+2)
			if status := r.Status(); status.ExpiresAt.Sub(status.FetchedAt) != 120*time.Second || time.Since(status.FetchedAt) != 0 {
				t.Fatalf("status %+v", status)
			}
		}
		if full != 1 {
			t.Fatalf("%d full answers", full)
		}
		etag = `"2"`
		time.Sleep(120 * time.Second)
		wantErr(t, r, "k0", ErrUnknownKey)
		mustNotWait(t, r, "k1")
	})
	t.Run("304 to a plain request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, "", RemoteConfig{})
			o.status(http.StatusNotModified, "")
			wantErr(t, r, "k0", ErrUnavailable)
		})
	})
}

func TestRemoteLifetime(t *testing.T) {
	for _, test := range []struct {
		cacheControl, age string
		delay, cooldown   time.Duration
		want              time.Duration
	}{
		{"", "", 0, 0, 5 * time.Minute},
		{"public", "", 0, 0, 5 * time.Minute},
		{"public, max-age=600", "", 0, 0, 10 * time.Minute},
		{"MAX-AGE = 600", "", 0, 0, 5 * time.Minute}, // no space is allowed there: not the directive
		{`Max-Age="600"`, "", 0, 0, 10 * time.Minute},
		{"max-age=600, max-age=900", "", 0, 0, 10 * time.Minute},
		{"s-maxage=900, max-age=600", "", 0, 0, 10 * time.Minute},
		{"max-age=600", "100", 0, 0, 500 * time.Second},
		{"max-age=600", "-100", 0, 0, 600 * time.Second},
		{"max-age=600", "nonsense", 0, 0, 600 * time.Second},
		{"max-age=600", "100", 3 * time.Second, 0, 497 * time.Second},
		{"max-age=600", "100000000000000000000000000000", 0, 0, time.Minute},
		{"max-age=1", "", 0, 0, time.Minute},
		{"max-age=0", "", 0, 0, time.Minute},
		{"max-age=-1", "", 0, 0, time.Minute},
		{"max-age=ten", "", 0, 0, time.Minute},
		{"max-age", "", 0, 0, time.Minute},
		{"no-store", "", 0, 0, time.Minute},
		{"max-age=600, no-cache", "", 0, 0, time.Minute},
		{"max-age=1", "", 0, 5 * time.Second, 10 * time.Second},
		{"max-age=90", "", 0, time.Minute, 2 * time.Minute},
		{"max-age=86401", "", 0, 0, 24 * time.Hour},
		{"max-age=99999999999999999999999999999", "", 0, 0, 24 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, "", RemoteConfig{Cooldown: test.cooldown})
			o.serve(numbered(0), "Cache-Control", test.cacheControl, "Age", test.age)
			o.delay.Store(int64(test.delay))
			mustKey(t, r, "k0")
			status := r.Status()
			if got := status.ExpiresAt.Sub(status.FetchedAt); got != test.want {
				t.Errorf("Cache-Control %q, Age %q: lives %v, want %v", test.cacheControl, test.age, got, test.want)
			}
			ahead := status.NextRefresh.Sub(status.FetchedAt)
			if ahead < test.want*8/10 || ahead > test.want*9/10 {
				t.Errorf("a set that lives %v is refreshed after %v", test.want, ahead)
			}
		})
	}
}

func TestRemoteRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r := remoteOf(t, "", RemoteConfig{})
		o.down.Store(true)
		for i, seconds := range []int{1, 2, 4, 5, 5, 5, 5} { // no set is held
			most := time.Duration(seconds) * time.Second
			wantErr(t, r, "k0", ErrUnavailable)
			o.wantHits(t, uint64(i)+1)
			wait := time.Until(r.Status().NextRefresh)
			if wait <= most/2 || wait > most {
				t.Fatalf("failure %d: next attempt after %v, want up to %v", i+1, wait, most)
			}
			time.Sleep(wait - time.Nanosecond)
			for range 100 {
				wantErr(t, r, "k0", ErrUnavailable)
			}
			o.wantHits(t, uint64(i)+1)
			time.Sleep(time.Nanosecond)
		}
		o.down.Store(false)
		o.serve(numbered(0))
		mustKey(t, r, "k0")

		o.down.Store(true) // after a success the delays start from the first again
		time.Sleep(5 * time.Minute)
		mustKey(t, r, "k0")
		if wait := time.Until(r.Status().NextRefresh); wait > time.Second {
			t.Fatalf("next attempt after %v", wait)
		}
	})
	delays := map[time.Duration]bool{}
	for range 10 {
		delays[retryDelay(1, longestRetry, nil)] = true
	}
	if len(delays) < 2 {
		t.Error("verifiers that failed together retry together")
	}
	for value, want := range map[string]time.Duration{
		"20": 20 * time.Second, "3600": time.Minute, "99999999999999999999": time.Minute,
		"0": time.Second, "-5": time.Second, "soon": time.Second, "date": 40 * time.Second,
	} {
		t.Run("Retry-After "+value, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, r := remoteOf(t, "", RemoteConfig{})
				if value == "date" {
					value = time.Now().Add(want).UTC().Format(http.TimeFormat)
				}
				o.status(http.StatusServiceUnavailable, "", "Retry-After", value)
				wantErr(t, r, "k0", ErrUnavailable)
				if wait := time.Until(r.Status().NextRefresh); wait > want || wait <= want/2 {
					t.Fatalf("next attempt after %v, want %v", wait, want)
				}
			})
		})
	}
}

func TestRemoteKeysOfAllKinds(t *testing.T) {
	symmetric := map[string]any{"kty": "oct", "kid": "k1", "alg": "HS256", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmU"}
	unknown := map[string]any{"kty": "LATTICE", "kid": "k2"}
	tooMany := make([]any, 10_000)
	for i := range tooMany {
		tooMany[i] = map[string]any{"kty": "LATTICE", "kid": fmt.Sprint(i)}
	}
	mixed := setOf(
		symmetric, unknown, "nonsense", 7, nil,
		jwkOf(0, map[string]any{"kid": "k0"}), // without alg
		jwkOf(3, map[string]any{"kid": "k3", "use": "enc"}),
		jwkOf(4, map[string]any{"kid": "k4", "alg": "HS256"}),
		jwkOf(5, nil), // without kid
	)
	synctest.Test(t, func(t *testing.T) {
		o, r := remoteOf(t, mixed, RemoteConfig{})
		if alg := mustKey(t, r, "k0").Algorithm(); alg != "ES256" {
			t.Errorf("algorithm %s", alg)
		}
		mustKey(t, r, thumbprint(jwkPool()[5]))
		for i := 1; i <= 4; i++ {
			wantErr(t, r, fmt.Sprint("k", i), ErrUnknownKey)
		}
		o.wantHits(t, 2)
		if status := r.Status(); status.Keys != 2 || len(status.Skipped) != 7 {
			t.Errorf("status %+v", status)
		}
	})
	for name, set := range map[string]string{
		"10 000 keys": setOf(tooMany...), "no keys": "{}", "null": `{"keys":null}`, "array": "[]", "empty": "",
		"html": "<!doctype html><title>Sign in</title>", "two documents": numbered(0) + numbered(0),
		"half": numbered(0)[:100], "endless": `{"keys":[` + strings.Repeat(" ", 1<<20) + "]}",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, r := remoteOf(t, set, RemoteConfig{})
				wantErr(t, r, "k0", ErrUnavailable)
				o.wantHits(t, 1)
				if status := r.Status(); status.LastError == nil || status.Failures != 1 {
					t.Errorf("status %+v", status)
				}
			})
		})
	}
}
