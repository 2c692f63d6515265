package outbound

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

var dice = func(n time.Duration) time.Duration { return rand.N(max(n, 1)) }

func TestSchedule(t *testing.T) {
	now := time.Now()
	for life, want := range map[time.Duration]struct{ first, last, until time.Duration }{
		24 * time.Hour:   {8 * time.Hour, 23*time.Hour + 40*time.Minute, 24*time.Hour - 5*time.Second},
		time.Hour:        {20 * time.Minute, 40 * time.Minute, time.Hour - 5*time.Second},
		15 * time.Minute: {5 * time.Minute, 450 * time.Second, 15*time.Minute - 5*time.Second},
		30 * time.Second: {10 * time.Second, 15 * time.Second, 27 * time.Second},
		time.Second:      {time.Second / 3, time.Second / 2, 900 * time.Millisecond},
	} {
		first, last := life, time.Duration(0)
		for range 2000 {
			plan := schedule(now, life, dice)
			refresh := plan.refresh.Sub(now)
			first, last = min(first, refresh), max(last, refresh)
			if plan.until.Sub(now) != want.until || plan.expires.Sub(now) != life {
				t.Fatalf("a token of %v: %+v", life, plan)
			}
		}
		spread := want.last - want.first
		if first < want.first || first > want.first+spread/50 || last > want.last || last < want.last-spread/50 {
			t.Errorf("a token of %v is refreshed between %v and %v, want %v and %v", life, first, last, want.first, want.last)
		}
	}
}

func TestBackoff(t *testing.T) {
	now := time.Now()
	fault := failure{err: errors.New("x")}
	most := func() (all []time.Duration) {
		var b backoff
		budget := rate.NewLimiter(rate.Inf, 1)
		for range 9 {
			b.fail(now, now, fault, budget, func(n time.Duration) time.Duration { return n })
			all = append(all, b.next.Sub(now)/time.Second)
		}
		return all
	}
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		if got := most()[i]; got != want {
			t.Errorf("the longest delay after %d failures is %d s, want %d s", i+1, got, want)
		}
	}
	fault.slow = true
	for i, want := range []time.Duration{60, 120, 240, 300, 300} {
		if got := most()[i]; got != want {
			t.Errorf("the longest slow delay after %d failures is %d s, want %d s", i+1, got, want)
		}
	}
	// The two kinds are counted apart.
	var both backoff
	for range 4 {
		both.fail(now, now, failure{err: fault.err}, rate.NewLimiter(rate.Inf, 1), dice)
	}
	both.fail(now, now, fault, rate.NewLimiter(rate.Inf, 1), func(n time.Duration) time.Duration { return n })
	if got := both.next.Sub(now); got != slowDelay {
		t.Errorf("the longest delay after the first refusal is %v, want %v", got, slowDelay)
	}
	// Full jitter: any delay from 0 on.
	least, greatest := time.Hour, time.Duration(0)
	for range 1000 {
		b := backoff{failures: 5}
		b.fail(now, now, failure{err: fault.err}, rate.NewLimiter(rate.Inf, 1), dice)
		least, greatest = min(least, b.next.Sub(now)), max(greatest, b.next.Sub(now))
	}
	if least > 2*time.Second || greatest < 30*time.Second || greatest > 32*time.Second {
		t.Errorf("delays are between %v and %v", least, greatest)
	}
}

// However unlucky the jitter is, and however often a success resets the backoff, retries
// stay within the budget.
func TestBudget(t *testing.T) {
	budget := rate.NewLimiter(rate.Every(retryEvery), retryBurst)
	now, end, tries := time.Now(), time.Now().Add(10*time.Minute), 0
	for now.Before(end) {
		var b backoff
		b.fail(now, now, failure{err: errors.New("x")}, budget, func(time.Duration) time.Duration { return 0 })
		now = b.next
		tries++
	}
	if tries > retryBurst+101 || tries < 100 {
		t.Errorf("%d tries in 10 min", tries)
	}
}

