package middleware

import (
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
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
)

// check holds all that the cache believes of itself together.
func (s *verdicts) check(tb testing.TB) (tokens int) {
	tb.Helper()
	counts := map[string]int{}
	for i := range s.shards {
		shard := &s.shards[i]
		shard.mu.Lock()
		if len(shard.ring) > shard.limit || shard.known.ItemCount() != len(shard.ring) {
			tb.Errorf("shard %d has %d in the ring, %d in the map, at most %d", i, len(shard.ring), shard.known.ItemCount(), shard.limit)
		}
		for place, v := range shard.ring {
			found, ok := shard.known.Get(tail(v.raw))
			if !ok || found != v || int(v.place) != place || s.shard(s.hash(tail(v.raw))) != shard {
				tb.Errorf("shard %d: place %d holds one that is elsewhere", i, place)
			}
			counts[v.client.id]++
		}
		for place := range shard.seats {
			if v := shard.seats[place].Load(); v != nil && (int(v.place) >= len(shard.ring) || shard.ring[v.place] != v || shard.seat(s.hash(tail(v.raw))) != &shard.seats[place]) {
				tb.Errorf("shard %d: seat %d holds one that is elsewhere, or nowhere", i, place)
			}
		}
		tokens += len(shard.ring)
		shard.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.clients {
		if c.tokens != counts[id] || c.tokens == 0 || c.tokens > s.limit || c.latest.id != id {
			tb.Errorf("client %s counts %d tokens, has %d, may have %d", id, c.tokens, counts[id], s.limit)
		}
		delete(counts, id)
	}
	if len(counts) != 0 {
		tb.Errorf("tokens of %d clients that are not known", len(counts))
	}
	return tokens
}

// remembers reports whether the token would be a hit.
func (a *api) remembers(token string) bool {
	v, _, e := a.auth.known(context.Background(), token)
	return v != nil && e == nil
}

// remembering is an API with a cache, whatever the flag says, and a counter of
// verified signatures.
func remembering(t *testing.T, c Config, scopes ...string) *api {
	t.Helper()
	c.MaxVerdicts = max(c.MaxVerdicts, 0)
	if c.MaxVerdicts == 0 {
		c.MaxVerdicts = defaultMaxVerdicts
	}
	return newAPI(t, c, scopes...)
}

// twice sends a token as often as it takes to be remembered.
func (a *api) twice(t *testing.T, tokens ...string) {
	t.Helper()
	for _, token := range tokens {
		a.wantServed(t, token)
		a.wantServed(t, token)
	}
}

// A token is remembered from its second time on, and verified no more from its
// third.
func TestRememberedWhenItComesAgain(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := remembering(t, Config{Keys: keys})
	token := goodToken(t, keys)
	for time, want := range []bool{false, true, true} {
		a.wantServed(t, token)
		if a.remembers(token) != want {
			t.Errorf("after time %d: remembered %v", time+1, !want)
		}
	}
	for range 10_000 { // others, meanwhile
		a.auth.verdicts.cameBefore(rand.Uint64())
	}
	if !a.remembers(token) {
		t.Error("forgotten for tokens that came once")
	}
}

// Everything that can change is checked again on a hit: it is a hit, and it is
// refused.
func TestHitIsCheckedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeyring(t, ecKey)
		var source jwks.Source
		var gone, wrong atomic.Bool
		a := remembering(t, Config{
			Keys: sourceFunc(func(ctx context.Context, kid string) (*jwks.Key, error) { return source.Key(ctx, kid, "") }),
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
		if !a.remembers(token) {
			t.Fatal("not remembered")
		}
		first := a.auth.verdicts.get(token)
		want("hit", "/", 200)
		if a.auth.verdicts.get(token) != first {
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

		source = sourceFunc(func(context.Context, string) (*jwks.Key, error) { return nil, jwks.ErrUnavailable })
		want("keys away", "/", 503)
		source = newKeyring(t, strangeKey)
		want("key removed", "/", 401)
		source = keys
		want("key back", "/", 200)
		other := newKeyring(t, strangeKey)
		source = sourceFunc(func(ctx context.Context, _ string) (*jwks.Key, error) { return other.Key(ctx, kidOf(t, other), "") })
		want("same kid, another key", "/", 401)
		same := newKeyring(t, ecKey)
		source = same
		before := a.auth.verdicts.get(token)
		want("same kid, an equal key", "/", 200)
		want("and again", "/", 200)
		if after := a.auth.verdicts.get(token); after == before || after.key == before.key {
			t.Error("the verdict of the key before still stands")
		}
		if a.auth.verdicts.check(t) != 1 {
			t.Error("remembered twice")
		}

		// As if the clock went back.
		v := a.auth.verdicts.get(token)
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
		if a.auth.verdicts.get(token) == nil {
			t.Error("not a hit any more: this test looked at something else")
		}
	})
}

// A hit asks for the key by the name that the token uses, as a first sight does.
func TestHitAsksForTheKidOfTheToken(t *testing.T) {
	keys := newKeyring(t, ecKey)
	known := true
	asked := ""
	a := remembering(t, Config{Keys: sourceFunc(func(ctx context.Context, kid string) (*jwks.Key, error) {
		if asked = kid; !known || kid != "alias" {
			return nil, jwks.ErrUnknownKey
		}
		return keys.Key(ctx, kidOf(t, keys), "")
	})})
	token := forge(t, `{"alg":"ES256","typ":"at+jwt","kid":"alias"}`, payload(nil), ecKey)
	a.twice(t, token)
	if asked = ""; !a.remembers(token) || asked != "alias" {
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

func (r *renamed) Key(ctx context.Context, kid, alg string) (*jwks.Key, error) {
	if err := r.err.Load(); err != nil {
		return nil, *err
	}
	return r.Keyring.Key(ctx, kid, alg)
}

// A hit asks the Source that was configured, not one inside of it.
func TestHitAsksTheSource(t *testing.T) {
	source := &renamed{Keyring: newKeyring(t, ecKey)}
	a := remembering(t, Config{Keys: source})
	token := goodToken(t, source.Keyring)
	a.twice(t, token)
	if !a.remembers(token) {
		t.Fatal("not a hit: this test looks at something else")
	}
	source.err.Store(&jwks.ErrUnknownKey)
	a.wantInvalid(t, token, "unknown key")
	source.err.Store(&jwks.ErrUnavailable)
	if w := a.get("/", "Bearer "+token); w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
}

// Whoever waits for a key goes by the time when it is there.
func TestTokenThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeyring(t, ecKey)
		var wait time.Duration
		a := remembering(t, Config{Keys: sourceFunc(func(ctx context.Context, kid string) (*jwks.Key, error) {
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

// The latest of two tokens that want the same seat has it, and both are remembered.
func TestOneSeatForTwo(t *testing.T) {
	keys := newKeyring(t, edKey)
	a := remembering(t, Config{Keys: keys, MaxVerdicts: shardSize})
	shard := &a.auth.verdicts.shards[0]
	seat := func(token string) *atomic.Pointer[verdict] { return shard.seat(a.auth.verdicts.hash(tail(token))) }
	had := map[*atomic.Pointer[verdict]]string{}
	for _, token := range goodTokens(t, keys, "a", 512, 512) { // some 100 pairs
		a.twice(t, token)
		if v := seat(token).Load(); v == nil || v.raw != token {
			t.Fatal("the latest has no seat")
		}
		other := had[seat(token)]
		had[seat(token)] = token
		if other == "" {
			continue
		}
		if !a.remembers(other) || !a.remembers(token) {
			t.Error("one of two is forgotten")
		}
		shard.known.Delete(tail(other)) // now it would take the seat to know it
		if a.remembers(other) || !a.remembers(token) {
			t.Error("the earlier one has the seat")
		}
		shard.known.Delete(tail(token))
		if !a.remembers(token) {
			t.Error("the latest is not found where it sits")
		}
		return
	}
	t.Fatal("no two tokens for one seat")
}

// A token may be issued for later. What refused it once lets it in later, and
// what was refused is not remembered.
func TestRefusedIsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeyring(t, ecKey)
		var revoked atomic.Bool
		a := remembering(t, Config{Keys: keys, Revoked: func(context.Context, string, string, time.Time) (bool, error) { return revoked.Load(), nil }})
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
			if a.remembers(token) {
				t.Errorf("%s: remembered", name)
			}
		}
		revoked.Store(true)
		if w := a.get("/", "Bearer "+good); w.Code != 401 || a.remembers(good) {
			t.Errorf("revoked at first sight: status %d, remembered %v", w.Code, a.remembers(good))
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
	a := remembering(t, Config{Keys: keys})
	token := goodToken(t, keys)
	a.twice(t, token)
	for i := range len(token) {
		changed := []byte(token)
		if changed[i]++; a.auth.verdicts.get(string(changed)) != nil {
			t.Errorf("found with byte %d changed", i)
		}
	}
	header, rest, _ := strings.Cut(token, ".")
	for name, other := range map[string]string{
		"no header": rest, "empty header": "." + rest, "header cut": header[1:] + "." + rest, "header twice": header + "." + token,
		"other header": encode(`{"alg":"ES256","typ":"at+jwt"}`) + "." + rest, "cut": token[:len(token)-1], "more": token + "A", "empty": "", "dots": "..",
	} {
		if a.auth.verdicts.get(other) != nil {
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
	if a.remembers(twin) {
		t.Error("the twin is a hit")
	}
	a.twice(t, twin)
	if n := a.auth.verdicts.check(t); n != 2 {
		t.Errorf("%d remembered", n)
	}
}

// Were two tokens to end alike, which no signature lets happen, each would be
// itself all the same.
func TestTokensThatEndAlike(t *testing.T) {
	auth := benchGuard(t, Config{Keys: newKeyring(t, ecKey)})
	now := time.Now()
	made := func(raw, clientID string) *verdict {
		return &verdict{by: auth, raw: raw, client: &client{id: clientID}, expiresAt: now.Unix() + 100}
	}
	end := strings.Repeat("e", 60)
	put := func(raw, clientID string) {
		for range 2 {
			auth.verdicts.put(made(raw, clientID), now)
		}
	}
	put("a.b."+end, "one")
	put("a.c."+end, "two")
	if v := auth.verdicts.get("a.b." + end); v == nil || v.client.id != "one" || auth.verdicts.get("a.c."+end) != nil || auth.verdicts.get("a.d."+end) != nil {
		t.Errorf("found %+v", v)
	}
	put("short", "one")
	if auth.verdicts.get("short") == nil || auth.verdicts.get("") != nil || auth.verdicts.check(t) != 2 {
		t.Error("a short one is not found")
	}
}

// TRAPS: too narrow a key. What one Bearer found is nothing to another, however
// alike, and the same token is judged by each.
func TestHitOfAnotherBearer(t *testing.T) {
	keys := newKeyring(t, ecKey)
	first := remembering(t, Config{Keys: keys})
	token := goodToken(t, keys)
	first.twice(t, token)
	for name, c := range map[string]Config{
		"another audience": {Keys: keys, Audience: "https://other.example"},
		"another issuer":   {Keys: keys, Issuer: "https://other.example"},
		"other keys":       {Keys: newKeyring(t, strangeKey)},
	} {
		other := remembering(t, c)
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
func TestNothingRemembered(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys, MaxVerdicts: -1})
	token := goodToken(t, keys)
	for range 2 {
		a.wantServed(t, token)
		if a.auth.verdicts != nil || a.remembers(token) {
			t.Error("remembered")
		}
	}
}

// What a request carried besides the token is not kept alive by it, and what the
// token says survives the move.
func TestRememberedSaysTheSame(t *testing.T) {
	keys := newKeyring(t, ecKey)
	on, off := remembering(t, Config{Keys: keys}), newAPI(t, Config{Keys: keys, MaxVerdicts: -1})
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
			if !on.remembers(token) && time > 0 {
				t.Errorf("%s: not remembered", name)
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
	on.auth.verdicts.check(t)
}

// A flood of good tokens, which come once or twice, does not push out those in
// use, however many are, of one client, of its own, or of many.
func TestFloodLeavesWhatIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeyring(t, edKey)
		for _, flooders := range []int{1, 4, 100} {
			for _, hot := range []int{15, 75, 90, 100} {
				for _, every := range []int{20, 100, -20} {
					a := remembering(t, Config{Keys: keys, MaxVerdicts: 100})
					used := goodTokens(t, keys, "hot", hot, 10)
					a.twice(t, used...)
					lost := 0
					for i, token := range goodTokens(t, keys, "flood", 500, flooders) {
						if a.wantServed(t, token); every < 0 {
							a.wantServed(t, token)
						}
						if i%every != 0 {
							continue
						}
						time.Sleep(time.Second)
						for _, token := range used {
							if !a.remembers(token) {
								lost++
							}
							a.wantServed(t, token)
						}
					}
					if lost != 0 {
						t.Errorf("flood of %d clients, %d tokens in use, every %d: they were lost %d times", flooders, hot, every, lost)
					}
					if n := a.auth.verdicts.check(t); n > 100 || n < hot {
						t.Errorf("%d remembered", n)
					}
				}
			}
		}
	})
}

// More tokens in use than there are places: those that are in keep their place,
// until they have not come for a minute.
func TestTokensInUseKeepTheirPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeyring(t, edKey)
		a := remembering(t, Config{Keys: keys, MaxVerdicts: 100})
		list := goodTokens(t, keys, "a", 130, 130)
		hits := 0
		for round := range 12 {
			for _, token := range list {
				if a.remembers(token) && round >= 2 {
					hits++
				}
				a.wantServed(t, token)
			}
		}
		if hits != 10*100 {
			t.Errorf("%d hits, want 1000", hits)
		}
		time.Sleep((useLasts - 1) * time.Second)
		fresh := goodTokens(t, keys, "b", 20, 20)
		remembered := func() (n int) {
			for _, token := range fresh {
				a.twice(t, token)
				if a.remembers(token) {
					n++
				}
			}
			return n
		}
		if n := remembered(); n != 0 {
			t.Errorf("%d new ones pushed others out that came %d s ago", n, useLasts-1)
		}
		time.Sleep(time.Second)
		if n := remembered(); n != 20 {
			t.Errorf("%d of 20 new ones are remembered when the others have not come for %d s", n, useLasts)
		}
	})
}

// A request that waited puts its token with an old time; a clock may go back.
func TestUseByAnotherClock(t *testing.T) {
	by := benchGuard(t, Config{Keys: newKeyring(t, edKey)})
	now := time.Now()
	v := &verdict{by: by, expiresAt: now.Unix() + 1000}
	v.comes(now)
	for _, tt := range []struct {
		after time.Duration
		inUse bool
	}{{-2 * time.Second, true}, {0, true}, {59 * time.Second, true}, {60 * time.Second, false}, {-time.Hour, false}, {999 * time.Second, false}} {
		if got := v.inUse(now.Add(tt.after)); got != tt.inUse {
			t.Errorf("%v after it came: in use %v", tt.after, got)
		}
	}
	if v.comes(now.Add(-2 * time.Second)); v.used.Load() != uint32(now.Unix()) {
		t.Error("a late request moved the use back")
	}
	if v.comes(now.Add(-time.Hour)); v.used.Load() != uint32(now.Add(-time.Hour).Unix()) {
		t.Error("the clock went back, and the token would not be in use again for an hour")
	}
}

// Every shard is used, and none is fuller than the others by much.
func TestShardsFillAlike(t *testing.T) {
	auth := benchGuard(t, Config{Keys: newKeyring(t, edKey), MaxVerdicts: 4096})
	now := time.Now()
	for i := range 3000 {
		raw := sign(t, auth.keys.(*jwks.Keyring), payload(map[string]string{"jti": strconv.Quote(strconv.Itoa(i))}))
		for range 2 {
			auth.verdicts.put(&verdict{by: auth, raw: raw, client: &client{id: strconv.Itoa(i % 100)}, expiresAt: now.Unix() + 100}, now)
		}
	}
	if n := auth.verdicts.check(t); n < 2990 {
		t.Errorf("%d of 3000 remembered", n)
	}
}

// Nothing is kept but what counts: not the request that a token came in, nor a
// token that takes much room.
func TestRoomOfAToken(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := remembering(t, Config{Keys: keys})
	long := strings.Repeat("x", 4000)
	for name, changes := range map[string]map[string]string{
		"long": {"x": strconv.Quote(long)}, "many audiences": {"aud": `["` + testAudience + `"` + strings.Repeat(`,"a"`, maxNames) + `]`},
	} {
		token := sign(t, keys, payload(changes))
		a.twice(t, token)
		if a.remembers(token) {
			t.Errorf("%s: remembered", name)
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
	v := a.auth.verdicts.get(token)
	from := uintptr(unsafe.Pointer(unsafe.StringData(header)))
	for name, s := range map[string]string{"raw": v.raw, "jti": v.id, "sub": v.subject, "client_id": v.client.id, "scope": v.client.scope, "aud": v.audience()[1]} {
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

// One client takes a quarter at the most, however much room there is.
func TestShareOfOneClient(t *testing.T) {
	keys := newKeyring(t, edKey)
	a := remembering(t, Config{Keys: keys, MaxVerdicts: 40})
	a.twice(t, goodTokens(t, keys, "a", 60, 1)...)
	if n := a.auth.verdicts.check(t); n != 10 {
		t.Errorf("%d remembered of one client, want 10", n)
	}
	a.twice(t, goodTokens(t, keys, "b", 60, 6)...)
	if n := a.auth.verdicts.check(t); n != 40 {
		t.Errorf("%d remembered, want 40", n)
	}
}

func TestMaxVerdicts(t *testing.T) {
	keys := newKeyring(t, edKey)
	list := goodTokens(t, keys, "a", 300, 300)
	for _, limit := range []int{1, 2, 3, 5, 64, 255} {
		a := remembering(t, Config{Keys: keys, MaxVerdicts: limit})
		a.twice(t, list...)
		if n := a.auth.verdicts.check(t); n != limit {
			t.Errorf("%d remembered, want %d", n, limit)
		}
	}
	for _, limit := range []int{1, shardSize, shardSize + 1, defaultMaxVerdicts, 1_000_000} {
		total := 0
		shards := newVerdicts(limit).shards
		for i := range shards {
			shard := &shards[i]
			if total += shard.limit; shard.limit < 1 || shard.limit > shardSize {
				t.Fatalf("limit %d: a shard of %d", limit, shard.limit)
			}
		}
		if total > limit || total < limit-len(shards) {
			t.Errorf("limit %d: room for %d", limit, total)
		}
	}
}

// What has expired makes room before anything else goes.
func TestExpiredMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeyring(t, edKey)
		a := remembering(t, Config{Keys: keys, MaxVerdicts: 100})
		old := goodTokens(t, keys, "old", 100, 100)
		a.twice(t, old...)
		time.Sleep(600*time.Second + defaultLeeway - time.Second)
		for _, token := range old {
			a.wantServed(t, token) // in use to the end
		}
		time.Sleep(time.Second)
		fresh := goodTokens(t, keys, "new", 50, 50)
		for _, token := range fresh {
			a.twice(t, token)
			a.auth.verdicts.check(t)
		}
		if n := a.auth.verdicts.check(t); n != len(fresh) {
			t.Errorf("%d are remembered, %d of them expired", n, n-len(fresh))
		}
		for _, token := range fresh {
			if !a.remembers(token) {
				t.Error("a new one is not remembered")
			}
		}
	})
}

// Many at once, on few places: for the race detector, and for check.
func TestVerdictsAtOnce(t *testing.T) {
	keys := newKeyring(t, edKey)
	a := remembering(t, Config{Keys: keys, MaxVerdicts: 50, Observe: func(context.Context, Event) {}})
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
	if n := a.auth.verdicts.check(t); n != 50 {
		t.Errorf("%d remembered", n)
	}
}

// What a request allocates over the bare route, which allocates nothing.
func TestRequestAllocations(t *testing.T) {
	// Other tests introspect, and each request then carries its token with it.
	defer introspects.Store(introspects.Swap(false))
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
		if n := testing.AllocsPerRun(len(list)-2, func() { miss.ask(t) }); n > 36 {
			t.Errorf("%s: a first sight allocates %v times", s.alg, n)
		}
	}
	c := echo.New().NewContext(nil, nil)
	c.Set(verdictKey, &verdict{by: benchGuard(t, Config{Keys: newKeyring(t, ecKey)}), client: &client{scope: "a b"}})
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
