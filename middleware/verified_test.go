package middleware

import (
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// caches reports whether the token is in the cache.
func (a *api) caches(token string) bool { return a.auth.cache.Get(token) != nil }

// caching is an API with a cache, whatever the flag says.
func caching(t *testing.T, c Config, scopes ...string) *api {
	t.Helper()
	if c.CacheSize <= 0 {
		c.CacheSize = defaultCacheSize
	}
	return newAPI(t, c, scopes...)
}

// twice sends a token as often as it takes to be cached.
func (a *api) twice(t *testing.T, tokens ...string) {
	t.Helper()
	for _, token := range tokens {
		a.wantServed(t, token)
		a.wantServed(t, token)
	}
}

func TestCachedOnItsSecondUse(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := caching(t, Config{Keys: keys})
	token := goodToken(t, keys)
	for i, want := range []bool{false, true, true} {
		a.wantServed(t, token)
		if a.caches(token) != want {
			t.Errorf("after use %d: cached %v", i+1, !want)
		}
	}
}

// Everything that can change is checked again on a hit: it is a hit, and it is
// refused.
func TestHitIsCheckedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeyring(t, ecKey)
		var source jwks.Source
		var gone, wrong atomic.Bool
		a := caching(t, Config{
			Keys: sourceFunc(func(ctx context.Context, kid string) (*jose.Key, error) { return source.Key(ctx, kid, "") }),
			Revoked: func(context.Context, string, string, time.Time) (bool, error) {
				if wrong.Load() {
					return false, errors.New("cannot tell")
				}
				return gone.Load(), nil
			},
		}, "orders:read")
		source = keys
		a.GET("/write", a.serve, a.auth.Require("orders:write"))
		a.GET("/admin", a.serve, a.auth.Require("admin"))
		a.GET("/func", a.serve, a.auth.RequireFunc(func(echo.Context, *Token) error { return errors.New("no") }))
		token := goodToken(t, keys)
		want := func(what, path string, status int) {
			t.Helper()
			if w := a.get(path, "Bearer "+token); w.Code != status {
				t.Errorf("%s: status %d, want %d: %s", what, w.Code, status, a.cause())
			}
		}
		want("first sight", "/", 200)
		want("second sight", "/", 200)
		if !a.caches(token) {
			t.Fatal("not cached")
		}
		first := a.auth.cache.Get(token)
		want("hit", "/", 200)
		if a.auth.cache.Get(token) != first {
			t.Error("verified anew")
		}

		want("another scope", "/write", 200)
		want("a scope it has not", "/admin", 403)
		want("a check of one's own", "/func", 403)

		gone.Store(true)
		want("revoked", "/", 401)
		gone.Store(false)
		want("no longer revoked", "/", 200) // the answer is Revoked's, each time
		wrong.Store(true)
		want("revocation unknown", "/", 503)
		wrong.Store(false)

		source = sourceFunc(func(context.Context, string) (*jose.Key, error) { return nil, jwks.ErrUnavailable })
		want("keys away", "/", 503)
		source = newKeyring(t, strangeKey)
		want("key removed", "/", 401)
		source = keys
		want("key back", "/", 200)
		other := newKeyring(t, strangeKey)
		source = sourceFunc(func(ctx context.Context, _ string) (*jose.Key, error) { return other.Key(ctx, kidOf(t, other), "") })
		want("same kid, another key", "/", 401)
		same := newKeyring(t, ecKey)
		source = same
		before := a.auth.cache.Get(token)
		want("same kid, an equal key", "/", 200)
		want("and again", "/", 200)
		if after := a.auth.cache.Get(token); after == before || after.Value.key == before.Value.key {
			t.Error("what the key before verified is still cached")
		}
		if a.auth.cache.Len() != 1 {
			t.Error("cached twice")
		}

		// As if the clock went back.
		v := &a.auth.cache.Get(token).Value
		for name, field := range map[string]*int64{"nbf": &v.notBefore, "iat": &v.issuedAt} {
			was := *field
			*field = time.Now().Unix() + 31
			want(name+" lies ahead", "/", 401)
			*field = was
			want(name+" is past again", "/", 200)
		}

		time.Sleep(600*time.Second + defaultLeeway - time.Nanosecond)
		want("a nanosecond before it expires", "/", 200)
		time.Sleep(time.Nanosecond)
		want("expired", "/", 401)
		if a.auth.cache.Get(token) == nil {
			t.Error("not a hit any more: this test looked at something else")
		}
	})
}

