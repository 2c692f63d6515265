package issuer

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// After 30 wrong secrets the answer is 429, also for the right one from an unknown address.
// Then one attempt per 5 s is let through, networks in turn.
func TestLockout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newGuessed(t, 0, chosen(t, "app"), chosen(t, "other"))
		wrong := func(n int) {
			t.Helper()
			for range n {
				s.wantUnauthorized(t, s.from(address(1), "app", "wrong"), errWrongSecret)
			}
		}
		wrong(30)
		for range 10 {
			s.wantLocked(t, s.from(address(1), "app", "wrong"), 5)
			s.wantLocked(t, s.from(address(2), "app", "secret456"), 10)
		}
		s.wantToken(t, s.from(address(1), "other", "secret456"))

		time.Sleep(4 * time.Second)
		s.wantLocked(t, s.from(address(1), "app", "wrong"), 1)
		time.Sleep(time.Second)
		wrong(1)
		s.wantLocked(t, s.from(address(1), "app", "wrong"), 10) // after the other network
		time.Sleep(5 * time.Second)
		s.wantToken(t, s.from(address(2), "app", "secret456"))

		// A success gives no attempts back to a network that guesses.
		s.wantLocked(t, s.from(address(1), "app", "wrong"), 5)
		time.Sleep(5 * time.Second)
		wrong(1)
		s.wantLocked(t, s.from(address(1), "app", "wrong"), 5)
		time.Sleep(10 * attemptEvery)
		wrong(1 + 9) // its own turn, and the attempts that became available since
		s.wantLocked(t, s.from(address(1), "app", "wrong"), 5)
		for _, pause := range []time.Duration{40 * attemptEvery, 4 * time.Hour} {
			time.Sleep(pause)
			wrong(30)
			s.wantLocked(t, s.from(address(1), "app", "wrong"), 5)
		}
	})
}

// Guessing for hours gets no more attempts, from any number of networks.
func TestLockoutForHours(t *testing.T) {
	t.Parallel()
	for networks, least := range map[int]int{1: 400, 20: 1000, 100: 600} {
		synctest.Test(t, func(t *testing.T) {
			s := newGuessed(t, 30, chosen(t, "app"))
			tried := 0
			const hours = 2
			for n := range hours * 3600 / 2 {
				if s.from(address(n%networks), "app", "wrong").Code == 401 {
					tried++
				}
				time.Sleep(2 * time.Second)
			}
			if most := 30 + int(hours*time.Hour/attemptEvery); tried > most || tried < least {
				t.Errorf("%d guesses in %d h from %d networks, want %d", tried, hours, networks, most)
			}
		})
	}
}

// Concurrent guesses learn no more than successive ones. A right guess that comes too late
// gets the same answer as the wrong ones.
func TestLockoutCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newGuessed(t, 3, chosen(t, "app"))
		queue := s.issuer.secrets.slow.queue
		queue.free = 0
		statuses := make(chan int, 50)
		for n := range cap(statuses) {
			secret := "wrong" + strconv.Itoa(n)
			if n == 40 {
				secret = "secret456"
			}
			go func() { statuses <- s.from(address(n), "app", secret).Code }()
			synctest.Wait() // so that they queue in this order
		}
		queue.release()
		count := map[int]int{}
		for range cap(statuses) {
			count[<-statuses]++
		}
		if count[401] != 3 || count[429] != 47 {
			t.Errorf("answers %v, want 3 of 401 and 47 of 429", count)
		}
	})
}

// One network has ten times as many attempts, for all clients and unknown ids together.
// Other networks are not affected.
func TestLockoutNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newGuessed(t, 5, chosen(t, "app"), chosen(t, "other"))
		for n := range 5 * 10 {
			s.wantUnauthorized(t, s.from(fmt.Sprintf("192.0.2.%d:1", n), "nobody"+strconv.Itoa(n), "wrong"), errUnknownClient)
		}
		s.wantLocked(t, s.from("192.0.2.200:1", "nobody", "wrong"), 30)
		s.wantLocked(t, s.from("192.0.2.201:1", "app", "secret456"), 30)
		s.wantToken(t, s.from("192.0.3.1:1", "app", "secret456"))
		time.Sleep(networkRefill)
		s.wantToken(t, s.from("192.0.2.201:1", "app", "secret456"))
	})
}

