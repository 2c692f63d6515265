package jwks

import (
	"math"
	"slices"
	"testing"
	"time"
)

const day = 24 * time.Hour

var origin0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// at returns the moment that many days after the start of these tables. list makes keys
// that sign at such moments. NaN is a key without times.
func at(days float64) time.Time { return origin0.Add(time.Duration(days * float64(day))) }

func list(days ...float64) []times {
	keys := make([]times, len(days))
	for i, d := range days {
		if !math.IsNaN(d) {
			keys[i] = times{Announced: at(days[max(i-1, 0)] - 1), Signs: at(d)}
		}
	}
	return keys
}

var new0 = math.NaN()

var testPolicy, _ = Policy{}.withDefaults()

func TestSigningAt(t *testing.T) {
	for _, tt := range []struct {
		keys []times
		now  float64
		want int
	}{
		{list(), 0, -1},
		{list(new0), 0, -1},
		{list(0), 0, 0},
		{list(0), -0.001, -1},
		{list(0), 10000, 0},
		{list(0, 30), 29.999, 0},
		{list(0, 30), 30, 1},
		{list(0, 30, 60), 45, 1},
		{list(0, 30, 60), 100, 2},
		{list(0, new0), 100, 0},
		{list(0, 30, new0), 30, 1},
		{list(5), 1, -1},
		{list(5, 6), 5.5, 0},
		{list(0, 0), 0, 1},
	} {
		if got := signingAt(tt.keys, at(tt.now)); got != tt.want {
			t.Errorf("%v at %v: %d, want %d", tt.keys, tt.now, got, tt.want)
		}
	}
}

func TestGoneAt(t *testing.T) {
	for _, tt := range []struct {
		keys []times
		now  float64
		want int
	}{
		{list(), 0, 0},
		{list(0), 10000, 0}, // the last one is never gone
		{list(new0), 10000, 0},
		{list(0, 30), 30, 0},
		{list(0, 30), 30.999, 0},
		{list(0, 30), 31, 1},
		{list(0, 30, 60), 31, 1},
		{list(0, 30, 60), 61, 2},
		{list(0, 30, new0), 10000, 1},
		{list(0, new0), 10000, 0},
		{list(0, 30.5, 31, 60), 31.6, 1},
		{list(0, 30, 30.2), 31.2, 2},
	} {
		if got := goneAt(tt.keys, testPolicy, at(tt.now)); got != tt.want {
			t.Errorf("%v at %v: %d, want %d", tt.keys, tt.now, got, tt.want)
		}
	}
}

func TestNextDue(t *testing.T) {
	for _, tt := range []struct {
		keys []times
		now  float64
		want bool
	}{
		{list(), 0, true},
		{list(0), 0, true},
		{list(0, 30), 28.999, false},
		{list(0, 30), 29, true},
		{list(0, 30), 100, true},
		{list(0, 30, 60), 30, false},
		{list(new0), 0, false},
		{list(0, new0), 100, false}, // the next key exists, without times yet
	} {
		if got := nextDue(tt.keys, testPolicy, at(tt.now)); got != tt.want {
			t.Errorf("%v at %v: %t", tt.keys, tt.now, got)
		}
	}
}

func TestAnnounceAt(t *testing.T) {
	for _, tt := range []struct {
		name  string
		keys  []times
		now   float64
		other bool
		signs float64
		ok    bool
	}{
		{"no key", list(), 0, false, 0, false},
		{"nothing new", list(0, 30), 0, false, 0, false},
		{"the second", list(0, new0), 0, false, 30, true},
		{"in its turn", list(0, 30, new0), 29, false, 60, true},
		{"late", list(0, new0), 29.5, false, 30.5, true},
		{"far too late", list(0, new0), 500, false, 501, true},
		{"of another algorithm", list(0, new0), 5, true, 6, true},
		{"of another algorithm, late", list(0, new0), 500, true, 501, true},
	} {
		got, ok := announceAt(tt.keys, testPolicy, at(tt.now), tt.other)
		if ok != tt.ok || ok && (!got.Announced.Equal(at(tt.now)) || !got.Signs.Equal(at(tt.signs))) || !ok && got != (times{}) {
			t.Errorf("%s: %v, %t", tt.name, got, ok)
		}
	}
}

func TestDropAt(t *testing.T) {
	just := at(10).Add(-time.Minute) // too late for all verifiers to have the key by day 10
	for _, tt := range []struct {
		name    string
		keys    []times
		now     float64
		dropped int
		signs   []time.Time
	}{
		{"none signs", list(5), 1, -1, nil},
		{"no key", list(), 1, -1, nil},
		{"the next one was announced long ago", list(0, 30), 10, 0, []time.Time{at(10)}},
		{"the next one but one keeps its time", list(0, 30, 60), 29.5, 0, []time.Time{at(29.5), at(60)}},
		{"a retained one stays", list(0, 30, 60), 30.5, 1, []time.Time{at(0), at(30.5)}},
		{"the only one", list(0), 10, 0, nil},
		{"announced a minute ago", []times{{at(0), at(0)}, {just, at(30)}}, 10, 0, []time.Time{just.Add(testPolicy.visible())}},
		{"soon to sign anyway", []times{{at(0), at(0)}, {at(9), at(10.001)}}, 10, 0, []time.Time{at(10)}},
	} {
		given := slices.Clone(tt.keys)
		dropped, rest := dropAt(tt.keys, testPolicy, at(tt.now))
		if dropped < 0 && tt.dropped < 0 {
			continue // rest is not used then
		}
		if dropped != tt.dropped || len(rest) != len(tt.signs) {
			t.Errorf("%s: dropped %d, left %v", tt.name, dropped, rest)
			continue
		}
		for i, k := range rest {
			if !k.Signs.Equal(tt.signs[i]) {
				t.Errorf("%s: key %d signs at %v, want %v", tt.name, i, k.Signs, tt.signs[i])
			}
		}
		if !slices.Equal(tt.keys, given) {
			t.Errorf("%s: the argument was changed", tt.name)
		}
	}
}

func TestChangesAt(t *testing.T) {
	for _, tt := range []struct {
		keys []times
		now  float64
		want float64 // NaN: none
	}{
		{list(), 0, math.NaN()},
		{list(0), 0, math.NaN()},
		{list(10), 0, 9},                  // announces the one after it
		{list(0, 30), 0, 29},              //
		{list(0, 30), 29, 31},             // the first is gone
		{list(0, 30), 30.9, 31},           //
		{list(0, 30), 31, math.NaN()},     // no change is left
		{list(0, 30, 60), 29.5, 31},       //
		{list(0, 30, 60), 31, 59},         //
		{list(0, 30, new0), 29, 31},       //
		{list(0, new0), 29, math.NaN()},   // when the new one signs is not decided
		{list(0, 30, 30.5, 60), 30.1, 31}, //
	} {
		got := changesAt(tt.keys, testPolicy, at(tt.now))
		if math.IsNaN(tt.want) != got.IsZero() || !got.IsZero() && !got.Equal(at(tt.want)) {
			t.Errorf("%v at %v: %v", tt.keys, tt.now, got)
		}
	}
}
