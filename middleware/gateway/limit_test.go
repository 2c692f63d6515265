package gateway

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func newTestLimiter(tb testing.TB, c Limits) *limiter {
	tb.Helper()
	l, err := newLimiter(c)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// admittedOf sends n requests of one client from many goroutines at once, and returns how
// many were let in.
func admittedOf(l *limiter, rule string, limit Limit, client string, n int) int {
	var in atomic.Int64
	var work sync.WaitGroup
	for range n {
		work.Go(func() {
			if release, _, ok := l.client(rule, limit, callerIssuer, client); ok {
				in.Add(1)
				release()
			}
		})
	}
	work.Wait()
	return int(in.Load())
}

// A rate is exact under concurrency, for each client and each rule alone.
func TestRateIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLimiter(t, Limits{Client: Limit{Rate: 10, Burst: 20}})
		for _, client := range []string{"a", "b"} {
			if n := admittedOf(l, "any", Limit{}, client, 200); n != 20 {
				t.Errorf("client %s: %d requests were let in, want 20", client, n)
			}
		}
		if n := admittedOf(l, "another", Limit{}, "a", 200); n != 0 {
			t.Errorf("%d requests by another rule without a limit of its own, want 0", n)
		}
		if n := admittedOf(l, "own", Limit{Rate: 5}, "a", 200); n != 5 {
			t.Errorf("%d requests by a rule with a limit of its own, want 5", n)
		}
		if release, _, ok := l.client("any", Limit{}, "https://other.example.com", "a"); !ok {
			t.Error("the client of another issuer with the same id is limited")
		} else {
			release()
		}
		for range 5 {
			time.Sleep(700 * time.Millisecond)
			if n := admittedOf(l, "any", Limit{}, "a", 200); n != 7 {
				t.Errorf("after 700 ms %d requests, want 7", n)
			}
		}
		time.Sleep(time.Hour)
		if n := admittedOf(l, "any", Limit{}, "a", 200); n != 20 {
			t.Errorf("after an hour %d requests, want 20", n)
		}
	})
}

// No more requests than allowed are under way at once, whatever the order they end in. A
// second release gives nothing back.
func TestConcurrencyIsExact(t *testing.T) {
	l := newTestLimiter(t, Limits{})
	limit := Limit{Concurrent: 3}
	var now, most, in atomic.Int64
	var work sync.WaitGroup
	for range 50 {
		work.Go(func() {
			for range 200 {
				release, _, ok := l.client("rule", limit, callerIssuer, "a")
				if !ok {
					continue
				}
				in.Add(1)
				n := now.Add(1)
				old := most.Load()
				for n > old && !most.CompareAndSwap(old, n) {
					old = most.Load()
				}
				now.Add(-1)
				release()
				release()
			}
		})
	}
	work.Wait()
	if most.Load() > 3 || in.Load() == 0 {
		t.Errorf("%d requests under way at once, want at most 3; %d were let in", most.Load(), in.Load())
	}
	var releases []func()
	for range 3 {
		release, _, ok := l.client("rule", limit, callerIssuer, "a")
		if !ok {
			t.Fatal("a slot is lost")
		}
		releases = append(releases, release)
	}
	if _, retryAfter, ok := l.client("rule", limit, callerIssuer, "a"); ok || retryAfter <= 0 {
		t.Errorf("a fourth request is let in, or has no Retry-After (%v)", retryAfter)
	}
	releases[0]()
	if _, _, ok := l.client("rule", limit, callerIssuer, "a"); !ok {
		t.Error("a slot that was given back cannot be used")
	}
}

