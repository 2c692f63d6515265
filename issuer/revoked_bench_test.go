package issuer

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// BenchmarkRevoked measures the check of a valid token, as a guard does it for each request,
// as the set grows: on one core, and on all cores with the same token.
func BenchmarkRevoked(b *testing.B) {
	for _, n := range []int{0, 1_000_000} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		i := newService(b, Config{}).issuer
		until := time.Now().Add(time.Hour)
		for range n {
			i.apply(registry.Change{Kind: registry.TokenRevoked, TokenID: newTokenID(tokenID{1, 2}), ExpiresAt: until})
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		jti, issuedAt := newTokenID(tokenID{1, 2}), time.Now()
		ask := func(b *testing.B) {
			if revoked, err := i.Revoked(b.Context(), jti, "app", issuedAt); revoked || err != nil {
				b.Error(revoked, err)
			}
		}
		b.Run(fmt.Sprint(n, "/serial"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ask(b)
			}
			if n > 0 {
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/revocation")
			}
		})
		b.Run(fmt.Sprint(n, "/parallel"), func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					ask(b)
				}
			})
		})
		runtime.KeepAlive(i)
	}
}

// BenchmarkRevokedStall measures the longest wait of a lookup while a million revocations
// of tokens and of clients are swept without a pause.
func BenchmarkRevokedStall(b *testing.B) {
	for _, sweeping := range []bool{false, true} {
		b.Run(fmt.Sprintf("sweeping=%v", sweeping), func(b *testing.B) {
			i := newService(b, Config{}).issuer
			until := time.Now().Add(time.Hour)
			for n := range 500_000 {
				i.apply(registry.Change{Kind: registry.TokenRevoked, TokenID: strconv.Itoa(n), ExpiresAt: until})
				i.apply(registry.Change{Kind: registry.ClientCutOff, ClientID: strconv.Itoa(n), ExpiresAt: until})
			}
			stop := make(chan struct{})
			var sweeps sync.WaitGroup
			if sweeping {
				sweeps.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
							i.revoked.sweep()
						}
					}
				})
			}
			waits := make([]time.Duration, 0, 1<<22)
			for b.Loop() {
				began := time.Now()
				if revoked, err := i.Revoked(b.Context(), "x", "y", began); revoked || err != nil {
					b.Fatal(revoked, err)
				}
				if len(waits) < cap(waits) {
					waits = append(waits, time.Since(began))
				}
			}
			close(stop)
			sweeps.Wait()
			slices.Sort(waits)
			b.ReportMetric(float64(waits[len(waits)*9999/10000].Nanoseconds()), "p99.99-ns")
		})
	}
}
