package middleware

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
)

// A flood of good tokens, which are used once or twice, evicts none in use.
func TestFloodLeavesTokensInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeyring(t, edKey)
		for _, flooders := range []int{1, 100} {
			a := caching(t, Config{Keys: keys, CacheSize: 100})
			used := goodTokens(t, keys, "hot", 50, 10)
			a.twice(t, used...)
			before := a.auth.cache.Len()
			for i, token := range goodTokens(t, keys, "flood", 300, flooders) {
				a.twice(t, token)
				if i%20 != 0 {
					continue
				}
				time.Sleep(time.Second)
				for _, token := range used {
					a.wantServed(t, token)
				}
			}
			kept := 0
			for _, token := range used {
				if a.caches(token) {
					kept++
				}
			}
			if before < 45 || kept < before || a.auth.cache.Len() > 100 {
				t.Errorf("flood of %d clients: %d of %d tokens in use are left, of %d", flooders, kept, before, a.auth.cache.Len())
			}
		}
	})
}

// A cached token keeps neither its request nor the decoded payload alive. A long token is
// not cached.
func TestCachedTokenKeepsLittle(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := caching(t, Config{Keys: keys})
	long := strings.Repeat("x", 4000)
	for name, changes := range map[string]map[string]string{
		"long": {"x": strconv.Quote(long)}, "many audiences": {"aud": `["` + testAudience + `"` + strings.Repeat(`,"a"`, maxCachedAudiences) + `]`},
	} {
		token := sign(t, keys, payload(changes))
		a.twice(t, token)
		if a.caches(token) {
			t.Errorf("%s: cached", name)
		}
	}
	token := sign(t, keys, payload(map[string]string{"aud": `["` + testAudience + `","b"]`, "sub": `"user"`}))
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	header := "Bearer " + token
	r.Header.Set("Authorization", header)
	for range 2 {
		if w := a.send(r); w.Code != http.StatusOK {
			t.Fatalf("status %d", w.Code)
		}
	}
	v := &a.auth.cache.Get(token).Value
	from := uintptr(unsafe.Pointer(unsafe.StringData(header)))
	for name, s := range map[string]string{"raw": v.raw, "jti": v.id, "sub": v.subject, "client_id": v.clientID, "scope": v.scope, "kid": v.kid, "alg": v.alg, "aud": v.audience()[1]} {
		if at := uintptr(unsafe.Pointer(unsafe.StringData(s))); at >= from && at < from+uintptr(len(header)) {
			t.Errorf("%s lies in the request's header", name)
		}
	}
	before := heap()
	const n = 500
	filler := strconv.Quote(strings.Repeat("x", 2000)) // in the decoded payload, which is not to be kept
	for i := range n {
		id := strconv.Quote(strconv.Itoa(i))
		a.twice(t, sign(t, keys, payload(map[string]string{"jti": id, "client_id": id, "sub": `"s` + id[1:], "scope": `"s` + id[1:], "aud": `["` + testAudience + `","b"]`, "x": filler})))
		a.tokens, a.events = nil, nil
	}
	if each := (heap() - before) / n; each > int64(len(token))+2000*4/3+1500 {
		t.Errorf("%d B each", each)
	}
	runtime.KeepAlive(a)
}

// goodTokens are n tokens of clients named prefix-0, prefix-1, …
func goodTokens(tb testing.TB, keys *jwks.Keyring, prefix string, n, clients int) []string {
	tb.Helper()
	list := make([]string, n)
	for i := range list {
		client := fmt.Sprintf(`"%s-%d"`, prefix, i%clients)
		list[i] = sign(tb, keys, payload(map[string]string{"jti": fmt.Sprintf(`"%s-%d"`, prefix, i), "sub": client, "client_id": client}))
	}
	return list
}

