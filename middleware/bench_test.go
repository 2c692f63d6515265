package middleware

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
)

// floor is the least that a guard can do: base64 and the signature, by the standard
// library.
func floor(public crypto.PublicKey) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if !floorVerify(public, strings.TrimPrefix(c.Request().Header.Get("Authorization"), "Bearer ")) {
				return echo.ErrUnauthorized
			}
			return next(c)
		}
	}
}

func floorVerify(public crypto.PublicKey, token string) bool {
	dot := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		return false
	}
	if _, err := base64.RawURLEncoding.DecodeString(token[strings.IndexByte(token, '.')+1 : dot]); err != nil {
		return false
	}
	if key, ok := public.(ed25519.PublicKey); ok {
		return ed25519.Verify(key, []byte(token[:dot]), signature)
	}
	sum := sha256.Sum256([]byte(token[:dot]))
	if key, ok := public.(*rsa.PublicKey); ok {
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	}
	return ecdsa.Verify(public.(*ecdsa.PublicKey), sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
}

// BenchmarkRequire is a whole request through Echo: with the same token each time (hit)
// and with a new one (miss), beside the bare route and the floor.
func BenchmarkRequire(b *testing.B) {
	for _, s := range benchSigners {
		keys := newKeyring(b, s.signer)
		list := tokens(b, keys, 2048, 8)
		config := Config{Keys: keys, Revoked: notRevoked()}
		hit := newRoute(benchGuard(b, config).Require("orders:read"))
		for _, bb := range []struct {
			name    string
			another func() func(tb testing.TB) // for one goroutine
		}{
			{"bare", func() func(testing.TB) { return newRoute().asking(list[:1]) }},
			{"hit", func() func(testing.TB) { return hit.another().asking(list[:1]) }},
			{"floor", func() func(testing.TB) { return newRoute(floor(s.signer.Public())).asking(list) }},
			{"miss", func() func(testing.TB) { return (&firstSight{config: config, list: list}).ask }},
		} {
			b.Run(bb.name+"/"+s.alg, func(b *testing.B) {
				b.ReportAllocs()
				ask := bb.another()
				for b.Loop() {
					ask(b)
				}
			})
			b.Run(bb.name+"/"+s.alg+"/parallel", func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for ask := bb.another(); pb.Next(); {
						ask(b)
					}
				})
			})
		}
	}
}

// paired runs two funcs in turn, in rounds, and gives the median of their ratios.
func paired(rounds, each int, f, g func()) float64 {
	ratios := make([]float64, rounds)
	timed := func(f func()) time.Duration {
		began := time.Now()
		for range each {
			f()
		}
		return time.Since(began)
	}
	for i := range ratios {
		if i%2 == 0 {
			a := timed(f)
			ratios[i] = float64(a) / float64(timed(g))
		} else {
			c := timed(g)
			ratios[i] = float64(timed(f)) / float64(c)
		}
	}
	slices.Sort(ratios)
	return ratios[rounds/2]
}

// BenchmarkFirstSight is the ratio of a request with a new token to one with
// nothing but base64 and the signature, in pairs.
func BenchmarkFirstSight(b *testing.B) {
	for _, s := range benchSigners {
		b.Run(s.alg, func(b *testing.B) {
			keys := newKeyring(b, s.signer)
			list := tokens(b, keys, 2048, 8)
			bare := newRoute(floor(s.signer.Public()))
			ours := &firstSight{config: Config{Keys: keys, Revoked: notRevoked()}, list: list}
			ask := bare.asking(list)
			ratio := paired(20*b.N+1, 50, func() { ours.ask(b) }, func() { ask(b) })
			b.ReportMetric(ratio, "x-floor")
		})
	}
}

// BenchmarkJunk is a whole refusal of a text that is no token, or has a hostile header.
func BenchmarkJunk(b *testing.B) {
	guarded := newRoute(benchGuard(b, Config{Keys: newKeyring(b, ecKey)}).Require())
	guarded.app.HTTPErrorHandler = func(err error, c echo.Context) { c.Response().WriteHeader(err.(*echo.HTTPError).Code) }
	var members strings.Builder
	for n := range 250 {
		fmt.Fprintf(&members, `,"\u0061%020d":0`, n)
	}
	for name, junk := range map[string]string{
		"letters": strings.Repeat("a", 8<<10), "dots": strings.Repeat(".", 8<<10), "parts": strings.Repeat("a.", 4<<10), "spaces": strings.Repeat(" ", 8<<10),
		"members": encode(`{"alg":"ES256"`+members.String()+"}") + ".e30.AAAA",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			guarded.request.Header["Authorization"][0] = "Bearer " + junk
			for b.Loop() {
				guarded.app.ServeHTTP(&guarded.answer, guarded.request)
				if guarded.answer.status/100 != 4 {
					b.Fatalf("status %d", guarded.answer.status)
				}
			}
		})
	}
}

