package issuer

import (
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// start starts an issuer process that accepts chosen secrets.
func start(t *testing.T, store registry.Store) *service {
	t.Helper()
	return newService(t, Config{Store: store, ImportedSecrets: true})
}

// ask sends credentials from a host, and returns the status and Retry-After.
func (s *service) ask(host, id, secret string) (code, after int) {
	w := s.from(host+":4711", id, secret)
	after, _ = strconv.Atoi(w.Header().Get("Retry-After"))
	return w.Code, after
}

// guessers send a number of guesses per second, from the networks in turn, until stop is
// called. stop returns how many guesses were answered 401, which is to say compared.
func (s *service) guessers(networks, rate int, id func(n int) string) (stop func() int) {
	end, compared := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for k := 0; ; k++ {
			select {
			case <-end:
				compared <- n
				return
			default:
			}
			if s.status(fmt.Sprintf("203.0.%d.9", k%networks), id(k), "wrong"+strconv.Itoa(k)) == 401 {
				n++
			}
			time.Sleep(time.Second / time.Duration(rate))
		}
	}()
	return func() int {
		close(end)
		return <-compared
	}
}

func (s *service) status(host, id, secret string) int {
	code, _ := s.ask(host, id, secret)
	return code
}

func always(id string) func(int) string { return func(int) string { return id } }

func madeUp(n int) string { return "nobody" + strconv.Itoa(n) }

// While up to 10 networks guess, the right secret from another network succeeds within 60 s,
// whether the client obeys Retry-After or asks each second. Guessing stays slow.
func TestGuessingLocksNoClientOut(t *testing.T) {
	t.Parallel()
	for _, networks := range []int{1, 10} {
		for _, obey := range []bool{true, false} {
			guessAndAsk(t, time.Minute, networks, 20, obey)
		}
	}
}

// guessAndAsk runs guessers for a time before the client asks.
func guessAndAsk(t *testing.T, before time.Duration, networks, rate int, obey bool) {
	t.Helper()
	t.Run(fmt.Sprint(networks, " networks, ", rate, " a second, obeys: ", obey), func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { guessThenAsk(t, before, networks, rate, obey) })
	})
}

func guessThenAsk(t *testing.T, before time.Duration, networks, rate int, obey bool) {
	t.Helper()
	s := start(t, newStore(t, chosen(t, "app")))
	began := time.Now()
	stop := s.guessers(networks, rate, always("app"))
	time.Sleep(before)
	asked := time.Now()
	for {
		code, after := s.ask("198.51.100.7", "app", "secret456")
		if code == 200 {
			break
		}
		if code != 429 || time.Since(asked) > time.Hour {
			t.Fatalf("%d after %v", code, time.Since(asked))
		}
		if !obey {
			after = 1
		}
		time.Sleep(time.Duration(max(1, after)) * time.Second)
	}
	if took := time.Since(asked); took > time.Minute {
		t.Errorf("the right secret succeeded after %v", took)
	}
	for range 60 {
		if code := s.status("198.51.100.7", "app", "secret456"); code != 200 {
			t.Fatalf("%d from where it has succeeded", code)
		}
		time.Sleep(300 * time.Millisecond)
	}
	took := time.Since(began)
	if compared, most := stop(), 31+int(took/attemptEvery); compared > most {
		t.Errorf("%d guesses were compared in %v, want at most %d", compared, took, most)
	}
}

// Made-up generated secrets are not guesses, and lock no chosen secret out.
func TestGuessingNeedsChosenSecrets(t *testing.T) {
	s := start(t, newStore(t, chosen(t, "app")))
	for range 400 {
		forged, _ := registry.GenerateSecret()
		if code := s.status("203.0.113.9", "app", forged); code != 401 && code != 429 {
			t.Fatal(code)
		}
	}
	for _, from := range []string{"198.51.100.7", "203.0.113.10"} {
		if code := s.status(from, "app", "secret456"); code != 200 {
			t.Errorf("the right secret from %s: %d", from, code)
		}
	}
}

