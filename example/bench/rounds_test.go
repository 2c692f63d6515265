package main

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   spread
		text   string
	}{
		{[]float64{3}, spread{3, 3, 3}, "3.00 [3.00–3.00]"},
		{[]float64{5, 1, 3}, spread{2, 3, 4}, "3.00 [2.00–4.00]"},
		{[]float64{4, 1, 2, 3}, spread{1.75, 2.5, 3.25}, "2.50 [1.75–3.25]"},
		{[]float64{200, 100, 150, 1e9, 0}, spread{100, 150, 200}, "150 [100–200]"},
		{[]float64{10, 20, 30}, spread{15, 20, 25}, "20.0 [15.0–25.0]"},
		{[]float64{0.001}, spread{0.001, 0.001, 0.001}, "0.0010 [0.0010–0.0010]"},
	} {
		given := slices.Clone(tt.values)
		if got := spreadOf(tt.values); got != tt.want || got.String() != tt.text {
			t.Errorf("%v: %#v %v, want %#v %v", tt.values, got, got, tt.want, tt.text)
		}
		if !slices.Equal(given, tt.values) {
			t.Errorf("%v has been sorted", given)
		}
	}
	if got := spreadOf(nil); !math.IsNaN(got.median) || got.String() != absent {
		t.Errorf("nothing: %v", got)
	}
}

// A machine that halves its speed for a round halves both, and the ratio is the same.
func TestPaired(t *testing.T) {
	floor, ours := []float64{100, 200, 100, 400}, []float64{110, 220, 110, 440}
	if got := ratioSpread(ours, floor); math.Abs(got.low-1.1) > 1e-9 || math.Abs(got.high-1.1) > 1e-9 {
		t.Errorf("ratio %v", got)
	}
	if got := paired(ours, floor, difference); !slices.Equal(got, []float64{10, 20, 10, 40}) {
		t.Errorf("difference %v", got)
	}
	if got := paired(ours, floor[:2], sum); !slices.Equal(got, []float64{210, 420}) {
		t.Errorf("sum %v", got)
	}
}

func TestOrder(t *testing.T) {
	for n := 1; n < 12; n++ {
		seen := map[int]bool{}
		for round := range 2 * n {
			places := order(n, round)
			seen[places[0]] = true
			slices.Sort(places)
			for i, place := range places {
				if i != place {
					t.Fatalf("n %d, round %d: %v is not everybody", n, round, order(n, round))
				}
			}
		}
		if len(seen) != n {
			t.Errorf("n %d: only %d of them ever begin", n, len(seen))
		}
	}
}

func TestRace(t *testing.T) {
	counts := [2]int{}
	work := func(i int) func() error {
		return func() error { counts[i]++; return nil }
	}
	p := plan{rounds: 4, slice: 100 * time.Microsecond}
	all, err := p.race([]contestant{{name: "a", op: work(0)}, {name: "away", why: "ill"}, {name: "b", op: work(1)}})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"a", "b"} {
		s := named(all, name)
		if len(s.ns) != 4 || len(s.allocs) != 4 || s.ops == 0 || s.ops > counts[i] || slices.Min(s.ns) <= 0 {
			t.Errorf("%+v after %d operations", s, counts[i])
		}
	}
	if s := named(all, "away"); s.ns != nil || s.why != "ill" {
		t.Errorf("%+v", s)
	}
	if s := named(all, "nobody"); !math.IsNaN(ratioSpread(s.ns, all[0].ns).median) {
		t.Errorf("%+v", s)
	}

	broken := errors.New("broken")
	breaks := func() error { return broken }
	if _, err := p.race([]contestant{{name: "a", op: work(0)}, {name: "b", op: breaks}}); !errors.Is(err, broken) || err.Error() != "b: broken" {
		t.Errorf("err %v", err)
	}
	if err := p.measure(new(series), breaks, 1); !errors.Is(err, broken) {
		t.Errorf("err %v", err)
	}
}

// An operation that takes longer than a slice is still measured, once.
func TestSlow(t *testing.T) {
	n := 0
	all, err := plan{rounds: 3, slice: time.Microsecond}.race([]contestant{{name: "slow", op: func() error {
		n++
		time.Sleep(time.Millisecond)
		return nil
	}}})
	if err != nil || n != 4 || all[0].ops != 3 || slices.Min(all[0].ns) < 1e6 {
		t.Errorf("%d times, %+v, %v", n, all, err)
	}
}