// While a thousand networks guess at a client, its right secret works from addresses at
// which it has succeeded. After the attack it works from anywhere.
func TestLockoutAttackedClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newGuessed(t, 30, chosen(t, "app"))
		s.wantToken(t, s.from(address(0), "app", "secret456"))
		refused := 0
		for range 4 {
			for k := range 1000 {
				if w := s.from(address(1+k), "app", "wrong"); w.Code == 429 {
					refused++
				}
			}
			s.wantToken(t, s.from(address(0), "app", "secret456"))
			s.wantToken(t, s.from("1.0.0.77:1", "app", "secret456")) // of its network
			s.wantStatus(t, s.from(address(200_000), "app", "secret456"), 429)
			time.Sleep(5 * time.Minute)
		}
		if refused < 3000 {
			t.Errorf("%d are refused: no attack", refused)
		}
		time.Sleep(longestWait)
		s.wantToken(t, s.from(address(200_001), "app", "secret456"))
	})
}

// An attacker in the client's network gets only a few more guesses, and the answers do not
// reveal that the client is there. At the client's own address its right secret works
// whatever neighbours send, even from that address.
func TestLockoutTrustedNetwork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newGuessed(t, 12, chosen(t, "app"))
		const mine, neighbour = "192.0.2.7:1", "192.0.2.200:1"
		s.wantToken(t, s.from(mine, "app", "secret456"))
		for _, from := range []string{neighbour, mine} {
			for range 6 {
				s.wantUnauthorized(t, s.from(from, "app", "wrong"), errWrongSecret)
				s.wantUnauthorized(t, s.from(from, "nobody", "wrong"), errUnknownClient)
			}
		}
		for n := range 1000 {
			for _, from := range []string{neighbour, mine} {
				s.wantLocked(t, s.from(from, "app", "wrong"+strconv.Itoa(n)), 5)
				s.wantLocked(t, s.from(from, "nobody", "wrong"+strconv.Itoa(n)), 5)
			}
			if n%100 == 0 {
				s.wantToken(t, s.from(mine, "app", "secret456"))
			}
		}
		s.wantLocked(t, s.from(neighbour, "app", "secret456"), 5) // 2 = 12/6 guesses were compared
		time.Sleep(spareRefill)
		s.wantToken(t, s.from(neighbour, "app", "secret456"))
	})
}

// Neighbours of a client share a few attempts, beside those that all share.
func TestLockoutNeighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newGuessed(t, 12, chosen(t, "app"))
		for n := range 3 {
			s.wantToken(t, s.from(address(n), "app", "secret456"))
		}
		for range 12 {
			s.wantUnauthorized(t, s.from(address(100), "app", "wrong"), errWrongSecret)
		}
		s.wantToken(t, s.from("1.0.2.77:1", "app", "secret456"))
		for n := range 2 {
			s.wantStatus(t, s.from(fmt.Sprintf("1.0.%d.78:1", n), "app", "wrong"), 429)
		}
		s.wantStatus(t, s.from("1.0.2.79:1", "app", "secret456"), 429)
		s.wantToken(t, s.from("1.0.2.77:1", "app", "secret456"))
		s.wantToken(t, s.from(address(2), "app", "secret456"))
	})
}

// Guesses from the client's own address are limited too.
func TestLockoutTrustEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newGuessed(t, 12, chosen(t, "app"))
		s.wantToken(t, s.from(address(1), "app", "secret456"))
		for n := range trustedFailures + 100 {
			s.from(address(1), "app", "wrong"+strconv.Itoa(n))
		}
		s.wantStatus(t, s.from(address(1), "app", "secret456"), 429)
	})
}

