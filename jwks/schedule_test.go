package jwks

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

const day = 24 * time.Hour

func TestPolicyDefaults(t *testing.T) {
	for _, tt := range []struct{ give, want Policy }{
		{Policy{}, Policy{"ES256", 30 * day, day, day, 5 * time.Minute, time.Minute, time.Minute}},
		{Policy{MaxAge: time.Minute}, Policy{"ES256", 30 * day, day, day, time.Minute, 30 * time.Second, time.Minute}},
		{Policy{MaxAge: time.Hour}, Policy{"ES256", 30 * day, day, day, time.Hour, time.Minute, time.Minute}},
		{ // a rotation every few seconds
			Policy{Algorithm: "EdDSA", RotateEvery: 10 * time.Second, Announce: 4 * time.Second, Retain: 5 * time.Second, MaxAge: 2 * time.Second},
			Policy{"EdDSA", 10 * time.Second, 4 * time.Second, 5 * time.Second, 2 * time.Second, time.Second, 400 * time.Millisecond},
		},
		{ // each at its bound
			Policy{RotateEvery: 10 * time.Second, Announce: 10 * time.Second, Retain: 320 * time.Second, MaxAge: 7 * time.Second, Poll: 2 * time.Second, Skew: time.Second},
			Policy{"ES256", 10 * time.Second, 10 * time.Second, 320 * time.Second, 7 * time.Second, 2 * time.Second, time.Second},
		},
	} {
		got, err := tt.give.withDefaults()
		if got != tt.want || err != nil {
			t.Errorf("%+v became %+v: %v", tt.give, got, err)
		}
		if again, err := got.withDefaults(); again != got || err != nil {
			t.Errorf("%+v then became %+v: %v", got, again, err)
		}
	}
	for _, alg := range jose.Algorithms() {
		if p, err := (Policy{Algorithm: alg}).withDefaults(); p.Algorithm != alg || err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func TestPolicyRefuses(t *testing.T) {
	const forever = time.Duration(math.MaxInt64)
	for _, tt := range []struct {
		name   string
		policy Policy
		want   string // the field, and what to write
	}{
		{"algorithm", Policy{Algorithm: "HS256"}, `Policy.Algorithm "HS256": write one of ES256,`},
		{"algorithm none", Policy{Algorithm: "none"}, "Policy.Algorithm"},
		{"algorithm in lower case", Policy{Algorithm: "es256"}, "Policy.Algorithm"},
		{"negative RotateEvery", Policy{RotateEvery: -1}, "Policy.RotateEvery is -1ns: write"},
		{"negative Announce", Policy{Announce: -time.Hour}, "Policy.Announce is -1h0m0s: write"},
		{"negative Retain", Policy{Retain: -1}, "Policy.Retain"},
		{"negative MaxAge", Policy{MaxAge: -1}, "Policy.MaxAge"},
		{"negative Poll", Policy{Poll: -1}, "Policy.Poll"},
		{"negative Skew", Policy{Skew: -1}, "Policy.Skew"},
		{"MaxAge under a second", Policy{MaxAge: time.Second - 1}, "Policy.MaxAge"},
		{"Poll of a nanosecond", Policy{Poll: 1}, "Policy.Poll"},
		{"Announce too short", Policy{Announce: 6 * time.Minute}, "write at least MaxAge + Poll + Skew = 6m36s"},
		{"Announce too short by 1 ns", Policy{RotateEvery: 10 * time.Second, Announce: 10*time.Second - 1, Retain: time.Second, MaxAge: 7 * time.Second, Poll: 2 * time.Second, Skew: time.Second}, "Policy.Announce is 9.999999999s: write at least MaxAge + Poll + Skew = 10s"},
		{"MaxAge too long", Policy{MaxAge: 48 * time.Hour}, "Policy.Announce"},
		{"Poll too long", Policy{Poll: day}, "Policy.Announce"},
		{"Skew too long", Policy{Skew: day}, "Policy.Announce"},
		{"RotateEvery too short", Policy{RotateEvery: day - 1}, "Policy.RotateEvery is 23h59m59.999999999s: write at least Announce = 24h0m0s"},
		{"Retain too long", Policy{Retain: 33 * 30 * day}, "Policy.Retain is 23760h0m0s: with RotateEvery = 720h0m0s that publishes too many keys; write at most 23040h0m0s"},
		{"MaxAge for ever", Policy{MaxAge: forever}, "Policy.MaxAge"},
		{"Poll for ever", Policy{Poll: forever}, "Policy.Poll"},
		{"Skew for ever", Policy{Skew: forever}, "Policy.Skew"},
		{"Retain for ever", Policy{Retain: forever}, "Policy.Retain"},
		{"all for ever", Policy{RotateEvery: forever, Announce: forever, Retain: forever, MaxAge: forever, Poll: forever, Skew: forever}, "Policy."},
		{"half of for ever", Policy{RotateEvery: forever, Announce: forever, MaxAge: forever / 2, Poll: forever / 2, Skew: forever / 2}, "Policy."},
	} {
		_, err := tt.policy.withDefaults()
		if err == nil || !strings.HasPrefix(err.Error(), "jwks: Policy.") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

var origin0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// at is a moment some days after the start, from when the keys of these tables
// count; list makes keys that sign at such moments, NaN being one without times.
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
		{list(0, new0), 100, false}, // it is there, and has yet to get its times
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
			continue // nothing is done with the rest
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
			t.Errorf("%s: it changed what it was given", tt.name)
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
		{list(0, 30), 31, math.NaN()},     // all of it is over
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
