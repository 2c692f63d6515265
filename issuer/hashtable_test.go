package issuer

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// After random puts and sweeps the table holds the same entries as a map.
func TestHashTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, want := newHashTable(), map[string]hashTableEntry{}
		random := rand.New(rand.NewPCG(1, 2))
		for range 30 {
			for range 2000 {
				id, value := strconv.Itoa(random.IntN(5000)), random.Int64N(1000)
				until := time.Now().Add(time.Duration(random.IntN(600)-60) * time.Second)
				known, found := want[id]
				if added := table.put(table.hash(id), value, until); added == found {
					t.Fatalf("%s: added %v", id, added)
				}
				if until.After(known.until) {
					known.until = until
				}
				want[id] = hashTableEntry{max(value, known.value), known.until}
			}
			for n := range 6000 {
				id := strconv.Itoa(n)
				known, found := want[id]
				if value, ok := table.find(id); ok != found || value != known.value {
					t.Fatalf("%s: %d, %v, want %d, %v", id, value, ok, known.value, found)
				}
			}
			time.Sleep(time.Minute)
			dropped := 0
			table.sweep(func(int64) { dropped++ })
			for id, entry := range want {
				if entry.until.Before(time.Now().Add(-time.Second)) {
					delete(want, id)
				} else if _, found := table.find(id); !found {
					delete(want, id)
					if entry.until.After(time.Now()) {
						t.Errorf("%s is dropped %v too early", id, time.Until(entry.until))
					}
				}
			}
			if got := int(table.size.Load()); got != len(want) || dropped == 0 {
				t.Fatalf("%d entries, %d dropped, want %d", got, dropped, len(want))
			}
		}
	})
}

type hashTableEntry struct {
	value int64
	until time.Time
}

// An expiry in the past, or beyond what an entry can hold, is handled.
func TestHashTableEnds(t *testing.T) {
	table := newHashTable()
	table.put(table.hash("past"), 1, time.Time{})
	table.put(table.hash("future"), 1, time.Unix(1<<40, 0))
	table.sweep(func(int64) {})
	if _, found := table.find("future"); !found {
		t.Error("an entry that expires in the far future is gone")
	}
	synctest.Test(t, func(t *testing.T) {
		table := newHashTable()
		table.put(table.hash("past"), 1, time.Time{})
		time.Sleep(2 * time.Second)
		table.sweep(func(int64) {})
		if !table.empty() {
			t.Error("an expired entry is kept")
		}
	})
}

// Expired entries free their memory, most of it when few entries are left.
func TestHashTableShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newHashTable()
		slots := func() (n int) {
			for i := range table.shards {
				if s := table.shards[i].slots.Load(); s != nil {
					n += len(*s)
				}
			}
			return n
		}
		for n := range 200_000 {
			table.put(table.hash(strconv.Itoa(n)), 0, time.Now().Add(time.Hour))
		}
		if got := slots(); got > 200_000*4 { // of 24 bytes: at most 96 for each
			t.Errorf("%d slots for 200 000 entries", got)
		}
		for n := range 1000 {
			table.put(table.hash(strconv.Itoa(n)), 0, time.Now().Add(2*time.Hour))
		}
		time.Sleep(time.Hour + 2*time.Second)
		table.sweep(func(int64) {})
		if got := slots(); got > 1000*16 {
			t.Errorf("%d slots for the 1000 entries that are left", got)
		}
		time.Sleep(time.Hour)
		table.sweep(func(int64) {})
		if got := slots(); got != 0 {
			t.Errorf("%d slots for none", got)
		}
	})
}

// For the race detector. Entries are found at any moment, even while arrays are replaced.
func TestHashTableConcurrently(t *testing.T) {
	table := newHashTable()
	const lasting = 500
	for n := range lasting {
		table.put(table.hash("l"+strconv.Itoa(n)), int64(n), time.Now().Add(time.Hour))
	}
	var group sync.WaitGroup
	for worker := range 2 {
		group.Go(func() {
			for n := range 20_000 {
				table.put(table.hash(strconv.Itoa(worker)+"-"+strconv.Itoa(n)), 0, time.Now().Add(-time.Hour))
			}
		})
		group.Go(func() {
			for n := range 20_000 {
				if value, found := table.find("l" + strconv.Itoa(n%lasting)); !found || value != int64(n%lasting) {
					t.Error(n, value, found)
				}
			}
		})
	}
	group.Go(func() {
		for range 50 {
			table.sweep(func(int64) {})
		}
	})
	group.Wait()
}
