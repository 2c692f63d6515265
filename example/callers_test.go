//go:build !nosqlite

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/middleware/outbound"
)

// TestCallersThroughKills is TestCallersThroughAMinuteOfKills, in a few seconds.
func TestCallersThroughKills(t *testing.T) {
	t.Parallel()
	c := callThroughKills(t, 6*time.Second, "10s", time.Second)
	if c.kills < 2 || c.calls.Load() < 500 || c.failures == 0 {
		t.Error("too little happened to prove anything")
	}
}

// callers are 50 programs that call an API elsewhere.
type callers struct {
	calls, failed     atomic.Int64
	kills             int
	fetches, failures uint64 // of tokens
}

// callThroughKills has 50 callers call an API while their issuer is killed (SIGKILL) and
// started again and again. No call may fail: each caller has a token in hand, or waits for
// one. They send no request a second time by themselves.
func callThroughKills(t *testing.T, lasting time.Duration, ttl string, pause time.Duration) *callers {
	t.Helper()
	secret := generated()
	env := []string{"DATA_DIR=" + t.TempDir(), "CLIENT_ID=worker", "CLIENT_SECRET=" + secret, "TOKEN_TTL=" + ttl}
	issuer := start(t, "example", env...)
	env = append(env, "ADDR="+strings.TrimPrefix(issuer.url, "http://"))
	api := start(t, "api", "ISSUER="+issuer.url)

	c := &callers{}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer func() { cancel(); work.Wait() }()
	var sources []*outbound.Source
	for range 50 {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		defer transport.CloseIdleConnections()
		source, err := outbound.New(outbound.Config{
			Issuer: issuer.url, ClientID: "worker", Secret: outbound.Secret(secret), Origins: []string{api.url},
			HTTP: &http.Client{Transport: transport}, Quiet: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		sources = append(sources, source)
		work.Go(func() { c.run(ctx, t, source.Client(), api.url+"/v1/whoami") })
	}
	failures := func() (n uint64) {
		for _, s := range sources {
			n += s.Status().Failures
		}
		return n
	}
	// It lasts longer if no caller has noticed a kill so far, by the failure of a fetch.
	for started := time.Now(); time.Since(started) < lasting || failures() == 0 && time.Since(started) < 3*lasting; c.kills++ {
		time.Sleep(pause + rand.N(pause))
		if err := issuer.Process.Kill(); err != nil {
			t.Error(err)
		}
		<-issuer.done
		time.Sleep(rand.N(time.Second))
		issuer = start(t, "example", env...)
	}
	time.Sleep(pause)
	cancel()
	work.Wait()
	c.failures = failures()
	for _, s := range sources {
		c.fetches += s.Status().Fetches
	}
	t.Logf("kills %d, calls %d, failed %d; token requests %d, of which failed %d", c.kills, c.calls.Load(), c.failed.Load(), c.fetches, c.failures)
	return c
}

func (c *callers) run(ctx context.Context, t *testing.T, client *http.Client, api string) {
	for ctx.Err() == nil {
		err := getOK(client, api)
		if c.calls.Add(1); err != nil && c.failed.Add(1) < 10 {
			t.Errorf("a call failed: %v", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100*time.Millisecond + rand.N(100*time.Millisecond)):
		}
	}
}

// getOK is not interrupted when the test ends, so that no call fails by that.
func getOK(client *http.Client, url string) error {
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s", answer.Status, body)
	}
	return err
}
