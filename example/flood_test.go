//go:build rehearsal

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// TestUnknownFlood floods a running issuer on PostgreSQL with unknown ids, from 3000
// connections of one network. It prints the latency of clients at work,
// beside that under the same flood of a route that only answers 401. Then the
// issuer is restarted under the flood, and 1000 clients, each of a network of its
// own, must have a token within 10 s.
//
//	POSTGRES_URL=… go test -tags rehearsal -run TestUnknownFlood -v ./example
func TestUnknownFlood(t *testing.T) {
	const clients, senders, phase = 1000, 3000, 10 * time.Second
	records := make([]map[string]any, clients)
	for n := range records {
		secret, _ := registry.GenerateSecret()
		records[n] = map[string]any{"client_id": fmt.Sprintf("client-%d", n), "client_secret": secret, "scope": "orders:read"}
	}
	file := filepath.Join(t.TempDir(), "clients.json")
	doc, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"DATABASE_URL=" + database(t), kek, "ISSUER=http://127.0.0.1:8080"} // the keys are sealed for it
	p := start(t, "example", append(env, "CLIENTS="+file)...)
	secretOf := func(n int) string { secret, _ := records[n]["client_secret"].(string); return secret }
	unknown, _ := registry.GenerateSecret()

	var target atomic.Pointer[string]
	target.Store(&p.url)
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	var guard atomic.Bool // the flood goes to the route that answers 401
	var sent atomic.Int64
	for n := range senders {
		flood.Go(func() {
			sender := from("127.9.0." + fmt.Sprint(1+n%200))
			for k := 0; ctx.Err() == nil; k++ {
				if guard.Load() {
					statusOfGet(ctx, sender, *target.Load()+"/v1/orders")
				} else {
					grant(ctx, sender, *target.Load(), fmt.Sprintf("nobody-%d-%d", n, k), unknown)
				}
				sent.Add(1)
			}
		})
	}
	measure := func() (p50, p99 time.Duration) {
		var mu sync.Mutex
		var took []time.Duration
		var known sync.WaitGroup
		end := time.Now().Add(phase)
		for n := range 20 {
			known.Go(func() {
				client := from(fmt.Sprintf("127.1.%d.1", n))
				for time.Now().Before(end) {
					begun := time.Now()
					if status := grant(ctx, client, p.url, fmt.Sprintf("client-%d", n), secretOf(n)); status != http.StatusOK {
						t.Errorf("a client at work was answered %d", status)
					}
					mu.Lock()
					took = append(took, time.Since(begun))
					mu.Unlock()
					time.Sleep(50 * time.Millisecond)
				}
			})
		}
		known.Wait()
		slices.Sort(took)
		return took[len(took)/2], took[len(took)*99/100]
	}
	for round := range 2 {
		guard.Store(true)
		time.Sleep(2 * time.Second)
		base50, base99 := measure()
		guard.Store(false)
		time.Sleep(2 * time.Second)
		flood50, flood99 := measure()
		t.Logf("round %d: clients at work, p50 and p99: flood of the 401 route %v %v, of unknown ids %v %v: p99 %.2f ×",
			round+1, base50, base99, flood50, flood99, float64(flood99)/float64(base99))
	}

	p.stop(t)
	p = start(t, "example", append(env, "CLIENT_ID=other", "CLIENT_SECRET="+unknown)...)
	target.Store(&p.url)
	begun := time.Now()
	var slowest atomic.Int64
	var late atomic.Int64
	var good sync.WaitGroup
	for n := range clients {
		good.Go(func() {
			client := from(fmt.Sprintf("127.%d.%d.1", 20+n/250, n%250))
			for grant(ctx, client, p.url, fmt.Sprintf("client-%d", n), secretOf(n)) != http.StatusOK {
				time.Sleep(500 * time.Millisecond)
			}
			took := time.Since(begun)
			for most := slowest.Load(); int64(took) > most && !slowest.CompareAndSwap(most, int64(took)); {
				most = slowest.Load()
			}
			if took > 10*time.Second {
				late.Add(1)
			}
		})
	}
	good.Wait()
	stop()
	flood.Wait()
	t.Logf("after a restart the slowest of %d clients had a token after %v; the flood sent %d requests in all", clients, time.Duration(slowest.Load()).Round(time.Millisecond), sent.Load())
	if late.Load() > 0 {
		t.Errorf("%d clients waited for more than 10 s", late.Load())
	}
}

// from is a client that connects from one address of the loopback.
func from(address string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 1}}
}

// grant asks for a token and returns the status, 0 for no answer.
func grant(ctx context.Context, client *http.Client, base, id, secret string) int {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return 0
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return statusOf(client, r)
}

func statusOfGet(ctx context.Context, client *http.Client, url string) int {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	return statusOf(client, r)
}

func statusOf(client *http.Client, r *http.Request) int {
	answer, err := client.Do(r)
	if err != nil {
		time.Sleep(10 * time.Millisecond) // it is restarted
		return 0
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}