// A refused network causes no query, with secrets of either kind, except for a client that
// is trusted there or was seen recently.
func TestLockoutSavesQueries(t *testing.T) {
	generated, _ := registry.GenerateSecret()
	for name, used := range map[string]string{"chosen": "wrong", "generated": generated} {
		synctest.Test(t, func(t *testing.T) {
			cold := app()
			cold.ID = "cold"
			store := &watched{Memory: newStore(t, app(), cold, chosen(t, "trusted"))}
			s := newService(t, Config{ImportedSecrets: true, FailedAttempts: 2, Store: store})
			s.wantToken(t, s.from(address(1), "trusted", "secret456"))
			s.wantToken(t, s.from(address(2), "app", appSecret))
			for n := range 2 * 10 {
				s.from(address(1), "nobody"+strconv.Itoa(n), used)
			}
			reads := store.reads.Load()
			for n := range 100 {
				s.wantStatus(t, s.from(address(1), "unknown"+strconv.Itoa(n), generated), 429)
				if used != generated {
					s.wantStatus(t, s.from(address(1), "unknown"+strconv.Itoa(n), used), 429)
				}
			}
			s.wantStatus(t, s.from(address(1), "cold", appSecret), 429)
			if got := store.reads.Load(); got != reads {
				t.Errorf("%s: %d queries for requests that are refused", name, got-reads)
			}
			s.wantToken(t, s.from(address(2), "cold", appSecret))
			s.wantToken(t, s.from(address(1), "cold", appSecret))
			time.Sleep(clientFresh)
			for range 2 * 10 {
				s.from(address(1), "nobody", used)
			}
			s.wantToken(t, s.from(address(1), "trusted", "secret456"))
			s.wantToken(t, s.from(address(1), "app", appSecret))
		})
	}
}

// A refused request costs no hash.
func TestLockoutSavesHashes(t *testing.T) {
	s := newService(t, Config{ImportedSecrets: true, FailedAttempts: 2}, chosenClient(t, "secret456"))
	hashes := s.slowHashesIn(func() {
		for range 10 {
			s.from(address(1), "app", "wrong")
			s.from(address(1), "nobody", "wrong")
		}
	})
	if hashes != 4 {
		t.Errorf("%d slow hashes, want one for each attempt that was let through", hashes)
	}
}

// A right generated secret works after any failures, of its client or its network. Wrong
// ones count for their network only.
func TestLockoutGenerated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := chosen(t, "app")
		c.Secrets = append(c.Secrets, appStored)
		s := newGuessed(t, 3, c, chosen(t, "other"))
		other, _ := registry.GenerateSecret()
		for range 3 * networkFactor / 2 {
			s.wantUnauthorized(t, s.from(address(1), "app", other), errWrongSecret)
			s.wantUnauthorized(t, s.from(address(1), "nobody", other), errUnknownClient)
		}
		s.wantLocked(t, s.from(address(1), "app", other), 1)
		s.wantLocked(t, s.from(address(1), "nobody", other), 1)
		for range 10 {
			s.wantToken(t, s.from(address(1), "app", appSecret))
		}
		// They are not guesses, so nothing else is refused.
		s.wantToken(t, s.from(address(2), "app", "secret456"))
		for range 3 {
			s.wantUnauthorized(t, s.from(address(3), "app", "wrong"), errWrongSecret)
		}
		s.wantLocked(t, s.from(address(3), "app", "wrong"), 5)
		s.wantToken(t, s.from(address(3), "app", appSecret))
		// Its success does not make a chosen secret trusted.
		s.wantLocked(t, s.from(address(3), "app", "secret456"), 5)
	})
}

// An unknown id and a client get the same answers through a whole attack: bursts, pauses,
// several networks, both kinds of secret.
func TestLockoutUnknownAlike(t *testing.T) {
	t.Parallel()
	generated, _ := registry.GenerateSecret()
	disabled := chosen(t, "disabled")
	disabled.Disabled = true
	keyless := chosen(t, "keyless")
	keyless.Secrets = nil
	siege := func(t *testing.T, id string) (answers []string) {
		synctest.Test(t, func(t *testing.T) {
			s := newGuessed(t, 5, chosen(t, "chosen"), app(), disabled, keyless)
			ask := func(n, network int, secret string) {
				for range n {
					w := s.from(address(network), id, secret)
					answers = append(answers, fmt.Sprint(w.Code, w.Header(), w.Body))
				}
			}
			ask(4, 1, "wrong")
			ask(4, 2, generated)
			time.Sleep(attemptEvery)
			ask(3, 3, "wrong")
			time.Sleep(attemptEvery * 5 / 2)
			ask(2, 3, generated)
			ask(2, 1, "wrong")
			time.Sleep(attemptEvery / 2)
			ask(2, 1, "wrong")
			ask(70, 2, generated)
			ask(2, 2, "wrong")
			time.Sleep(queryRefill)
			ask(3, 2, generated)
			time.Sleep(2 * time.Hour)
			ask(8, 4, "wrong")
			for n := range 60 {
				ask(1, 1000, "wrong"+strconv.Itoa(n))
				time.Sleep(time.Second)
			}
		})
		return answers
	}
	want := siege(t, "nobody")
	if !slices.ContainsFunc(want, func(a string) bool { return a[:3] == "429" }) || want[0][:3] != "401" {
		t.Errorf("answers %v", want)
	}
	for _, id := range []string{"chosen", "app", "disabled", "keyless"} {
		if got := siege(t, id); !slices.Equal(got, want) {
			t.Errorf("%s is answered\n%v\nwant\n%v", id, got, want)
		}
	}
}

