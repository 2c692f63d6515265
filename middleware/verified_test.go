package middleware

import (
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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
		t.Fatal("not a hit: this test is about hits")
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
func TestHitNeedsTheExactText(t *testing.T) {
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

// However many claims precede it, cnf is seen, and so is an exp in the past.
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

// A cached token is a copy: it does not keep the request in memory, and says the same.
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
			x.source, y.source = nil, nil
			if fmt.Sprintf("%#v", x) != fmt.Sprintf("%#v", y) {
				t.Errorf("%s: %+v, want %+v", name, x, y)
			}
			if name == "no scope" && got.Scopes != nil {
				t.Errorf("Scopes are %#v, want nil", got.Scopes)
			}
			if got.HasScope("orders:read") != want.HasScope("orders:read") {
				t.Errorf("%s: another scope", name)
			}
		}
	}
}
