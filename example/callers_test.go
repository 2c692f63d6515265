//go:build !nosqlite

package main

import (
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestCallersThroughKills is TestCallersThroughAMinuteOfKills with 8 callers, in a few
// seconds.
func TestCallersThroughKills(t *testing.T) {
	t.Parallel()
	c := callThroughKills(t, 8, "10s", 6*time.Second, time.Second)
	if c.kills < 2 || c.total.calls < 100 || c.outages < 2 {
		t.Error("too little happened to prove anything")
	}
}

// callers are programs that call an API elsewhere.
type callers struct {
	programs []*process
	total    called
	kills    int
	outages  int // kills during which a refresh failed
	refused  int // refreshes that failed
	again    int // calls that had no token or no answer at first
	keys     int // key fetches of the API that failed
}

// callThroughKills starts example/caller n times, and kills (SIGKILL) and starts their issuer
// again and again. The API is a process of its own, which fetches the keys every 3 s.
//
// Tokens are refreshed between a third and half of their lifetime ttl. Each outage lasts
// for a random time, and until a refresh has failed in it, but 3 s at most: then the tokens in
// hand still serve. No call may fail. A caller that meets one outage after another backs off
// longer than its token lives, so a call may have to wait and try again.
func callThroughKills(t *testing.T, n int, ttl string, lasting, pause time.Duration) *callers {
	t.Helper()
	secret := generated()
	env := []string{"DATA_DIR=" + t.TempDir(), "CLIENT_ID=worker", "CLIENT_SECRET=" + secret, "TOKEN_TTL=" + ttl, "KEY_MAX_AGE=3s"}
	issuer := start(t, "example", env...)
	env = append(env, "ADDR="+strings.TrimPrefix(issuer.url, "http://"))
	api := start(t, "api", "ISSUER="+issuer.url, "JWKS_COOLDOWN=1s")
	eventually(t, 5*time.Second, "the API has keys", func() bool {
		status, _ := call(t, "GET", api.url+"/readyz", "", "")
		return status == http.StatusOK
	})

	c := &callers{}
	for range n {
		c.programs = append(c.programs, startCaller(t,
			"ISSUER="+issuer.url, "CLIENT_ID=worker", "CLIENT_SECRET="+secret, "API="+api.url+"/v1/whoami", "EVERY=150ms"))
	}
	for _, p := range c.programs {
		p.says(t, "is answered 200")
	}
	// It lasts longer if no caller has noticed a kill so far.
	for started := time.Now(); time.Since(started) < lasting || c.outages < 2 && time.Since(started) < 3*lasting; c.kills++ {
		time.Sleep(pause + rand.N(pause))
		before := c.said("no new token (fetch_failed)")
		if err := issuer.Process.Kill(); err != nil {
			t.Error(err)
		}
		<-issuer.done
		down := time.Now()
		time.Sleep(rand.N(time.Second))
		for c.said("no new token (fetch_failed)") == before && time.Since(down) < 3*time.Second {
			time.Sleep(20 * time.Millisecond)
		}
		if c.said("no new token (fetch_failed)") > before {
			c.outages++
		}
		issuer = start(t, "example", env...)
	}
	time.Sleep(pause)
	for _, p := range c.programs {
		if err := p.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range c.programs {
		got, status := p.ended(t)
		if got.failed != 0 || got.ok != got.calls || got.calls == 0 || status != 0 {
			t.Errorf("a caller: %+v, exit status %d", got, status)
		}
		c.total.calls += got.calls
		c.total.failed += got.failed
		c.total.tokenRequests += got.tokenRequests
		c.total.replays += got.replays
	}
	c.refused, c.again, c.keys = c.said("no new token (fetch_failed)"), c.said("no answer yet"), strings.Count(api.said(), "fetch_failed")
	t.Logf("%d processes: calls %d, failed %d, sent again %d; token requests sent %d", n, c.total.calls, c.total.failed, c.again, c.total.tokenRequests)
	t.Logf("kills %d, of which %d during refreshes; refreshes that failed %d, key fetches of the API that failed %d", c.kills, c.outages, c.refused, c.keys)
	if 100*c.again > c.total.calls || c.total.replays != 0 {
		t.Errorf("%d calls got no token at first, and %d had another one", c.again, c.total.replays)
	}
	return c
}

// said counts a text in what all callers have printed.
func (c *callers) said(text string) (n int) {
	for _, p := range c.programs {
		n += strings.Count(p.said(), text)
	}
	return n
}