// A request that waits as long as Retry-After says, in whole seconds, is let in. One second
// less is too short.
func TestRetryAfterIsTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, limit := range []Limit{{Rate: 0.01}, {Rate: 0.1, Burst: 3}, {Rate: 1.0 / 3}, {Rate: 0.7, Burst: 2}, {Rate: 1}, {Rate: 3, Burst: 1}, {Rate: 1000, Burst: 5}, {Rate: 1e-6}, {Rate: maxLimit, Burst: 1}} {
			l := newTestLimiter(t, Limits{Client: limit})
			for i := range 20 {
				client := fmt.Sprint("client", i)
				time.Sleep(time.Duration(i) * 37 * time.Millisecond)
				var retryAfter time.Duration
				for ok := true; ok; {
					_, retryAfter, ok = l.client("", Limit{}, callerIssuer, client)
				}
				seconds := int(math.Ceil(retryAfter.Seconds()))
				if seconds < 1 {
					t.Fatalf("%+v: Retry-After is %d", limit, seconds)
				}
				if seconds > 1 {
					time.Sleep(time.Duration(seconds-1) * time.Second)
					if _, _, ok := l.client("", Limit{}, callerIssuer, client); ok {
						t.Errorf("%+v: let in a second before Retry-After (%d)", limit, seconds)
					}
					time.Sleep(time.Second)
				} else {
					time.Sleep(time.Second)
				}
				if _, _, ok := l.client("", Limit{}, callerIssuer, client); !ok {
					t.Errorf("%+v: refused after Retry-After (%d)", limit, seconds)
				}
			}
		}
	})
}

// A limit that changes with the policy applies to the requests that follow.
func TestLimitChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLimiter(t, Limits{})
		if n := admittedOf(l, "rule", Limit{Rate: 1, Burst: 10}, "a", 50); n != 10 {
			t.Errorf("%d requests, want 10", n)
		}
		if n := admittedOf(l, "rule", Limit{Rate: 100, Burst: 100}, "a", 50); n != 0 {
			t.Errorf("%d requests after the change, want 0: the bucket was empty", n)
		}
		time.Sleep(100 * time.Millisecond)
		if n := admittedOf(l, "rule", Limit{Rate: 100, Burst: 100}, "a", 50); n != 10 {
			t.Errorf("%d requests 100 ms later, want 10", n)
		}
		if n := admittedOf(l, "rule", Limit{Concurrent: 100}, "a", 50); n != 50 {
			t.Errorf("%d requests without a rate, want 50", n)
		}
	})
}

// A flood of clients takes a bounded number of slots. One whose limit is in use keeps its
// slot, so the flood gives it no further request; a new one is refused while all are in use.
func TestFloodOfClients(t *testing.T) { floodOfClients(t, 50_000) }

func floodOfClients(t *testing.T, clients int) {
	synctest.Test(t, func(t *testing.T) {
		const most = 4096
		l := newTestLimiter(t, Limits{Client: Limit{Rate: 1, Burst: 2}, MaxClients: most})
		if n := admittedOf(l, "", Limit{}, "busy", 10); n != 2 {
			t.Fatalf("%d requests, want 2", n)
		}
		in := 0
		for i := range clients {
			if _, _, ok := l.client("", Limit{}, callerIssuer, fmt.Sprint("flood", i)); ok {
				in++
			}
		}
		if in >= most || in < most*3/4 {
			t.Errorf("%d clients were let in, want about %d", in, most)
		}
		if n := l.clients.size(); n > most {
			t.Errorf("%d clients are counted, want at most %d", n, most)
		}
		if n := admittedOf(l, "", Limit{}, "busy", 10); n != 0 {
			t.Errorf("the flood gave %d requests to a client that had used its limit", n)
		}
		time.Sleep(2 * time.Second) // all buckets are full again
		for i := range most * 3 {
			if _, _, ok := l.client("", Limit{Concurrent: 1}, callerIssuer, fmt.Sprint("later", i)); ok && i > most {
				break // the slots of idle clients are taken, and these never end
			}
		}
		if n := l.clients.size(); n > most {
			t.Errorf("%d clients are counted, want at most %d", n, most)
		}
	})
}

// A client with a request under way keeps its slot, so its limit still counts after a flood.
func TestSlotOfARequestUnderWay(t *testing.T) {
	l := newTestLimiter(t, Limits{Client: Limit{Concurrent: 1}, MaxClients: 64})
	release, _, ok := l.client("", Limit{}, callerIssuer, "busy")
	if !ok {
		t.Fatal("the first request is refused")
	}
	for i := range 1000 {
		if end, _, ok := l.client("", Limit{}, callerIssuer, fmt.Sprint("flood", i)); ok {
			end()
		}
	}
	if _, _, ok := l.client("", Limit{}, callerIssuer, "busy"); ok {
		t.Error("a second request is let in while the first is under way")
	}
	release()
	if _, _, ok := l.client("", Limit{}, callerIssuer, "busy"); !ok {
		t.Error("a request is refused although none is under way")
	}
}

