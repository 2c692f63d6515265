package middleware

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func (j *judge) introspector(t *testing.T) *introspector {
	t.Helper()
	i, err := newIntrospector(Introspection{Endpoint: "https://auth.example.com/introspect", ClientID: "api", ClientSecret: "s", Client: &http.Client{
		Transport: j, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.close)
	return i
}

// want asks about a token, whose jti is its text too.
func (i *introspector) want(t *testing.T, jti, client string, ok bool) {
	t.Helper()
	revoked, err := i.revoked(t.Context(), jti, client, jti)
	if revoked || (err == nil) != ok {
		t.Errorf("%s of %s: %v %v", jti, client, revoked, err)
	}
}

// What an issuer says about one token concerns that one. What it says about itself, or
// about this API, concerns all, for a moment.
func TestIntrospectionOfOneToken(t *testing.T) {
	type answer struct {
		status     int
		retryAfter string
		body       string
	}
	long := `{"active":true,"x":"` + strings.Repeat("x", maxIntrospection) + `"}`
	for name, tt := range map[string]struct {
		answer
		silence time.Duration // for all
	}{
		"400":                      {answer{status: 400}, 0},
		"403":                      {answer{status: 403}, 0},
		"404":                      {answer{status: 404}, 0},
		"413":                      {answer{status: 413}, 0},
		"414":                      {answer{status: 414}, 0},
		"431":                      {answer{status: 431}, 0},
		"413, Retry-After":         {answer{status: 413, retryAfter: "60"}, 0},
		"no JSON":                  {answer{status: 200, body: "<html>"}, 0},
		"nothing":                  {answer{status: 200}, 0},
		"no member":                {answer{status: 200, body: `{}`}, 0},
		"a string":                 {answer{status: 200, body: `{"active":"true"}`}, 0},
		"too long":                 {answer{status: 200, body: long}, 0},
		"no answer":                {answer{status: 0}, pause},
		"204":                      {answer{status: 204}, pause},
		"302":                      {answer{status: 302}, pause},
		"401":                      {answer{status: 401}, pause},
		"429":                      {answer{status: 429}, pause},
		"500":                      {answer{status: 500}, pause},
		"503":                      {answer{status: 503}, pause},
		"429, Retry-After":         {answer{status: 429, retryAfter: "7"}, 7 * time.Second},
		"503, Retry-After":         {answer{status: 503, retryAfter: "7"}, 7 * time.Second},
		"503, Retry-After a date":  {answer{status: 503, retryAfter: "Sat, 01 Jan 2000 00:00:07 GMT"}, 7 * time.Second},
		"503, Retry-After by then": {answer{status: 503, retryAfter: "Fri, 31 Dec 1999 00:00:07 GMT"}, pause},
		"503, Retry-After 0":       {answer{status: 503, retryAfter: "0"}, pause},
		"503, Retry-After a day":   {answer{status: 503, retryAfter: "86400"}, longestPause},
		"503, Retry-After no time": {answer{status: 503, retryAfter: "soon"}, pause},
		"500, Retry-After":         {answer{status: 500, retryAfter: "7"}, pause},
		"401, Retry-After":         {answer{status: 401, retryAfter: "7"}, pause},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // whose clock begins in 2000
				j := &judge{says: active}
				i := j.introspector(t)
				i.want(t, "cached", "another", true)
				j.says = func(token string) (int, http.Header, string) {
					if token != "hostile" {
						return active(token)
					}
					header := http.Header{}
					if tt.retryAfter != "" {
						header.Set("Retry-After", tt.retryAfter)
					}
					return tt.status, header, tt.body
				}
				j.questions()
				for range 100 {
					i.want(t, "hostile", "hostile", false)
				}
				if n := j.questions(); n != 1 {
					t.Errorf("asked %d times about a token that the issuer has just refused", n)
				}
				i.want(t, "fresh", "another", tt.silence == 0)
				i.want(t, "also of hostile", "hostile", tt.silence == 0)
				i.want(t, "cached", "another", true)
				if tt.silence > 0 {
					time.Sleep(tt.silence - time.Nanosecond)
					i.want(t, "fresh", "another", false)
					time.Sleep(time.Nanosecond)
					i.want(t, "fresh", "another", true)
					return
				}
				time.Sleep(pause + time.Nanosecond)
				j.says = active
				i.want(t, "hostile", "hostile", true) // it may be judged by now
			})
		})
	}
}

// A request that was under way tells that the issuer is there again. It does not end
// the time that the issuer asked for.
func TestIntrospectionAfterTrouble(t *testing.T) {
	for status, silent := range map[int]bool{500: false, 429: true} {
		synctest.Test(t, func(t *testing.T) {
			j := &judge{says: func(token string) (int, http.Header, string) {
				if token == "slow" {
					time.Sleep(time.Second / 2)
					return active(token)
				}
				return status, http.Header{"Retry-After": {"5"}}, ""
			}}
			i := j.introspector(t)
			var slow sync.WaitGroup
			slow.Go(func() { i.want(t, "slow", "one", true) })
			synctest.Wait()
			i.want(t, "refused", "one", false)
			slow.Wait()
			j.says = active
			i.want(t, "fresh", "one", !silent)
		})
	}
}