// A hit asks for the key by the name that the token uses, as a first sight does.
func TestHitAsksForTheKidOfTheToken(t *testing.T) {
	keys := newKeyring(t, ecKey)
	known := true
	asked := ""
	a := caching(t, Config{Keys: sourceFunc(func(ctx context.Context, kid string) (*jose.Key, error) {
		if asked = kid; !known || kid != "alias" {
			return nil, jwks.ErrUnknownKey
		}
		return keys.Key(ctx, kidOf(t, keys), "")
	})})
	token := forge(t, `{"alg":"ES256","typ":"at+jwt","kid":"alias"}`, payload(nil), ecKey)
	a.twice(t, token)
	if asked = ""; !a.caches(token) {
		t.Error("not a hit: this test is about something else")
	}
	if a.wantServed(t, token); asked != "alias" {
		t.Errorf("asked for %q", asked)
	}
	known = false
	a.wantInvalid(t, token, "unknown key")
}

// renamed is a Source that has all that a Keyring has, and a Key of its own.
type renamed struct {
	*jwks.Keyring
	err atomic.Pointer[error]
}

func (r *renamed) Key(ctx context.Context, kid, alg string) (*jose.Key, error) {
	if err := r.err.Load(); err != nil {
		return nil, *err
	}
	return r.Keyring.Key(ctx, kid, alg)
}

// A hit asks the Source that was configured, not one inside of it.
func TestHitAsksTheSource(t *testing.T) {
	source := &renamed{Keyring: newKeyring(t, ecKey)}
	a := caching(t, Config{Keys: source})
	token := goodToken(t, source.Keyring)
	a.twice(t, token)
	if !a.caches(token) {
		t.Fatal("not a hit: this test looks at something else")
	}
	source.err.Store(&jwks.ErrUnknownKey)
	a.wantInvalid(t, token, "unknown key")
	source.err.Store(&jwks.ErrUnavailable)
	if w := a.get("/", "Bearer "+token); w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
}

// A request that waited for a key is judged by the time when it has the key.
func TestTokenThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeyring(t, ecKey)
		var wait time.Duration
		a := caching(t, Config{Keys: sourceFunc(func(ctx context.Context, kid string) (*jose.Key, error) {
			time.Sleep(wait)
			return keys.Key(ctx, kid, "")
		})})
		token := goodToken(t, keys)
		a.twice(t, token)
		wait = time.Hour
		a.wantInvalid(t, token, "expired")
		a.wantInvalid(t, goodToken(t, keys), "expired") // one that has not been seen
	})
}

// A token may be issued for later. What refused it once lets it in later, and
// what was refused is not cached.
func TestRefusedIsNotCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeyring(t, ecKey)
		var revoked atomic.Bool
		a := caching(t, Config{Keys: keys, Revoked: func(context.Context, string, string, time.Time) (bool, error) { return revoked.Load(), nil }})
		later := sign(t, keys, payload(map[string]string{"nbf": strconv.FormatInt(time.Now().Unix()+100, 10)}))
		bound := sign(t, keys, payload(map[string]string{"cnf": `{"jkt":"x"}`}))
		good := goodToken(t, keys)
		forged := good[:len(good)-8] + "AAAAAAAA"
		expired := sign(t, keys, payload(map[string]string{"exp": strconv.FormatInt(time.Now().Unix()-31, 10)}))
		elsewhere := sign(t, keys, payload(map[string]string{"aud": `"https://other.example"`}))
		for name, token := range map[string]string{"later": later, "bound": bound, "forged": forged, "expired": expired, "elsewhere": elsewhere} {
			for range 2 {
				if w := a.get("/", "Bearer "+token); w.Code != 401 {
					t.Errorf("%s: status %d", name, w.Code)
				}
			}
			if a.caches(token) {
				t.Errorf("%s: cached", name)
			}
		}
		revoked.Store(true)
		if w := a.get("/", "Bearer "+good); w.Code != 401 || a.caches(good) {
			t.Errorf("revoked at first sight: status %d, cached %v", w.Code, a.caches(good))
		}
		revoked.Store(false)
		time.Sleep(100 * time.Second)
		a.wantServed(t, later)
		a.wantServed(t, good)
	})
}

// It is the exact text that was verified. Another spelling of the token is
// another token, and one that differs in any byte is not found.
func TestHitIsToTheLetter(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := caching(t, Config{Keys: keys})
	token := goodToken(t, keys)
	a.twice(t, token)
	for i := range len(token) {
		changed := []byte(token)
		if changed[i]++; a.caches(string(changed)) {
			t.Errorf("found with byte %d changed", i)
		}
	}
	header, rest, _ := strings.Cut(token, ".")
	for name, other := range map[string]string{
		"no header": rest, "empty header": "." + rest, "header cut": header[1:] + "." + rest, "header twice": header + "." + token,
		"other header": encode(`{"alg":"ES256","typ":"at+jwt"}`) + "." + rest, "cut": token[:len(token)-1], "more": token + "A", "empty": "", "dots": "..",
	} {
		if a.caches(other) {
			t.Errorf("%s: found", name)
		}
	}
	// (r, n−s) is as good a signature.
	dot := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	twin := token[:dot+1] + encode(signature)
	if a.caches(twin) {
		t.Error("the twin is a hit")
	}
	a.twice(t, twin)
	if n := a.auth.cache.Len(); n != 2 {
		t.Errorf("%d cached", n)
	}
}