// Requests whose token is being checked count until that is done, so no more forged tokens
// are checked at once than the limit allows.
func TestChecksUnderWayCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLimiter(t, Limits{Unauthenticated: Limit{Rate: 1, Burst: 5}})
		var attempts []*attempt
		for i := range 20 {
			if a, _ := l.unauthenticated(request("192.0.2.1:1", fmt.Sprint("Bearer ", i)), nil); a != nil {
				attempts = append(attempts, a)
			}
		}
		if len(attempts) != 5 {
			t.Errorf("%d tokens are checked at once, want 5", len(attempts))
		}
		for _, a := range attempts {
			a.undecided()
		}
		if n := refusedOf(l, "192.0.2.1:1", 20); n != 5 {
			t.Errorf("%d requests were checked, want 5", n)
		}
	})
}

func request(address, authorization string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.RemoteAddr = address
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

// refusedOf sends n requests from one address that turn out to have no valid token, from
// many goroutines at once, and returns how many had their token checked.
func refusedOf(l *limiter, address string, n int) int {
	var checked atomic.Int64
	var work sync.WaitGroup
	for range n {
		work.Go(func() {
			if a, _ := l.unauthenticated(request(address, "Bearer forged"), nil); a != nil {
				checked.Add(1)
				a.refused()
			}
		})
	}
	work.Wait()
	return int(checked.Load())
}

// A network's requests without a valid token are counted exactly. A neighbour network is not
// held up, nor is a token that was admitted before, also of the same network.
func TestUnauthenticatedByNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLimiter(t, Limits{Unauthenticated: Limit{Rate: 1, Burst: 10}})
		good := request("192.0.2.1:1000", "Bearer good")
		for range 3 {
			a, _ := l.unauthenticated(good, nil)
			if a == nil {
				t.Fatal("a good token is refused")
			}
			a.admitted("app1", time.Now().Add(time.Hour))
		}
		if n := refusedOf(l, "192.0.2.200:1", 100); n != 10 {
			t.Errorf("%d requests of the network were checked, want 10", n)
		}
		if a, retryAfter := l.unauthenticated(request("192.0.2.77:5", ""), nil); a != nil || retryAfter != time.Second {
			t.Errorf("a request of the same network is checked, or Retry-After is %v, want 1s", retryAfter)
		}
		if n := refusedOf(l, "192.0.3.1:1", 100); n != 10 {
			t.Errorf("%d requests of another network were checked, want 10", n)
		}
		for range 100 { // while its network is over the limit
			a, _ := l.unauthenticated(good, nil)
			if a == nil {
				t.Fatal("a token that was admitted before is held up by its network")
			}
			a.admitted("app1", time.Now().Add(time.Hour))
		}
		a, _ := l.unauthenticated(good, nil)
		a.refused() // revoked
		if a, _ := l.unauthenticated(good, nil); a != nil {
			t.Error("a token that was refused since is still not held up")
		}
		time.Sleep(3 * time.Second)
		if n := refusedOf(l, "192.0.2.9:1", 100); n != 3 {
			t.Errorf("after 3 s %d requests were checked, want 3", n)
		}
	})
}

// Good tokens and those that could not be checked take nothing from their network.
func TestOnlyRefusalsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLimiter(t, Limits{Unauthenticated: Limit{Rate: 1, Burst: 5}})
		for i := range 1000 {
			a, _ := l.unauthenticated(request("192.0.2.1:1000", fmt.Sprint("Bearer ", i)), nil)
			if a == nil {
				t.Fatal("a request is refused")
			}
			if i%2 == 0 {
				a.admitted(fmt.Sprint("app", i), time.Now().Add(time.Hour))
			} else {
				a.undecided()
			}
		}
		if n := refusedOf(l, "192.0.2.1:1", 100); n != 5 {
			t.Errorf("%d requests were checked, want 5", n)
		}
	})
}

