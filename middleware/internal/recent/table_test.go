package recent

import (
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

var (
	start = time.Unix(1_800_000_000, 0)
	never = start.Add(1000 * time.Hour)
)

func itself(key, _ string) string { return key }

// twice puts a key as often as it takes to be admitted.
func twice(t *Table[string], key, owner string, expires, now time.Time) {
	for range 2 {
		t.Put(key, owner, expires, now, itself)
	}
}

func keys(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return list
}

// use is a request: it touches a cached key, and puts another. It reports a hit.
func use(t *Table[string], key, owner string, now time.Time) bool {
	if e := t.Get(key); e != nil {
		e.Touch(now)
		return true
	}
	t.Put(key, owner, never, now, itself)
	return false
}

// held is how many of the keys are in the table.
func held(tb testing.TB, t *Table[string], list []string) (n int) {
	tb.Helper()
	for _, key := range list {
		if e := t.Get(key); e != nil {
			if n++; e.Value != key {
				tb.Errorf("%q holds %q", key, e.Value)
			}
		}
	}
	return n
}

// Of many keys that are put once, the doorkeeper admits a few by mistake.
func TestAdmittedTheSecondTime(t *testing.T) {
	table := New[string](100)
	for i, want := range []bool{false, true, true} {
		table.Put("key", "o", never, start, itself)
		if got := table.Get("key") != nil; got != want {
			t.Errorf("after %d times: cached %v", i+1, got)
		}
	}
	for _, key := range keys("once", 10_000) {
		table.Put(key, "o", never, start, itself)
	}
	if table.Get("key") == nil {
		t.Error("evicted for keys that were put once")
	}
	if n := table.Len(); n > 5 {
		t.Errorf("%d entries, of keys that were put once", n)
	}
}

func TestFoundByTheExactKey(t *testing.T) {
	table := New[string](100)
	key := strings.Repeat("k", 300) + "0123456789"
	twice(table, key, "o", never, start)
	if e := table.Get(key); e == nil || e.Value != key {
		t.Fatal("not found")
	}
	for i := range len(key) {
		changed := []byte(key)
		if changed[i]++; table.Get(string(changed)) != nil {
			t.Errorf("found with byte %d changed", i)
		}
	}
	for _, other := range []string{"", key[1:], key[:len(key)-1], key + "x", "x" + key} {
		if table.Get(other) != nil {
			t.Errorf("%q found", other)
		}
	}
}

// Keys that end alike share a set. They fill that one at most, and are told apart.
func TestKeysThatEndAlike(t *testing.T) {
	table := New[string](1000)
	others := keys("other", 200)
	for i, key := range others {
		twice(table, key, strconv.Itoa(i%10), never, start)
	}
	before := held(t, table, others)
	alike := keys("alike", 500)
	for i := range alike {
		alike[i] += strings.Repeat("e", hashed)
		twice(table, alike[i], strconv.Itoa(i%10), never, start)
	}
	if n := held(t, table, alike); n < 1 || n > ways {
		t.Errorf("%d of a set of %d", n, ways)
	}
	if after := held(t, table, others); after < before-ways {
		t.Errorf("%d of %d others are left", after, before)
	}
}

// Callers do not know which keys share a set: each table has a hash of its own.
func TestHashIsTheTablesOwn(t *testing.T) {
	same := 0
	for range 20 {
		if one, another := New[string](1000), New[string](1000); one.hash("key") == another.hash("key") {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d of 20 tables hash like another", same)
	}
}

func TestShortKeys(t *testing.T) {
	table := New[string](100)
	for _, key := range []string{"", "a", "ab"} {
		if table.Get(key) != nil {
			t.Errorf("%q found in an empty table", key)
		}
		if twice(table, key, "", never, start); table.Get(key) == nil {
			t.Errorf("%q not found", key)
		}
	}
}

func TestValueIsReplaced(t *testing.T) {
	table := New[int](100)
	for i := range 4 {
		table.Put("key", "o", never, start, func(string, string) int { return i })
	}
	if e := table.Get("key"); e == nil || e.Value != 3 || table.Len() != 1 {
		t.Errorf("%+v of %d", e, table.Len())
	}
}

func TestBound(t *testing.T) {
	for _, capacity := range []int{1, 2, 3, 5, 16, 64, 255, 10_000} {
		table := New[string](capacity)
		for i, key := range keys("k", 4*capacity) {
			twice(table, key, strconv.Itoa(i), never, start)
			if n := table.Len(); n > capacity {
				t.Fatalf("capacity %d: %d entries", capacity, n)
			}
		}
		// Up to one set's worth of entries every slot is used.
		if n := table.Len(); n < capacity*9/10 || capacity <= ways && n < capacity {
			t.Errorf("capacity %d: %d entries", capacity, n)
		}
	}
}

// A full table evicts one entry for one, and a full set too.
func TestEvictsOneForOne(t *testing.T) {
	table := New[string](160)
	for i, key := range keys("old", 300) {
		twice(table, key, strconv.Itoa(i), never, start)
	}
	full, later := table.Len(), start.Add(time.Hour)
	for i, key := range keys("new", 300) {
		before := table.Len()
		twice(table, key, strconv.Itoa(i), never, later)
		if after := table.Len(); after < before-1 {
			t.Fatalf("from %d to %d entries for one key", before, after)
		}
	}
	if n := table.Len(); n < full*9/10 {
		t.Errorf("%d entries left of %d", n, full)
	}
	if n := held(t, table, keys("new", 300)); n < 100 {
		t.Errorf("%d of the new keys are cached", n)
	}
}

// A flood of keys that are put once or twice evicts none that is in use, however many
// those are, and whether the flood is of one owner, the same owner or many.
func TestFloodLeavesWhatIsUsed(t *testing.T) {
	for _, flooders := range []int{1, 4, 100} {
		for _, hot := range []int{15, 75, 100} {
			for _, times := range []int{1, 2} {
				table, now := New[string](100), start
				used := keys("hot", hot)
				for i, key := range used {
					twice(table, key, strconv.Itoa(i%10), never, now)
				}
				before := held(t, table, used)
				if before < hot*9/10 {
					t.Errorf("%d of %d cached", before, hot)
				}
				for i, key := range keys("flood", 2000) {
					for range times {
						table.Put(key, strconv.Itoa(i%flooders), never, now, itself)
					}
					if i%20 != 0 {
						continue
					}
					now = now.Add(time.Second)
					for i, key := range used {
						use(table, key, strconv.Itoa(i%10), now)
					}
				}
				if after := held(t, table, used); after < before {
					t.Errorf("flood of %d owners, %d times each: %d of %d keys in use are left", flooders, times, after, before)
				}
			}
		}
	}
}

// More keys in use than slots: those that have one keep it, until they were not
// used for a minute.
func TestInUseKeepsItsSlot(t *testing.T) {
	table, now := New[string](100), start
	list := keys("a", 130)
	for range 2 {
		for i, key := range list {
			use(table, key, strconv.Itoa(i), now)
		}
	}
	cached := held(t, table, list)
	hits := 0
	for range 10 {
		now = now.Add(time.Second)
		for i, key := range list {
			if use(table, key, strconv.Itoa(i), now) {
				hits++
			}
		}
	}
	if cached < 90 || hits < 10*cached {
		t.Errorf("%d cached, %d hits in 10 rounds", cached, hits)
	}
	fresh := keys("b", 20)
	put := func(after time.Duration) int {
		for i, key := range fresh {
			twice(table, key, strconv.Itoa(i), never, now.Add(after))
		}
		return held(t, table, fresh)
	}
	free := 100 - table.Len()
	if n := put((idleAfter - 1) * time.Second); n > free {
		t.Errorf("%d new keys evicted others that were used %d s before", n-free, idleAfter-1)
	}
	if n := put(idleAfter * time.Second); n < 18 {
		t.Errorf("%d of 20 new keys are cached when the others were not used for %d s", n, idleAfter)
	}
}

func TestQuotaOfAnOwner(t *testing.T) {
	table := New[string](400)
	for _, key := range keys("a", 600) {
		twice(table, key, "one", never, start)
	}
	if n := table.Len(); n < 95 || n > 100 {
		t.Errorf("%d entries of one owner, want a quarter of 400", n)
	}
	for i, key := range keys("b", 600) {
		twice(table, key, strconv.Itoa(i%6), never, start)
	}
	if n := table.Len(); n < 380 || n > 400 {
		t.Errorf("%d entries of seven owners", n)
	}
	// At its quota an owner can still replace what it does not use.
	later := start.Add(time.Hour)
	others := held(t, table, keys("b", 600))
	for _, key := range keys("c", 50) {
		twice(table, key, "one", never, later)
	}
	if n := held(t, table, keys("c", 50)); n < 30 {
		t.Errorf("%d of 50 new keys of an owner at its quota", n)
	}
	if n := held(t, table, keys("b", 600)); n < others-2 {
		t.Errorf("%d of %d keys of other owners are left", n, others)
	}
}

// Expired entries make room, used or not, and are evicted as others are put.
func TestExpiredMakesRoom(t *testing.T) {
	table := New[string](100)
	expires := start.Add(time.Hour)
	old := keys("old", 100)
	for i, key := range old {
		twice(table, key, strconv.Itoa(i), expires, start)
	}
	if n := held(t, table, old); n < 95 {
		t.Fatalf("%d cached", n)
	}
	for _, key := range old {
		if e := table.Get(key); e != nil {
			e.Touch(expires)
		}
	}
	fresh := keys("new", 50)
	for i, key := range fresh {
		if twice(table, key, strconv.Itoa(i), never, expires); table.Get(key) == nil {
			t.Errorf("%s is not cached", key)
		}
	}
	if n := held(t, table, old); n > 0 || table.Len() != len(fresh) {
		t.Errorf("%d entries, %d of them expired", table.Len(), n)
	}
}

// A request that waited touches with an old time; a clock may be set back.
func TestTouch(t *testing.T) {
	table := New[string](10)
	twice(table, "key", "o", start.Add(1000*time.Second), start)
	e := table.Get("key")
	for _, tt := range []struct {
		after time.Duration
		idle  bool
	}{{-2 * time.Second, false}, {0, false}, {59 * time.Second, false}, {60 * time.Second, true}, {-time.Hour, true}, {1000 * time.Second, true}} {
		if got := e.idle(start.Add(tt.after)); got != tt.idle {
			t.Errorf("%v after the last use: idle %v", tt.after, got)
		}
	}
	if e.Touch(start.Add(-2 * time.Second)); e.idle(start.Add(59 * time.Second)) {
		t.Error("a late request moved the last use back")
	}
	if e.Touch(start.Add(-time.Hour)); e.idle(start.Add(-time.Hour)) {
		t.Error("the clock was set back, and the entry would be idle for an hour")
	}
	if e.Touch(start.Add(999 * time.Second)); !e.idle(start.Add(1000 * time.Second)) {
		t.Error("an expired entry is in use")
	}
}

// The value is made only for keys that are admitted, of memory of the table's own.
func TestValueGetsCopies(t *testing.T) {
	table := New[[2]string](10)
	request := strings.Repeat("r", 100) + "the key, and the owner"
	key, ownerName := request[100:107], request[113:]
	made := 0
	for range 2 {
		table.Put(key, ownerName, never, start, func(key, owner string) [2]string { made++; return [2]string{key, owner} })
	}
	if made != 1 {
		t.Errorf("made %d times", made)
	}
	from := uintptr(unsafe.Pointer(unsafe.StringData(request)))
	for i, s := range table.Get(key).Value {
		if s != [2]string{key, ownerName}[i] {
			t.Errorf("given %q", s)
		}
		if at := uintptr(unsafe.Pointer(unsafe.StringData(s))); at >= from && at < from+uintptr(len(request)) {
			t.Errorf("%q lies in the caller's memory", s)
		}
	}
	runtime.KeepAlive(request)
}

func TestTablesThatHoldNothing(t *testing.T) {
	var none *Table[string]
	for name, table := range map[string]*Table[string]{"nil": none, "zero": {}, "capacity 0": New[string](0), "capacity -1": New[string](math.MinInt)} {
		twice(table, "key", "o", never, start)
		if table.Get("key") != nil || table.Len() != 0 {
			t.Errorf("%s: it holds something", name)
		}
	}
}

// Memory comes back when entries go.
func TestOwnersGoWithTheirEntries(t *testing.T) {
	table := New[string](100)
	for i, key := range keys("a", 10_000) {
		twice(table, key, strconv.Itoa(i), start.Add(time.Second), start.Add(time.Duration(i)*time.Minute))
	}
	if len(table.owners) > table.Len() {
		t.Errorf("%d owners of %d entries", len(table.owners), table.Len())
	}
}

// Many goroutines on few slots: for the race detector.
func TestAtOnce(t *testing.T) {
	table := New[string](50)
	list := keys("a", 120)
	var work sync.WaitGroup
	for w := range 8 {
		work.Go(func() {
			for i := range 4000 {
				n := (i*7 + w*i) % len(list)
				now := start.Add(time.Duration(i) * time.Second / 10)
				if e := table.Get(list[n]); e == nil {
					table.Put(list[n], strconv.Itoa(n%30), now.Add(time.Duration(n)*time.Second), now, itself)
				} else if e.Touch(now); e.Value != list[n] {
					t.Errorf("%q holds %q", list[n], e.Value)
				}
			}
		})
	}
	work.Wait()
	if n := table.Len(); n < 1 || n > 50 || held(t, table, list) != n {
		t.Errorf("%d entries, %d found", n, held(t, table, list))
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	table := New[string](10)
	twice(table, "key", "o", never, start)
	if n := testing.AllocsPerRun(100, func() { table.Get("key").Touch(start) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkGet is a hit with so many entries, all of them in turn.
func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1, 1000, 1_000_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			table, list := New[string](n), keys(strings.Repeat("k", 430), n)
			for i, key := range list {
				twice(table, key, strconv.Itoa(i%1000), never, start)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if e := table.Get(list[i%n]); e != nil {
					e.Touch(start)
				}
			}
		})
	}
}

// BenchmarkPut is a Put that evicts another entry.
func BenchmarkPut(b *testing.B) {
	table, now := New[string](10_000), start
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		now = now.Add(100 * time.Millisecond)
		twice(table, strconv.Itoa(i), strconv.Itoa(i%1000), never, now)
	}
}
