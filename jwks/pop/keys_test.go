package pop

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// The cache is bounded, keeps what was put last, and keeps no long header.
func TestKeyCache(t *testing.T) {
	var c keyCache
	var key jose.Key
	if c.get("a") != nil {
		t.Error("an empty cache has a key")
	}
	for n := range 3 * maxCachedKeys {
		c.put(fmt.Sprint(n), &key)
	}
	if size := len(c.fresh) + len(c.old); size > 2*maxCachedKeys || size < maxCachedKeys {
		t.Errorf("%d keys are cached", size)
	}
	if last := fmt.Sprint(3*maxCachedKeys - 1); c.get(last) != &key || c.get("0") != nil {
		t.Error("the last key is not cached, or the first one still is")
	}
	long := strings.Repeat("a", maxCachedHeader+1)
	if c.put(long, &key); c.get(long) != nil {
		t.Error("a long header is cached")
	}
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for n := range 2 * maxCachedKeys {
				c.put(fmt.Sprint("b", n), &key)
				c.get(fmt.Sprint("b", n/2))
			}
		})
	}
	work.Wait()
}

// Only the keys of accepted proofs are cached. A cached key makes nothing else acceptable.
func TestKeysOfAcceptedProofsAreCached(t *testing.T) {
	v := sure(NewVerifier(Config{}))
	p := newProver()
	prove := func() string { return sure(p.Proof("GET", testURL, "", "")) }
	good := prove()
	header, rest, _ := strings.Cut(good, ".")
	cached := func() int { return len(v.keys.fresh) + len(v.keys.old) }
	wrong := good[:len(good)-8] + "AAAAAAAA"
	other := request(good)
	other.Method = "POST"
	for name, r := range map[string]Request{"signature": request(wrong), "method": other} {
		if _, err := v.Verify(t.Context(), r); err == nil || cached() != 0 {
			t.Errorf("%s: %v, %d keys cached", name, err, cached())
		}
	}
	if _, err := v.Verify(t.Context(), request(good)); err != nil || cached() != 1 || v.keys.get(header) == nil {
		t.Fatalf("%v, %d keys cached", err, cached())
	}
	claims, _, _ := strings.Cut(rest, ".")
	stranger := newForge("ES256")
	foreign := stranger.sign(t)
	for name, proof := range map[string]string{
		"a replay":                       good,
		"a wrong signature":              prove()[:len(good)-8] + "AAAAAAAA",
		"another key's signature":        header + "." + claims + foreign[strings.LastIndexByte(foreign, '.'):],
		"another key's claims":           header + foreign[strings.IndexByte(foreign, '.'):],
		"another header over our claims": foreign[:strings.IndexByte(foreign, '.')] + "." + rest,
	} {
		if _, err := v.Verify(t.Context(), request(proof)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for range 3 {
		if _, err := v.Verify(t.Context(), request(prove())); err != nil || cached() != 1 {
			t.Errorf("%v, %d keys cached", err, cached())
		}
	}
}