// A flood of networks takes a bounded number of slots, and no network is refused for the
// others. The one that has used most of its limit keeps its slot.
func TestFloodOfNetworks(t *testing.T) { floodOfNetworks(t, 50_000) }

func floodOfNetworks(t *testing.T, networks int) {
	synctest.Test(t, func(t *testing.T) {
		const most = 4096
		l := newTestLimiter(t, Limits{Unauthenticated: Limit{Rate: 0.001, Burst: 10}, MaxNetworks: most})
		if n := refusedOf(l, "192.0.2.1:1", 100); n != 10 {
			t.Fatalf("%d requests, want 10", n)
		}
		r := request("", "Bearer forged")
		for i := range networks {
			r.RemoteAddr = fmt.Sprintf("[2001:db8:%x:%x::1]:1", i>>8, i<<8&0xffff)
			a, _ := l.unauthenticated(r, nil)
			if a == nil {
				t.Fatalf("network %d (%s) is refused for the others", i, r.RemoteAddr)
			}
			a.refused()
		}
		if n := l.networks.size(); n > most {
			t.Errorf("%d networks are counted, want at most %d", n, most)
		}
		if n := refusedOf(l, "192.0.2.1:1", 100); n != 0 {
			t.Errorf("the flood gave %d requests to a network that had used its limit", n)
		}
	})
}

// size returns how many callers have a slot.
func (c *counts[K]) size() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		if len(s.byKey) != len(s.slots) {
			panic("a slot without a key")
		}
		n += len(s.slots)
		s.mu.Unlock()
	}
	return n
}

// Where a request comes from: ClientIP, else Echo's extractor, else the connection; unknown
// behind a proxy that nothing says to trust.
func TestNetworkOfRequest(t *testing.T) {
	fixed := func(address string) func(*http.Request) string {
		return func(*http.Request) string { return address }
	}
	forwarded := request("10.0.0.1:1", "")
	forwarded.Header.Set("X-Forwarded-For", "192.0.2.1")
	direct := request("192.0.2.1:1", "")
	want, _ := networkOf(direct, nil, nil)
	for name, of := range map[string]struct {
		r                 *http.Request
		clientIP, extract func(*http.Request) string
		known             bool
	}{
		"connection":       {direct, nil, nil, true},
		"mapped":           {request("[::ffff:192.0.2.9]:1", ""), nil, nil, true},
		"unknown proxy":    {forwarded, nil, nil, false},
		"ClientIP":         {forwarded, fixed("192.0.2.7"), nil, true},
		"Echo's extractor": {forwarded, nil, fixed("192.0.2.7"), true},
		"ClientIP first":   {forwarded, fixed("192.0.2.7"), fixed("198.51.100.1"), true},
		"no address":       {direct, fixed("unknown"), nil, false},
	} {
		got, known := networkOf(of.r, of.clientIP, of.extract)
		if known != of.known || known && got != want {
			t.Errorf("%s: %v, %t", name, got, known)
		}
	}
	six, _ := networkOf(request("[2001:db8:1:2300::1]:1", ""), nil, nil)
	same, _ := networkOf(request("[2001:db8:1:23ff::1]:1", ""), nil, nil)
	other, _ := networkOf(request("[2001:db8:1:2400::1]:1", ""), nil, nil)
	if six != same || six == other || six == want {
		t.Error("a /56 of IPv6 is one network")
	}
}

// Limits that cannot be kept are refused, and the error names the field.
func TestLimitsAreChecked(t *testing.T) {
	for field, c := range map[string]Limits{
		"Limits.Client":          {Client: Limit{Rate: -1}},
		"Limits.Unauthenticated": {Unauthenticated: Limit{Burst: 1}},
		"Limits.MaxClients":      {MaxClients: -1},
		"Limits.MaxNetworks":     {MaxNetworks: maxTracked + 1},
	} {
		if _, err := newLimiter(c); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v", field, err)
		}
	}
}
