package outbound

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var simulationSeed = flag.Uint64("seed", 0, "the seed of the simulation; 0 takes another one each time")

// world is an authorization server and an API through six hours of trouble, for many
// clients. All it draws for a client comes from dice of that client, so the order of
// goroutines changes nothing.
type world struct {
	began time.Time
	plot  plot

	mu       sync.Mutex
	dice     map[string]*rand.Rand      // by client
	asked    map[string][]time.Duration // by client: its token requests
	key      int                        // the latest key; a token of an older one than trusted is refused
	trusted  int                        // the oldest key that the API trusts
	granted  int                        // tokens
	cut      map[string]int             // by client: its tokens up to this one are revoked
	down     bool                       // the outage
	secret   string
	requests int            // outside the outage
	perMin   []int          // of these, in each minute
	wrong    map[string]int // by client: tries with a wrong secret
	replaced int            // tokens that a revocation or a dropped key took away
}

func (w *world) auth(r *http.Request) (*http.Response, error) {
	client, secret, _ := r.BasicAuth()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[client] = append(w.asked[client], time.Since(w.began))
	if w.down {
		switch w.dice[client].IntN(3) {
		case 0:
			return nil, errors.New("connection refused")
		case 1:
			return answerOf(502, "<html>bad gateway</html>"), nil
		}
		return answerOf(503, "", "Retry-After", "7"), nil
	}
	w.requests++
	w.perMin[int(time.Since(w.began)/time.Minute)]++
	if secret != w.secret {
		w.wrong[client]++
		return answerOf(401, `{"error":"invalid_client"}`), nil
	}
	w.granted++
	return answerOf(200, fmt.Sprintf(`{"access_token":"%s.%d.%d","token_type":"Bearer","expires_in":3600}`, client, w.key, w.granted)), nil
}

// api reads tokens of the form client.key.number.
func (w *world) api(r *http.Request) (*http.Response, error) {
	parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("the token is %q", parts)
	}
	client := parts[0]
	key, err := strconv.Atoi(parts[1])
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(parts[2])
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if key < w.trusted || number <= w.cut[client] {
		return answerOf(401, "", "WWW-Authenticate", `Bearer error="invalid_token"`), nil
	}
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// run makes happen what the plot says.
func (w *world) run(sources int) {
	p := w.plot
	acts := map[time.Duration]func(){
		p.planned[0]:      func() { w.key++ },
		p.planned[1]:      func() { w.key++ },
		p.emergency:       func() { w.key++; w.trusted = w.key; w.replaced += sources }, // all tokens are refused
		p.many:            func() { w.revoke(sources / 10) },
		p.one:             func() { w.revoke(1) },
		p.outage:          func() { w.down = true },
		p.outage + outage: func() { w.down = false },
		p.wrong:           func() { w.secret = "another" },
		p.wrong + wrong:   func() { w.secret = testSecret },
	}
	for _, at := range slices.Sorted(maps.Keys(acts)) {
		time.Sleep(time.Until(w.began.Add(at)))
		w.mu.Lock()
		acts[at]()
		w.mu.Unlock()
	}
}

func (w *world) revoke(clients int) {
	for i := range clients {
		w.cut[fmt.Sprint("client", i)] = w.granted
	}
	w.replaced += clients
}

// simulate runs six hours of so many sources, each with a call every 30 to 90 s. It
// returns when each client asked for tokens.
func simulate(t *testing.T, sources int, seed uint64) (asked map[string][]time.Duration) {
	t.Logf("-seed=%d", seed)
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			began: time.Now(), plot: draw(seed), secret: testSecret, dice: map[string]*rand.Rand{}, asked: map[string][]time.Duration{},
			cut: map[string]int{}, wrong: map[string]int{}, perMin: make([]int, 6*60+1),
		}
		t.Logf("%+v", w.plot)
		var all sync.WaitGroup
		var failed, calls int
		for i := range sources {
			client, own := fmt.Sprint("client", i), uint64(3*i+1)
			dice, jitter := rand.New(rand.NewPCG(seed, own)), rand.New(rand.NewPCG(seed, own+1))
			w.dice[client] = rand.New(rand.NewPCG(seed, own+2))
			s := newSource(t, roundTrip(w.auth), func(c *Config) { c.ClientID = client })
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
		w.run(sources)
		all.Wait()
		w.judge(t, sources, calls, failed)
		asked = w.asked
	})
	return asked
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
	peak, sum, minutes, caughtUp := 0, 0, 0, 0
	for minute := 180; minute < 360; minute++ {
		n := w.perMin[minute]
		if w.plot.calm(minute) {
			peak = max(peak, n)
		} else {
			caughtUp = max(caughtUp, n)
		}
		if !w.plot.out(minute) {
			sum, minutes = sum+n, minutes+1
		}
	}
	mean := float64(sum) / float64(minutes)
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
	t.Logf("%d sources, %d calls, %d failed; %.3f token requests per source and refresh; hours 3–6: peak %d, mean %.1f a minute (%.2f), %d while it caught up; a wrong secret: %d tries of %d sources, at most %d of one",
		sources, calls, failed, each, peak, mean, float64(peak)/mean, caughtUp, total(w.wrong), len(w.wrong), tries)
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
	sources, seed := 500, *simulationSeed
	if testing.Short() {
		sources = 60
	}
	if seed == 0 {
		seed = rand.Uint64()
	}
	simulate(t, sources, seed)
}

// A seed gives the same run each time.
func TestSeedReproducesARun(t *testing.T) {
	seed := rand.Uint64()
	first, second := simulate(t, 20, seed), simulate(t, 20, seed)
	for client, asked := range first {
		if !slices.Equal(asked, second[client]) {
			t.Errorf("%s asked for tokens at %v, and then at %v", client, asked, second[client])
		}
	}
	if other := simulate(t, 20, seed+1); slices.Equal(first["client0"], other["client0"]) {
		t.Error("another seed gives the same run")
	}
}
