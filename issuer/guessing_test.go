package issuer_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
)

// cheap is a chosen secret whose hash costs little.
func cheap(t *testing.T, plain string) registry.Secret {
	t.Helper()
	sum := argon2.IDKey([]byte(plain), []byte("some salt"), 1, 8, 1, 16)
	b64 := base64.RawStdEncoding
	secret, err := registry.ImportSecret("$argon2id$v=19$m=8,t=1,p=1$" + b64.EncodeToString([]byte("some salt")) + "$" + b64.EncodeToString(sum))
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func guessable(t *testing.T, ids ...string) *registry.Memory {
	t.Helper()
	var clients []registry.Client
	for _, id := range ids {
		clients = append(clients, registry.Client{ID: id, Secrets: []registry.Secret{cheap(t, "right")}, Audiences: []string{"https://api.example.com"}})
	}
	store, err := registry.NewMemory(clients...)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// process is one issuer process.
type process struct {
	*issuer.Issuer
	handler http.Handler
}

func start(t *testing.T, store registry.Store) process {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jwks.NewKeyring(private)
	if err != nil {
		t.Fatal(err)
	}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store, ImportedSecrets: true})
	if err != nil {
		t.Fatal(err)
	}
	return process{iss, iss.Handler()}
}

// ask sends a secret from an address, and returns the status and Retry-After.
func (p process) ask(from, id, secret string) (code, after int) {
	r := httptest.NewRequest("POST", "/token", strings.NewReader("grant_type=client_credentials&client_id="+id+"&client_secret="+secret))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.RemoteAddr = from + ":4711"
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	after, _ = strconv.Atoi(w.Header().Get("Retry-After"))
	return w.Code, after
}

func (p process) status(from, id, secret string) int {
	code, _ := p.ask(from, id, secret)
	return code
}

// guessers ask a number of times a second, the networks in turn, until stop is called,
// which returns how many guesses were looked at.
func (p process) guessers(networks, rate int, id func(n int) string) (stop func() int) {
	end, looked := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for k := 0; ; k++ {
			select {
			case <-end:
				looked <- n
				return
			default:
			}
			if p.status(fmt.Sprintf("203.0.%d.9", k%networks), id(k), "wrong"+strconv.Itoa(k)) == 401 {
				n++
			}
			time.Sleep(time.Second / time.Duration(rate))
		}
	}()
	return func() int {
		close(end)
		return <-looked
	}
}

func always(id string) func(int) string { return func(int) string { return id } }

// Up to 100 guesses a second from up to 10 networks: the right secret from another
// network gets through within 60 s, whether the client obeys Retry-After or asks each
// second, and guessing stays slow.
func TestGuessingLocksNobodyOut(t *testing.T) {
	t.Parallel()
	guessFor(t, 2*time.Minute)
}

// guessFor has guessers at work for a time before the client asks.
func guessFor(t *testing.T, before time.Duration) {
	t.Helper()
	for _, networks := range []int{1, 2, 10} {
		for _, rate := range []int{10, 100} {
			for _, obey := range []bool{true, false} {
				t.Run(fmt.Sprint(networks, " networks, ", rate, " a second, obeys: ", obey), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { guessThenAsk(t, before, networks, rate, obey) })
				})
			}
		}
	}
}

func guessThenAsk(t *testing.T, before time.Duration, networks, rate int, obey bool) {
	t.Helper()
	p := start(t, guessable(t, "app"))
	defer p.Close()
	began := time.Now()
	stop := p.guessers(networks, rate, always("app"))
	time.Sleep(before)
	asked := time.Now()
	for {
		code, after := p.ask("198.51.100.7", "app", "right")
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
		t.Errorf("the right secret got through after %v", took)
	}
	for range 600 {
		if code := p.status("198.51.100.7", "app", "right"); code != 200 {
			t.Fatalf("%d from where it has worked", code)
		}
		time.Sleep(100 * time.Millisecond)
	}
	took := time.Since(began)
	if compared, most := stop(), 31+int(took/(5*time.Second)); compared > most {
		t.Errorf("%d guesses were compared in %v, want at most %d", compared, took, most)
	}
}

// Made-up generated secrets, which cannot be guesses, lock out no chosen one.
func TestGuessingNeedsChosenSecrets(t *testing.T) {
	p := start(t, guessable(t, "app"))
	defer p.Close()
	for range 1000 {
		forged, _ := registry.GenerateSecret()
		if code := p.status("203.0.113.9", "app", forged); code != 401 && code != 429 {
			t.Fatal(code)
		}
	}
	for _, from := range []string{"198.51.100.7", "203.0.113.10"} {
		if code := p.status(from, "app", "right"); code != 200 {
			t.Errorf("the right secret from %s: %d", from, code)
		}
	}
}

// The free attempts are for all networks together, those where the client works among
// them.
func TestGuessingFromEachNetwork(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][]int{"trusted first": {0, 1, 2, 3, 4, 5}, "trusted last": {5, 0, 1, 2, 3, 4}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, guessable(t, "app"))
				defer p.Close()
				for n := range 5 {
					if code := p.status("10.0."+strconv.Itoa(n)+".1", "app", "right"); code != 200 {
						t.Fatal(code)
					}
				}
				looked := 0
				for _, n := range order {
					for k := range 100 {
						if p.status("10.0."+strconv.Itoa(n)+".2", "app", "wrong"+strconv.Itoa(k)) == 401 { // a neighbour
							looked++
						}
					}
				}
				if looked > 35 {
					t.Errorf("%d guesses were looked at, at once", looked)
				}
			})
		})
	}
}

