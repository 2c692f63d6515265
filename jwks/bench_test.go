package jwks

import (
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// BenchmarkSourceKey measures the call of Key for a request with a cached token.
func BenchmarkSourceKey(b *testing.B) {
	opened := sure(Open(b.Context(), &shelf{}, Policy{}))
	defer opened.Close()
	ring := sure(NewKeyring(testKeys()["ES256"].private))
	server := httptest.NewServer(ring)
	defer server.Close()
	remote := NewRemote(server.URL, RemoteConfig{})
	defer remote.Close()
	for name, source := range map[string]struct {
		Source
		kid string
	}{
		"opened": {opened, opened.snapshot.Load().Keys[0].id()}, "keyring": {ring, testKeys()["ES256"].id()}, "remote": {remote, testKeys()["ES256"].id()},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := source.Key(b.Context(), source.kid, "ES256"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("clock", func(b *testing.B) {
		for b.Loop() {
			_ = time.Now()
		}
	})
}

// BenchmarkReaderStall measures the longest wait of a reader (p99.99) while keys rotate,
// sets are refreshed and the JWKS document is rebuilt all the time.
func BenchmarkReaderStall(b *testing.B) {
	store := &shelf{}
	r := sure(Open(b.Context(), store, Policy{}))
	defer r.Close()
	kid := signedByB(b, r)
	server := httptest.NewServer(r)
	defer server.Close()
	remote := NewRemote(server.URL, RemoteConfig{})
	defer remote.Close()
	sure(remote.Key(b.Context(), kid, ""))
	for name, source := range map[string]Source{"keyring": r, "remote": remote} {
		b.Run(name, func(b *testing.B) {
			stop := make(chan struct{})
			var churn sync.WaitGroup
			churn.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
					}
					_ = r.update(b.Context(), r.plan)
					v := r.snapshot.Load()
					_ = r.show(&v.state, nil, v.read) // a new snapshot, as after a rotation
					remote.mu.Lock()
					remote.begin(b.Context(), time.Now(), true)
					remote.mu.Unlock()
				}
			})
			waits := make([]time.Duration, 0, b.N)
			for b.Loop() {
				began := time.Now()
				if _, err := source.Key(b.Context(), kid, ""); err != nil {
					b.Fatal(err)
				}
				waits = append(waits, time.Since(began))
			}
			close(stop)
			churn.Wait()
			slices.Sort(waits)
			b.ReportMetric(float64(waits[len(waits)*9999/10000].Nanoseconds()), "p99.99-ns")
		})
	}
}

func signedByB(b *testing.B, r *Keyring) string {
	b.Helper()
	parsed := sure(jose.Parse(sure(r.Sign(b.Context(), "at+jwt", []byte("{}"))), 0))
	return parsed.KeyID()
}