func TestFailuresTogetherCountOnce(t *testing.T) {
	var b backoff
	now := time.Now()
	budget := rate.NewLimiter(rate.Every(retryEvery), retryBurst)
	for i := range 50 {
		b.fail(now, now.Add(time.Duration(i+1)*time.Millisecond), failure{err: errors.New("x")}, budget, dice)
	}
	next := b.next
	b.fail(now, now, failure{err: errors.New("x")}, budget, func(time.Duration) time.Duration { return 0 })
	if b.next.Before(next) {
		t.Error("one of them brings the next try forward")
	}
	if b.failures != 1 {
		t.Errorf("fetches that were under way together count as %d failures", b.failures)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Now()
	date := func(t time.Time) string { return t.UTC().Format(http.TimeFormat) }
	for name, test := range map[string]struct {
		value, date string
		want        time.Duration
	}{
		"seconds":                {"120", date(now), 2 * time.Minute},
		"none":                   {"", date(now), 0},
		"junk":                   {"soon", date(now), 0},
		"negative":               {"-5", date(now), 0},
		"a year":                 {"31536000", date(now), maxRetryAfter},
		"a date":                 {date(now.Add(time.Minute)), date(now), time.Minute},
		"a date, clock behind":   {date(now.Add(-time.Hour + time.Minute)), date(now.Add(-time.Hour)), time.Minute},
		"a date in the past":     {date(now.Add(-time.Minute)), date(now), 0},
		"a date without a Date":  {date(now.Add(time.Minute)), "", time.Minute},
		"a date, Date is absurd": {date(now.Add(time.Minute)), date(now.Add(-48 * time.Hour)), time.Minute},
	} {
		h := http.Header{"Retry-After": {test.value}, "Date": {test.date}}
		if got := retryAfter(h, now); (got - test.want).Abs() > 1500*time.Millisecond {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestRetryAfterDelaysSlowFailuresToo(t *testing.T) {
	var b backoff
	now := time.Now()
	b.fail(now, now, failure{err: errors.New("x"), slow: true, retryAfter: 10 * time.Minute}, rate.NewLimiter(rate.Inf, 1), dice)
	if got := b.next.Sub(now); got < 10*time.Minute {
		t.Errorf("the next try is after %v", got)
	}
}

// An exp some thousand years away does not overflow when the answer took time.
func TestLifeOfAFarExpiry(t *testing.T) {
	sent := time.Now()
	a := &answer{token: jwt(time.Unix(99999999999, 0)), stated: true, life: time.Hour}
	if got := lifeOf(a, sent, sent.Add(time.Second), time.Second, true); got != time.Hour {
		t.Errorf("the lifetime is %v, want that of expires_in", got)
	}
}

// However wrong the clocks are, a lifetime is within its bounds, and only a token that has
// expired by all known clocks has none.
func TestLifeOfBounds(t *testing.T) {
	sent := time.Now()
	between := func(n time.Duration) time.Duration { return rand.N(2*n) - n }
	for range 5000 {
		a := &answer{stated: rand.N(2) == 0}
		most := maxLife
		if a.stated {
			a.life = time.Second + rand.N(maxLife)
			most = a.life
		}
		a.token = jwt(sent.Add(between(48 * time.Hour)))
		exp, _ := expiry(a.token)
		here, offset, known := exp.Sub(sent.Round(0)), between(maxClockOffset), rand.N(2) == 0
		there := here
		if known {
			there += offset
		}
		life := lifeOf(a, sent, sent, offset, known)
		longest := most
		switch {
		case here > 0 && a.stated:
			longest = min(most, here+longestShift)
		case here > 0:
			longest = min(most, here)
		case !a.stated:
			longest = assumedLife
		}
		if life > longest {
			t.Fatalf("stated %v, left %v here and %v there: %v, want at most %v", a.life, here, there, life, longest)
		}
		if expired := known && here <= 0 && there <= 0; expired != (life <= 0) {
			t.Fatalf("stated %v, left %v here and %v there: %v", a.life, here, there, life)
		}
	}
}
