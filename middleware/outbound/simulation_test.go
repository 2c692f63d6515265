package outbound

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var simulationSeed = flag.Uint64("seed", 0, "the seed of the simulation; 0 takes another one each time")

// world is an authorization server and an API through six hours of trouble, for many
// clients.
type world struct {
	began time.Time
	dice  *rand.Rand

	mu       sync.Mutex
	key      int            // the latest key; a token of an older one than trusted is refused
	trusted  int            // the oldest key that the API trusts
	granted  int            // tokens
	cut      map[string]int // by client: its tokens up to this one are revoked
	down     bool           // the outage
	secret   string
	requests int            // outside the outage
	perMin   []int          // token requests of each minute
	wrong    map[string]int // by client: tries with a wrong secret
	replaced int            // tokens that a revocation or a dropped key took away
}

// simToken is what a token says: client.key.number.
type simToken struct {
	client      string
	key, number int
}

func (w *world) auth(r *http.Request) (*http.Response, error) {
	client, secret, _ := r.BasicAuth()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.perMin[int(time.Since(w.began)/time.Minute)]++
	if w.down {
		switch w.dice.IntN(3) {
		case 0:
			return nil, errors.New("connection refused")
		case 1:
			return answerOf(502, "<html>bad gateway</html>"), nil
		}
		return answerOf(503, "", "Retry-After", "7"), nil
	}
	w.requests++
	if secret != w.secret {
		w.wrong[client]++
		return answerOf(401, `{"error":"invalid_client"}`), nil
	}
	w.granted++
	return answerOf(200, fmt.Sprintf(`{"access_token":"%s.%d.%d","token_type":"Bearer","expires_in":3600}`, client, w.key, w.granted)), nil
}

func (w *world) api(r *http.Request) (*http.Response, error) {
	var t simToken
	header := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if _, err := fmt.Sscanf(strings.ReplaceAll(header, ".", " "), "%s %d %d", &t.client, &t.key, &t.number); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.key < w.trusted || t.number <= w.cut[t.client] {
		return answerOf(401, "", "WWW-Authenticate", `Bearer error="invalid_token"`), nil
	}
	return answerOf(200, ""), nil
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// script is what happens, and when.
func (w *world) script(sources int) {
	at := func(h time.Duration, do func()) {
		time.Sleep(time.Until(w.began.Add(h)))
		w.mu.Lock()
		defer w.mu.Unlock()
		do()
	}
	const minute = time.Minute
	at(25*minute, func() { w.key++ })       // a planned rotation
	at(45*minute, func() { w.down = true }) // 20 min of outage
	at(65*minute, func() { w.down = false })
	at(80*minute, func() { w.key++; w.trusted = w.key; w.replaced += sources }) // an emergency rotation: all tokens are refused
	at(95*minute, func() { w.revoke(sources / 10) })                            // a tenth of the clients are cut off
	at(120*minute, func() { w.secret = "another" })                             // 5 min of a wrong secret
	at(125*minute, func() { w.secret = testSecret })
	at(200*minute, func() { w.revoke(1) }) // one client is cut off
	at(240*minute, func() { w.key++ })     // a planned rotation
}

func (w *world) revoke(clients int) {
	for i := range clients {
		w.cut[fmt.Sprint("client", i)] = w.granted
	}
	w.replaced += clients
}

// simulate runs six hours of so many sources, each with a call every 30 to 90 s.
func simulate(t *testing.T, sources int) {
	seed := *simulationSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed=%d", seed)
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			began: time.Now(), dice: rand.New(rand.NewPCG(seed, 0)), secret: testSecret,
			cut: map[string]int{}, wrong: map[string]int{}, perMin: make([]int, 6*60+1),
		}
		var all sync.WaitGroup
		var failed, calls int
		for i := range sources {
			dice := rand.New(rand.NewPCG(seed, uint64(i+1)))
			s := newSource(t, roundTrip(w.auth), func(c *Config) { c.ClientID = fmt.Sprint("client", i) })
			jitter := rand.New(rand.NewPCG(seed, uint64(i+1+sources)))
			s.family.random = func(n time.Duration) time.Duration { return time.Duration(jitter.Int64N(max(int64(n), 1))) } // guarded by its lock
			target := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: "api.example.com"}, Header: http.Header{}}
			transport := s.Transport(roundTrip(w.api))
			all.Go(func() {
				for {
					res, err := transport.RoundTrip(target)
					w.mu.Lock()
					calls++
					if err != nil || res.StatusCode != http.StatusOK {
						if failed++; failed < 10 {
							t.Errorf("a call failed after %v: %v, %v", time.Since(w.began), res, err)
						}
					}
					w.mu.Unlock()
					pause := 30*time.Second + time.Duration(dice.Int64N(int64(time.Minute)))
					if time.Since(w.began)+pause >= 6*time.Hour {
						return
					}
					time.Sleep(pause)
				}
			})
		}
		w.script(sources)
		all.Wait()
		w.judge(t, sources, calls, failed)
	})
}

func (w *world) judge(t *testing.T, sources, calls, failed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if failed > 0 || calls < sources*6*55 {
		t.Errorf("%d of %d calls failed", failed, calls)
	}
	// A refresh begins after 20 to 40 of 60 min, 30 on average.
	refreshes := sources*6*2 + w.replaced
	each := float64(w.requests) / float64(refreshes)
	if each > 1.1 {
		t.Errorf("%.3f token requests per source and refresh", each)
	}
	peak, sum := 0, 0
	for _, n := range w.perMin[180:360] {
		peak, sum = max(peak, n), sum+n
	}
	mean := float64(sum) / 180
	if sources >= 500 && float64(peak) > 2.5*mean || mean == 0 {
		t.Errorf("a peak of %d token requests in a minute, the mean is %.1f", peak, mean)
	}
	tries := 0
	for _, n := range w.wrong {
		tries = max(tries, n)
	}
	if tries > 6 || sources >= 500 && tries == 0 {
		t.Errorf("a source tried a wrong secret %d times", tries)
	}
	t.Logf("%d sources, %d calls, %d failed; %.3f token requests per source and refresh; hours 3–6: peak %d, mean %.1f a minute (%.2f); a wrong secret: %d tries of %d sources, at most %d of one",
		sources, calls, failed, each, peak, mean, float64(peak)/mean, total(w.wrong), len(w.wrong), tries)
}

func total(counts map[string]int) (sum int) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// TestSixHours holds 500 sources against six hours of trouble. With -short it is 60, whose
// token requests are too few for a judgement of peaks.
func TestSixHours(t *testing.T) {
	if testing.Short() {
		simulate(t, 60)
		return
	}
	simulate(t, 500)
}