// One client's tokens, however many and however slow the issuer, leave the others
// three quarters of the requests under way.
func TestIntrospectionShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &judge{says: func(token string) (int, http.Header, string) {
			time.Sleep(150 * time.Millisecond) // an issuer on another continent
			return active(token)
		}}
		i := j.introspector(t)
		ask := func(all *sync.WaitGroup, n int, client string) (refused *int) {
			var mu sync.Mutex
			refused = new(int)
			for token := range n {
				all.Go(func() {
					if _, err := i.revoked(t.Context(), fmt.Sprint(client, token), client, fmt.Sprint(client, token)); err != nil {
						mu.Lock()
						*refused++
						mu.Unlock()
					}
				})
			}
			synctest.Wait()
			return refused
		}
		for range 3 { // what ended is given back
			j.questions()
			var all sync.WaitGroup
			hostile := ask(&all, 400, "hostile-"+strconv.Itoa(int(time.Now().UnixNano())))
			if n := j.questions(); n != maxFlights/4 || *hostile != 400-n {
				t.Errorf("one client: %d tokens asked about, %d refused", n, *hostile)
			}
			for client := range 3 {
				if refused := ask(&all, maxFlights/4, fmt.Sprint(time.Now(), client)); *refused > 0 {
					t.Errorf("another client: %d refused", *refused)
				}
			}
			if refused := ask(&all, 1, "a fifth"); *refused != 1 {
				t.Error("more requests at the same time than the bound")
			}
			all.Wait()
			time.Sleep(time.Minute)
		}
	})
}

// A full cache evicts its oldest answers, one for each new one.
func TestIntrospectionCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &judge{says: active}
		i := j.introspector(t)
		const more = 100
		name := func(n int) (string, string) { return fmt.Sprint("token-", n), fmt.Sprint("client-", n%8) }
		for n := range maxAnswers + more {
			jti, client := name(n)
			i.want(t, jti, client, true)
		}
		j.questions()
		for n := more; n < maxAnswers+more; n++ {
			jti, client := name(n)
			i.want(t, jti, client, true)
		}
		if n := j.questions(); n != 0 {
			t.Errorf("%d of the newest %d answers were evicted", n, maxAnswers)
		}
		for n := range more {
			jti, client := name(n)
			i.want(t, jti, client, true)
		}
		if n := j.questions(); n != more {
			t.Errorf("%d of %d evicted answers are still cached", more-n, more)
		}
	})
}

// One client's answers evict its own beyond a quarter of the cache.
func TestIntrospectionCacheShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &judge{says: active}
		i := j.introspector(t)
		const few = 100
		for n := range few {
			i.want(t, fmt.Sprint("good-", n), "good", true)
		}
		for n := range 2 * maxAnswers {
			i.want(t, fmt.Sprint("hostile-", n), "hostile", true)
		}
		j.questions()
		for n := range few {
			i.want(t, fmt.Sprint("good-", n), "good", true)
		}
		if n := j.questions(); n != 0 {
			t.Errorf("%d answers about another client's tokens were evicted", n)
		}
		for n := range maxAnswers / 4 {
			i.want(t, fmt.Sprint("hostile-", 2*maxAnswers-1-n), "hostile", true)
		}
		if n := j.questions(); n != 0 {
			t.Errorf("%d of its own newest answers were evicted", n)
		}
		i.want(t, fmt.Sprint("hostile-", 2*maxAnswers-1-maxAnswers/4), "hostile", true)
		if n := j.questions(); n != 1 {
			t.Error("one client has more than a quarter of the cache")
		}
	})
}

// An answer that replaced an expired one is not evicted in its place.
func TestIntrospectionAnswerReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &judge{says: active}
		i := j.introspector(t)
		i.want(t, "first", "c", true)
		j.says = func(string) (int, http.Header, string) { return 413, nil, "" }
		i.want(t, "refused", "c", false)
		j.says = active
		time.Sleep(pause + time.Second)
		i.want(t, "refused", "c", true)
		time.Sleep(i.CacheFor - pause - time.Second/2) // the first two have expired, their successor has not
		i.want(t, "another", "c", true)
		j.questions()
		i.want(t, "refused", "c", true)
		if j.questions() != 0 {
			t.Error("the answer was evicted")
		}
	})
}

// After a flood the cache is as small as before.
func TestIntrospectionCacheShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnswers()
		put := func(n int) {
			a.put(digest(fmt.Sprint(n)), a.share(digest(fmt.Sprint("client", n))), false, nil, time.Second)
		}
		before := heap()
		for n := range maxAnswers {
			put(n)
		}
		full := heap() - before
		time.Sleep(2 * time.Second)
		put(-1)
		if left := heap() - before; left > full/20 {
			t.Errorf("%d of %d bytes are left after all answers but one have expired", left, full)
		}
		if _, ok := a.get(digest("-1")); !ok {
			t.Error("the new answer is not cached")
		}
	})
}

// A token may bring a long jti and a long client_id: neither is kept.
func TestIntrospectionKeepsNoLongNames(t *testing.T) {
	j := &judge{says: active}
	i := j.introspector(t)
	before := heap()
	const n = 500
	for token := range n {
		long := strings.Repeat("x", 10_000) + strconv.Itoa(token)
		if _, err := i.revoked(context.Background(), long, long, "token"); err != nil {
			t.Fatal(err)
		}
	}
	if each := (heap() - before) / n; each > 2000 {
		t.Errorf("%d bytes for a token", each)
	}
	runtime.KeepAlive(i)
}