// All networks share the first attempts, also networks from which the client has
// succeeded.
func TestGuessingFromEachNetwork(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][]int{"trusted first": {0, 1, 2, 3, 4, 5}, "trusted last": {5, 0, 1, 2, 3, 4}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := start(t, newStore(t, chosen(t, "app")))
				for n := range 5 {
					if code := s.status("10.0."+strconv.Itoa(n)+".1", "app", "secret456"); code != 200 {
						t.Fatal(code)
					}
				}
				compared := 0
				for _, n := range order {
					for k := range 100 {
						if s.status("10.0."+strconv.Itoa(n)+".2", "app", "wrong"+strconv.Itoa(k)) == 401 { // a neighbour
							compared++
						}
					}
				}
				if compared > 35 {
					t.Errorf("%d guesses were compared at once, want at most 35", compared)
				}
			})
		})
	}
}

// After a restart, and at other replicas, the addresses at which a client has succeeded are
// known. Its right secret works there at once, whatever guesses arrive, even from the same
// network.
func TestGuessingAcrossARestart(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		host string // of the client; the guessers are in 203.0.0.0/24
		id   func(int) string
	}{
		"elsewhere":                 {"198.51.100.7", always("app")},
		"same network, unknown ids": {"203.0.0.7", madeUp},
		"same network, its id":      {"203.0.0.7", always("app")},
		"same address, unknown ids": {"203.0.0.9", madeUp},
		"same address, its id":      {"203.0.0.9", always("app")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t, chosen(t, "app"), chosen(t, "other"))
				before := start(t, store)
				if code := before.status(tt.host, "app", "secret456"); code != 200 {
					t.Fatal(code)
				}
				time.Sleep(5 * time.Second) // it is not closed: this is a crash
				for _, s := range []*service{start(t, store), start(t, store)} {
					s.status("192.0.2.1", "other", "wrong")
					stop := s.guessers(1, 50, tt.id)
					time.Sleep(10 * time.Second)
					for range 20 {
						if code := s.status(tt.host, "app", "secret456"); code != 200 {
							t.Fatalf("%d after the restart", code)
						}
						time.Sleep(500 * time.Millisecond)
					}
					if code := s.status("203.0.0.8", "other", "secret456"); code != 429 && name == "same network, unknown ids" {
						t.Errorf("%d for a client that has never succeeded there, want 429", code)
					}
					stop()
				}
			})
		})
	}
}

// An address at which a client succeeds at one replica is trusted at the other, also while
// both run.
func TestGuessingOtherReplica(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, chosen(t, "app"), chosen(t, "other"))
		a, b := start(t, store), start(t, store)
		if code := b.status("192.0.2.1", "other", "wrong"); code != 401 { // the replica is running
			t.Fatal(code)
		}
		time.Sleep(time.Minute)
		if code := a.status("198.51.100.7", "app", "secret456"); code != 200 {
			t.Fatal(code)
		}
		time.Sleep(5 * time.Second)
		stop := b.guessers(10, 100, always("app"))
		defer stop()
		time.Sleep(20 * time.Second)
		if code := b.status("198.51.100.7", "app", "secret456"); code != 200 {
			t.Errorf("%d at the other replica", code)
		}
	})
}

// A generated secret that has succeeded from a network works there after a restart, even
// while the network is refused for guessing.
func TestGuessingSparesGeneratedSecrets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		known, fresh := app(), app()
		known.ID, fresh.ID = "known", "new"
		store := newStore(t, chosen(t, "app"), known, fresh)
		before := start(t, store)
		if code := before.status("203.0.0.7", "known", appSecret); code != 200 {
			t.Fatal(code)
		}
		if err := before.issuer.Close(); err != nil {
			t.Fatal(err)
		}
		s := start(t, store)
		s.status("192.0.2.1", "app", "wrong")
		stop := s.guessers(1, 50, madeUp)
		defer stop()
		time.Sleep(10 * time.Second)
		for id, want := range map[string]int{"known": 200, "new": 429} {
			if code := s.status("203.0.0.7", id, appSecret); code != want {
				t.Errorf("%s: %d, want %d", id, code, want)
			}
		}
		if code := s.status("198.51.100.7", "new", appSecret); code != 200 {
			t.Errorf("from elsewhere: %d", code)
		}
	})
}
