//go:build rehearsal

package issuer_test

import (
	"crypto/rand"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// Ten minutes of guesses lock nobody out either.
func TestGuessingForTenMinutes(t *testing.T) {
	guessFor(t, 10*time.Minute)
}

// One network that sends made-up ids holds two places before the slow hash: clients
// elsewhere wait for one of its hashes.
func TestGuessingHoldsNoQueue(t *testing.T) {
	const clients = 5
	secret, err := registry.HashSecret("right")
	if err != nil {
		t.Fatal(err)
	}
	var all []registry.Client
	for n := range clients {
		all = append(all, registry.Client{ID: "app" + strconv.Itoa(n), Secrets: []registry.Secret{secret}, Audiences: []string{"https://api.example.com"}})
	}
	store, err := registry.NewMemory(all...)
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, store)
	defer p.Close()
	stop := make(chan struct{})
	var attackers sync.WaitGroup
	var asked atomic.Int64
	for range 80 {
		attackers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					p.status("203.0.113.9", rand.Text(), "wrong")
					asked.Add(1)
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	codes := map[int]int{}
	for n := range clients {
		codes[p.status("198.51.100.7", "app"+strconv.Itoa(n), "right")]++
	}
	close(stop)
	attackers.Wait()
	if codes[200] != clients || asked.Load() < 100 {
		t.Errorf("of %d clients with the right secret, during %d other requests: %v", clients, asked.Load(), codes)
	}
}