// fill has the Bearer verify and cache n tokens of a thousand clients.
func fill(b *testing.B, auth *Bearer, keys *jwks.Keyring, n int) {
	b.Helper()
	const batch = 10_000 // so that they are not all there at the same time
	for made := 0; made < n; made += batch {
		list := numbered(b, keys, made, min(batch, n-made), 1000)
		var work sync.WaitGroup
		for w := range runtime.GOMAXPROCS(0) {
			work.Go(func() {
				r := newRoute(auth.Require())
				for i := w; i < len(list); i += runtime.GOMAXPROCS(0) {
					r.ask(b, list[i], http.StatusNoContent)
					r.ask(b, list[i], http.StatusNoContent)
				}
			})
		}
		work.Wait()
	}
}

// aMillion is a million, or a hundredth of it with -short.
func aMillion() int {
	if testing.Short() {
		return 10_000
	}
	return 1_000_000
}

// BenchmarkCached is a hit beside many other cached tokens, and the memory of one cached
// token, its text included.
func BenchmarkCached(b *testing.B) {
	for _, n := range []int{1, 1000, aMillion()} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			keys := newKeyring(b, edKey)
			before := heap()
			auth := benchGuard(b, Config{Keys: keys, CacheSize: 5 * n / 4})
			fill(b, auth, keys, n)
			size := float64(heap()-before) / float64(n)
			hot := tokens(b, keys, 1, 1)[0]
			r := newRoute(auth.Require("orders:read"))
			b.ReportAllocs()
			for b.Loop() {
				r.ask(b, hot, http.StatusNoContent)
			}
			if n > 1 {
				b.ReportMetric(size, "B/token")
			}
			runtime.KeepAlive(auth)
		})
	}
}

// BenchmarkReaderStall is the longest time of a request with a cached token while
// another goroutine puts new tokens, each of which evicts one from a full cache.
func BenchmarkReaderStall(b *testing.B) {
	for _, n := range []int{defaultCacheSize, aMillion()} {
		for _, churning := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/churn=%v", n, churning), func(b *testing.B) {
				keys := newKeyring(b, edKey)
				auth := benchGuard(b, Config{Keys: keys, CacheSize: n})
				key, err := keys.Key(b.Context(), kidOf(b, keys), "")
				if err != nil {
					b.Fatal(err)
				}
				now := time.Now()
				made := 0
				another := func() { // as verified; a signature would take the writer most of its time
					v := &verified{by: auth, key: key, raw: fmt.Sprintf("%s.%s.%024d", strings.Repeat("h", 110), strings.Repeat("p", 280), made*7919), id: strconv.Itoa(made), subject: "s", clientID: strconv.Itoa(made % 1000), expiresAt: now.Unix() + int64(made%7)*100}
					auth.store(v, now)
					auth.store(v, now)
					made++
				}
				hot := tokens(b, keys, 1, 1)[0]
				r := newRoute(auth.Require())
				r.ask(b, hot, http.StatusNoContent)
				r.ask(b, hot, http.StatusNoContent)
				for range n {
					another()
				}
				stop := make(chan struct{})
				var churn sync.WaitGroup
				if churning {
					churn.Go(func() {
						for {
							select {
							case <-stop:
								return
							default:
								another()
							}
						}
					})
				}
				waits := make([]time.Duration, 0, 1<<20)
				for b.Loop() {
					began := time.Now()
					r.ask(b, hot, http.StatusNoContent)
					if len(waits) < cap(waits) {
						waits = append(waits, time.Since(began))
					}
				}
				close(stop)
				churn.Wait()
				slices.Sort(waits)
				b.ReportMetric(float64(waits[len(waits)/2].Nanoseconds()), "p50-ns")
				b.ReportMetric(float64(waits[len(waits)*9999/10000].Nanoseconds()), "p99.99-ns")
			})
		}
	}
}