// One client takes a quarter of the cache at most, however much room there is.
func TestShareOfOneClient(t *testing.T) {
	keys := newKeyring(t, edKey)
	a := caching(t, Config{Keys: keys, CacheSize: 40})
	a.twice(t, goodTokens(t, keys, "a", 60, 1)...)
	if n := a.auth.cache.Len(); n < 8 || n > 10 {
		t.Errorf("%d cached of one client, want 10", n)
	}
	a.twice(t, goodTokens(t, keys, "b", 60, 6)...)
	if n := a.auth.cache.Len(); n < 36 || n > 40 {
		t.Errorf("%d cached, want 40", n)
	}
}

// A token expires in the cache when it does at the guard, leeway included, and
// then makes room before anything else does.
func TestExpiredMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeyring(t, edKey)
		a := caching(t, Config{Keys: keys, CacheSize: 100})
		old := goodTokens(t, keys, "old", 100, 100)
		a.twice(t, old...)
		time.Sleep(600*time.Second + defaultLeeway - time.Second)
		for _, token := range old {
			a.wantServed(t, token) // in use to the end
		}
		if n := a.auth.cache.Len(); n < 90 {
			t.Errorf("%d cached a second before they expire", n)
		}
		time.Sleep(time.Second)
		fresh := goodTokens(t, keys, "new", 50, 50)
		for _, token := range fresh {
			if a.twice(t, token); !a.caches(token) {
				t.Error("a new one is not cached")
			}
		}
		if n := a.auth.cache.Len(); n != len(fresh) {
			t.Errorf("%d are cached, %d of them expired", n, n-len(fresh))
		}
	})
}

// Many goroutines on few slots: for the race detector.
func TestCacheAtOnce(t *testing.T) {
	keys := newKeyring(t, edKey)
	a := caching(t, Config{Keys: keys, CacheSize: 50, Observe: func(context.Context, Event) {}})
	a.GET("/at-once", func(c echo.Context) error { return c.String(http.StatusOK, TokenFrom(c).ID) }, a.auth.Require("orders:read"))
	list := goodTokens(t, keys, "a", 120, 30)
	var work sync.WaitGroup
	for w := range 8 {
		work.Go(func() {
			for i := range 400 {
				n := (i*7 + w*i) % len(list)
				if got := a.get("/at-once", "Bearer "+list[n]); got.Code != http.StatusOK || got.Body.String() != fmt.Sprintf("a-%d", n) {
					t.Errorf("token %d: status %d, %s", n, got.Code, got.Body)
					return
				}
			}
		})
	}
	work.Wait()
	if n := a.auth.cache.Len(); n < 40 || n > 50 {
		t.Errorf("%d cached", n)
	}
}

// What a request allocates over the bare route, which allocates nothing.
func TestRequestAllocations(t *testing.T) {
	revoked := notRevoked()
	for _, s := range benchSigners {
		keys := newKeyring(t, s.signer)
		list := tokens(t, keys, 200, 8)
		hit := newRoute(benchGuard(t, Config{Keys: keys, Revoked: revoked}).Require("orders:read"))
		for range 2 {
			hit.ask(t, list[0], http.StatusNoContent)
		}
		if n := testing.AllocsPerRun(100, func() { hit.ask(t, list[0], http.StatusNoContent) }); n > 3+spared {
			t.Errorf("%s: a hit allocates %v times", s.alg, n)
		}
		miss := firstSight{config: Config{Keys: keys, Revoked: revoked}, list: list}
		miss.ask(t)
		if n := testing.AllocsPerRun(len(list)-2, func() { miss.ask(t) }); n > 25+spared {
			t.Errorf("%s: a first sight allocates %v times", s.alg, n)
		}
	}
	c := echo.New().NewContext(nil, nil)
	c.Set(tokenKey, &verified{by: benchGuard(t, Config{Keys: newKeyring(t, ecKey)}), scope: "a b"})
	if n := testing.AllocsPerRun(100, func() {
		if TokenFrom(c) == nil {
			t.Fatal("no token")
		}
	}); n > 2+spared {
		t.Errorf("TokenFrom allocates %v times", n)
	}
	bare := newRoute()
	if n := testing.AllocsPerRun(100, func() { bare.ask(t, "", http.StatusNoContent) }); n > spared {
		t.Errorf("the bare route allocates %v times", n)
	}
}