// Where a client has succeeded is known after a restart, and to other replicas: a
// right secret works there at once, whatever guesses arrive, from the same network too.
func TestGuessingAcrossARestart(t *testing.T) {
	t.Parallel()
	made := func(n int) string { return "nobody" + strconv.Itoa(n) }
	for name, tt := range map[string]struct {
		network string // of the client; the guessers are in 203.0.0.0/24
		id      func(int) string
	}{
		"elsewhere":                 {"198.51.100.7", always("app")},
		"same network, unknown ids": {"203.0.0.7", made},
		"same network, the client":  {"203.0.0.7", always("app")},
		"same address, unknown ids": {"203.0.0.9", made},
		"same address, the client":  {"203.0.0.9", always("app")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := guessable(t, "app", "other")
				before := start(t, store)
				if code := before.status(tt.network, "app", "right"); code != 200 {
					t.Fatal(code)
				}
				time.Sleep(5 * time.Second) // no Close: a crash
				other := start(t, store)
				defer other.Close()
				for _, p := range []process{start(t, store), other} {
					p.status("192.0.2.1", "other", "wrong") // so that unknown ids cost as little as it does
					stop := p.guessers(1, 50, tt.id)
					time.Sleep(20 * time.Second)
					for range 60 {
						if code := p.status(tt.network, "app", "right"); code != 200 {
							t.Fatalf("%d after the restart", code)
						}
						time.Sleep(500 * time.Millisecond)
					}
					if code := p.status("203.0.0.8", "other", "right"); code != 429 && tt.network == "203.0.0.7" && name == "same network, unknown ids" {
						t.Errorf("%d for a client that never worked from there", code)
					}
					stop()
					if err := p.Close(); err != nil {
						t.Error(err)
					}
				}
				if err := before.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What another replica has learned while both run is known here when it matters.
func TestGuessingOtherReplica(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := guessable(t, "app", "other")
		a, b := start(t, store), start(t, store)
		defer a.Close()
		defer b.Close()
		if code := b.status("192.0.2.1", "other", "wrong"); code != 401 { // it runs
			t.Fatal(code)
		}
		time.Sleep(time.Minute)
		if code := a.status("198.51.100.7", "app", "right"); code != 200 {
			t.Fatal(code)
		}
		time.Sleep(5 * time.Second)
		stop := b.guessers(10, 100, always("app"))
		defer stop()
		time.Sleep(time.Minute)
		if code := b.status("198.51.100.7", "app", "right"); code != 200 {
			t.Errorf("%d at the other replica", code)
		}
	})
}

// A generated secret that has worked from a network works there after a restart, while
// guesses from there have the network refused.
func TestGuessingSparesGeneratedSecrets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plain, secret := registry.GenerateSecret()
		store := guessable(t, "app")
		for _, id := range []string{"known", "new"} {
			if err := store.Put(registry.Client{ID: id, Secrets: []registry.Secret{secret}, Audiences: []string{"https://api.example.com"}}); err != nil {
				t.Fatal(err)
			}
		}
		before := start(t, store)
		if code := before.status("203.0.0.7", "known", plain); code != 200 {
			t.Fatal(code)
		}
		if err := before.Close(); err != nil {
			t.Fatal(err)
		}
		p := start(t, store)
		defer p.Close()
		p.status("192.0.2.1", "app", "wrong")
		stop := p.guessers(1, 50, func(n int) string { return "nobody" + strconv.Itoa(n) })
		defer stop()
		time.Sleep(20 * time.Second)
		for id, want := range map[string]int{"known": 200, "new": 429} {
			if code := p.status("203.0.0.7", id, plain); code != want {
				t.Errorf("%s: %d, want %d", id, code, want)
			}
		}
		if code := p.status("198.51.100.7", "new", plain); code != 200 {
			t.Errorf("from elsewhere: %d", code)
		}
	})
}

// A body that does not arrive holds no more memory than a short one, whatever length
// is announced.
func TestSlowBody(t *testing.T) {
	store, err := registry.NewMemory()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, store)
	defer p.Close()
	s := httptest.NewServer(p.Handler())
	defer s.Close()
	each := map[int]int64{}
	var open []net.Conn // all to the end, so that nothing is freed in between
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	for _, length := range []int{200, 200, 64 << 10} { // the first one warms up
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		const connections = 200
		for range connections {
			c, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(c, "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n", length)
			open = append(open, c)
		}
		time.Sleep(500 * time.Millisecond)
		runtime.GC()
		runtime.ReadMemStats(&after)
		each[length] = (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / connections
	}
	t.Logf("heap of a connection that sends no body, by the length it announces: %v", each)
	if each[64<<10] > each[200]+4<<10 {
		t.Errorf("a connection that has sent nothing holds %d B", each[64<<10])
	}
}