// TRAPS: too narrow a key. What one Bearer found is nothing to another, however
// alike, and the same token is judged by each.
func TestHitOfAnotherBearer(t *testing.T) {
	keys := newKeyring(t, ecKey)
	first := caching(t, Config{Keys: keys})
	token := goodToken(t, keys)
	first.twice(t, token)
	for name, c := range map[string]Config{
		"another audience": {Keys: keys, Audience: "https://other.example"},
		"another issuer":   {Keys: keys, Issuer: "https://other.example"},
		"other keys":       {Keys: newKeyring(t, strangeKey)},
	} {
		other := caching(t, c)
		for range 2 {
			if w := other.get("/", "Bearer "+token); w.Code != 401 {
				t.Errorf("%s: status %d", name, w.Code)
			}
			first.wantServed(t, token)
		}
	}
}

// However many claims stand before it, cnf is seen, and so is an exp in the past.
func TestClaimsBehindMany(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	for claim, value := range map[string]string{"cnf": `{"jkt":"x"}`, "exp": "1"} {
		changes := map[string]string{claim: ""}
		for i := range 20 {
			changes[fmt.Sprintf("a%d", i)] = "1" // before the others, by name
		}
		before := payload(changes)
		a.wantInvalid(t, sign(t, keys, before[:len(before)-1]+`,"`+claim+`":`+value+"}"), claim)
	}
}

// Off is off, and a token is then verified at each request.
func TestCacheOff(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys, CacheSize: -1})
	token := goodToken(t, keys)
	for range 2 {
		a.wantServed(t, token)
		if a.caches(token) {
			t.Error("cached")
		}
	}
}

// What a request carried besides the token is not kept alive by it, and what the
// token says survives the move.
func TestCachedSaysTheSame(t *testing.T) {
	keys := newKeyring(t, ecKey)
	on, off := caching(t, Config{Keys: keys}), newAPI(t, Config{Keys: keys, CacheSize: -1})
	for name, changes := range map[string]map[string]string{
		"plain":         nil,
		"no scope":      {"scope": ""},
		"user":          {"sub": `"user \u0041"`},
		"two audiences": {"aud": `["https://other.example","` + testAudience + `"]`},
		"array of one":  {"aud": `["` + testAudience + `"]`},
		"nbf":           {"nbf": "1"},
		"custom":        {"tenant": `"a"`},
	} {
		token := sign(t, keys, payload(changes))
		want := off.wantServed(t, token)
		for time := range 3 {
			got := on.wantServed(t, token)
			if !on.caches(token) && time > 0 {
				t.Errorf("%s: not cached", name)
			}
			var mine, theirs map[string]any
			if err := errors.Join(got.Claims(&mine), want.Claims(&theirs)); err != nil || fmt.Sprint(mine) != fmt.Sprint(theirs) || len(mine) < 7 {
				t.Errorf("%s: claims %v, want %v, %v", name, mine, theirs, err)
			}
			x, y := *got, *want
			x.encoded, y.encoded = nil, nil
			if fmt.Sprintf("%#v", x) != fmt.Sprintf("%#v", y) {
				t.Errorf("%s: %+v, want %+v", name, x, y)
			}
			if got.HasScope("orders:read") != want.HasScope("orders:read") {
				t.Errorf("%s: another scope", name)
			}
		}
	}
}

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

// Nothing is kept but what counts: not the request that a token came in, nor a
// token that takes much room.
func TestRoomOfAToken(t *testing.T) {
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

// One client takes a quarter of the cache at the most, however much room there is.
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

// Many at once, on few slots: for the race detector.
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
		if n := testing.AllocsPerRun(100, func() { hit.ask(t, list[0], http.StatusNoContent) }); n > 3 {
			t.Errorf("%s: a hit allocates %v times", s.alg, n)
		}
		miss := firstSight{config: Config{Keys: keys, Revoked: revoked}, list: list}
		miss.ask(t)
		if n := testing.AllocsPerRun(len(list)-2, func() { miss.ask(t) }); n > 25 {
			t.Errorf("%s: a first sight allocates %v times", s.alg, n)
		}
	}
	c := echo.New().NewContext(nil, nil)
	c.Set(tokenKey, &verified{by: benchGuard(t, Config{Keys: newKeyring(t, ecKey)}), scope: "a b"})
	if n := testing.AllocsPerRun(100, func() {
		if TokenFrom(c) == nil {
			t.Fatal("no token")
		}
	}); n > 2 {
		t.Errorf("TokenFrom allocates %v times", n)
	}
	bare := newRoute()
	if n := testing.AllocsPerRun(100, func() { bare.ask(t, "", http.StatusNoContent) }); n != 0 {
		t.Errorf("the bare route allocates %v times", n)
	}
}
