//go:build rehearsal

package issuer

import (
	"crypto/rand"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// TestGuessingLocksNoClientOut with up to 100 guesses a second, for ten minutes before the
// client asks.
func TestGuessingForTenMinutes(t *testing.T) {
	for _, networks := range []int{1, 2, 10} {
		for _, rate := range []int{10, 100} {
			for _, obey := range []bool{true, false} {
				guessAndAsk(t, 10*time.Minute, networks, rate, obey)
			}
		}
	}
}

// One network that sends made-up ids has at most two waiters in the queue of slow hashes.
// Clients elsewhere wait for at most one of its hashes.
func TestGuessingHoldsNoQueue(t *testing.T) {
	const clients = 5
	secret, err := registry.HashSecret("right")
	if err != nil {
		t.Fatal(err)
	}
	var all []registry.Client
	for n := range clients {
		c := app()
		c.ID, c.Secrets = "app"+strconv.Itoa(n), []registry.Secret{secret}
		all = append(all, c)
	}
	s := start(t, newStore(t, all...))
	s.issuer.secrets.slow.dummy.Store(&secret) // an unknown id costs what a client does
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
					s.status("203.0.113.9", rand.Text(), "wrong")
					asked.Add(1)
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	for asked.Load() < 100 {
		time.Sleep(10 * time.Millisecond)
	}
	codes := map[int]int{}
	for n := range clients {
		codes[s.status("198.51.100.7", "app"+strconv.Itoa(n), "right")]++
	}
	close(stop)
	attackers.Wait()
	if codes[200] != clients {
		t.Errorf("%d clients with the right secret, during %d other requests, got: %v", clients, asked.Load(), codes)
	}
}