// Only the success of a chosen secret makes an address trusted. Attempts that succeed keep
// no count.
func TestLockoutKeepsLittle(t *testing.T) {
	s := newGuessed(t, 5, app(), chosen(t, "chosen"))
	for n := range 10 {
		s.wantToken(t, s.from(address(n), "app", appSecret))
	}
	l := s.issuer.secrets.lockout
	if l.clients.clients.all.len()+l.networks.all.len()+l.queries.all.len()+l.trust.addresses("app", true) != 0 {
		t.Error("a generated secret is counted")
	}
	for n := range 10 {
		s.wantToken(t, s.from(address(n), "chosen", "secret456"))
	}
	if clients, networks, trusted := l.clients.clients.all.len(), l.networks.all.len(), l.trust.addresses("chosen", true); clients+networks != 0 || trusted != 10 {
		t.Errorf("%d, %d, %d", clients, networks, trusted)
	}
}

// addresses returns the number of known addresses of a client, of chosen or of generated
// secrets.
func (t *trust) addresses(id string, chosen bool) (n int) {
	t.client(id, func(c *trustedClient, _ time.Time) {
		for _, p := range c.addresses {
			if p.chosen == chosen {
				n++
			}
		}
	})
	return n
}

func TestLockoutOff(t *testing.T) {
	s := newGuessed(t, -1, chosen(t, "app"))
	for range 400 {
		s.wantUnauthorized(t, s.from(address(1), "app", "wrong"), errWrongSecret)
	}
	s.wantToken(t, s.from(address(1), "app", "secret456"))
}

// All three endpoints share the count.
func TestLockoutEverywhere(t *testing.T) {
	s := newGuessed(t, 3, chosen(t, "app"))
	for _, path := range []string{"/token", "/revoke", "/introspect"} {
		s.wantUnauthorized(t, s.postTo(path, "grant_type=client_credentials&token=x", "Authorization", basic("app", "wrong")), errWrongSecret)
	}
	for _, path := range []string{"/token", "/revoke", "/introspect"} {
		s.wantStatus(t, s.postTo(path, "grant_type=client_credentials&token=x", "Authorization", basic("app", "wrong")), 429)
	}
}

// For the race detector: attempts of all kinds at once.
func TestLockoutConcurrently(t *testing.T) {
	s := newGuessed(t, 5, app(), chosen(t, "chosen"))
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for n := range 50 {
				s.wantStatus(t, s.from(address(worker), "app", appSecret), 200)
				for _, id := range []string{"chosen", "nobody" + strconv.Itoa(n%3)} {
					if got := s.from(address(n%5), id, "wrong").Code; got != 401 && got != 429 {
						t.Errorf("status %d", got)
					}
				}
			}
		})
	}
	all.Wait()
	s.wantStatus(t, s.from(address(1), "chosen", "wrong"), 429)
}

// A pause gives a network back no more attempts than one per networkRefill, also where
// FailedAttempts is large.
func TestLockoutNetworkAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newGuessed(t, 100, chosen(t, "app"))
		s.wantToken(t, s.from(address(2), "app", "secret456")) // unknown ids now cost as little
		compared := func() (n int) {
			for k := range 100 * networkFactor {
				if s.from(address(1), "nobody"+strconv.Itoa(k), "wrong").Code == http.StatusUnauthorized {
					n++
				}
			}
			return n
		}
		if got := compared(); got != 100*networkFactor {
			t.Fatalf("%d attempts, want %d", got, 100*networkFactor)
		}
		const pause = 4 * time.Hour
		time.Sleep(pause)
		if got, most := compared(), int(pause/networkRefill); got > most {
			t.Errorf("%d attempts after %v, want at most %d", got, pause, most)
		}
	})
}
