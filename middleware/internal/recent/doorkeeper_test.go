package recent

import (
	"math/rand/v2"
	"testing"
)

// A hash is admitted the second time, unless some four times as many others as
// there are buckets came between.
func TestDoorkeeper(t *testing.T) {
	d := newDoorkeeper(1000)
	random := rand.New(rand.NewPCG(1, 2))
	early, late, gone := 0, 0, 0
	for range 200 {
		hash := random.Uint64()
		if d.admit(hash) {
			early++
		}
		for range 500 {
			d.admit(random.Uint64())
		}
		if !d.admit(hash) {
			late++
		}
		for range 20_000 {
			d.admit(random.Uint64())
		}
		if !d.admit(hash) {
			gone++
		}
	}
	if early > 2 || late > 5 || gone < 195 {
		t.Errorf("of 200: %d admitted the first time, %d not admitted the second time, %d evicted after 20 times the size", early, late, gone)
	}
}

func TestDoorkeeperTakesAnyHash(t *testing.T) {
	for _, hash := range []uint64{0, 1, 1 << 48, 1<<64 - 1} {
		d := newDoorkeeper(1)
		if d.admit(hash) || !d.admit(hash) {
			t.Errorf("%x", hash)
		}
	}
}
