package sqlstore_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// BenchmarkOperatorWrite is how long an operator's rotation of a secret, or revocation
// of a token, takes on a PostgreSQL that is 1 ms away, alone and while 64 connections of
// one client flood the store with what it can make the issuer write: revocations of its
// tokens, and cut-offs of itself.
func BenchmarkOperatorWrite(b *testing.B) {
	for _, senders := range []int{0, 64} {
		b.Run(fmt.Sprintf("flood=%d", senders), func(b *testing.B) {
			d := postgres(b)
			source, err := url.Parse(d.source)
			if err != nil {
				b.Fatal(err)
			}
			source.Host = away(b, source.Host, 500*time.Microsecond)
			d.source = source.String()
			store, err := sqlstore.Open(b.Context(), sqlstore.Config{Driver: d.driver, DSN: d.source})
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			_, secret := registry.GenerateSecret()
			if _, err := store.Register(b.Context(), registry.Client{ID: "c", Secrets: []registry.Secret{secret}}); err != nil {
				b.Fatal(err)
			}
			var done atomic.Bool
			var flood sync.WaitGroup
			for n := range senders {
				flood.Go(func() {
					for k := 0; !done.Load(); k++ {
						c := token(fmt.Sprintf("%d-%d", n, k), time.Now().Add(time.Hour))
						if k%2 == 1 { // what the issuer writes after too many revocations
							c = registry.CutOff("flooding")
						}
						if _, err := store.Revoke(b.Context(), c); err != nil {
							b.Error(err)
						}
					}
				})
			}
			var took []time.Duration
			for b.Loop() {
				begun := time.Now()
				if _, err := store.RotateSecret(b.Context(), "c", registry.Rotation{Revoke: true}); err != nil {
					b.Error(err)
				}
				took = append(took, time.Since(begun))
				begun = time.Now()
				if _, err := store.Revoke(registry.AsOperator(b.Context()), token(begun.String(), begun.Add(time.Hour))); err != nil {
					b.Error(err)
				}
				took = append(took, time.Since(begun))
			}
			done.Store(true)
			flood.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

// away is a relay to a server that adds a delay.
func away(tb testing.TB, host string, delay time.Duration) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", host)
			if err != nil {
				_ = in.Close()
				continue
			}
			go relay(out, in, delay)
			go relay(in, out, delay)
		}
	}()
	return listener.Addr().String()
}

func relay(to io.WriteCloser, from io.Reader, delay time.Duration) {
	type part struct {
		due  time.Time
		data []byte
	}
	parts := make(chan part, 1000)
	go func() {
		for p := range parts {
			time.Sleep(time.Until(p.due))
			_, _ = to.Write(p.data)
		}
		_ = to.Close()
	}()
	defer close(parts)
	for {
		data := make([]byte, 64<<10)
		n, err := from.Read(data)
		if n > 0 {
			parts <- part{time.Now().Add(delay), data[:n]}
		}
		if err != nil {
			return
		}
	}
}
