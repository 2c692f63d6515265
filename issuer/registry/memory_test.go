package registry

import (
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemory(t *testing.T) {
	if _, err := NewMemory(app(), Client{ID: "other"}, app()); err == nil || !strings.Contains(err.Error(), `"app"`) {
		t.Errorf("two clients with one id: %v", err)
	}
	if m, err := NewMemory(Client{}); m != nil || err == nil || !strings.Contains(err.Error(), "Client.ID") {
		t.Errorf("%v, %v", m, err)
	}
	mine := app()
	m := newStore(t, mine)
	for _, id := range []string{"", "App", "app ", "other"} {
		if c, err := m.Client(t.Context(), id); c != nil || !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v, %v", id, c, err)
		}
	}
	// Later changes to the caller's copy do not change the store.
	mine.Scopes[0], mine.Audiences[0], mine.Secrets[0].Hash = "x", "x", "x"
	got, err := m.Client(t.Context(), "app")
	if err != nil || got.Scopes[0] != "orders:read" || got.Audiences[0] != ordersAPI || got.Secrets[0] != appStored {
		t.Errorf("%+v, %v", got, err)
	}
	// A returned client does not change when the stored one is replaced.
	next := app()
	next.Scopes = []string{"next"}
	if err := m.Put(next); err != nil || got.Scopes[0] != "orders:read" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := m.Client(t.Context(), "app"); err != nil || got.Scopes[0] != "next" || got.Version != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := m.Put(Client{ID: "app", TokenTTL: -1}); err == nil {
		t.Error("an invalid client replaces a valid one")
	}
}

// Put adds a change to the feed. The clients of NewMemory do not.
func TestMemoryPutIsInTheFeed(t *testing.T) {
	m := newStore(t, app())
	if page, err := m.Changes(t.Context(), 0); err != nil || len(page.Changes) != 0 || page.End != 0 || page.More {
		t.Errorf("a new store's feed: %+v, %v", page, err)
	}
	var read int64
	for range 3 {
		before := time.Now().UnixMicro()
		if err := m.Put(app()); err != nil {
			t.Fatal(err)
		}
		page, err := m.Changes(t.Context(), read)
		if err != nil || len(page.Changes) != 1 || page.End != page.Changes[0].Sequence {
			t.Fatalf("%+v, %v", page, err)
		}
		// The new feed of a later process has greater sequences.
		if c := page.Changes[0]; c.Kind != ClientChanged || c.ClientID != "app" || c.Sequence < before || c.Sequence <= read {
			t.Errorf("%+v", c)
		}
		read = page.End
	}
}

// The zero value is an empty store, also embedded in another type.
func TestMemoryZero(t *testing.T) {
	var mine struct{ Memory }
	if _, err := mine.Client(t.Context(), "app"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if first, err := mine.Once(t.Context(), "s", "i", time.Now().Add(time.Hour)); !first || err != nil {
		t.Errorf("%v, %v", first, err)
	}
	if err := mine.Put(app()); err != nil {
		t.Fatal(err)
	}
	if c, err := mine.Client(t.Context(), "app"); err != nil || c.ID != "app" {
		t.Errorf("%+v, %v", c, err)
	}

	var none *Memory // what NewMemory returns beside an error
	_, errClient := none.Client(t.Context(), "app")
	_, errRevoke := none.Revoke(t.Context(), Change{Kind: ClientChanged, ClientID: "a", ExpiresAt: time.Now()})
	_, errChanges := none.Changes(t.Context(), 0)
	_, errOnce := none.Once(t.Context(), "s", "i", time.Now())
	_, errRegister := none.Register(t.Context(), app())
	_, errList := none.List(t.Context(), Query{})
	_, errUpdate := none.Update(t.Context(), app())
	_, errRotate := none.RotateSecret(t.Context(), "app", Rotation{})
	for method, err := range map[string]error{
		"Client": errClient, "Revoke": errRevoke, "Changes": errChanges, "Once": errOnce, "Register": errRegister, "List": errList,
		"Update": errUpdate, "RotateSecret": errRotate, "Put": none.Put(app()), "Delete": none.Delete(t.Context(), "app"),
		"AddSecret": none.AddSecret(t.Context(), "app", appStored), "RemoveSecret": none.RemoveSecret(t.Context(), "app", "x", false),
	} {
		if !errors.Is(err, errNoMemory) {
			t.Errorf("%s of a nil *Memory: %v", method, err)
		}
	}
}

func TestMemoryPages(t *testing.T) {
	for _, n := range []int{0, 1, maxPage - 1, maxPage, maxPage + 1, 2*maxPage + 5000} {
		m := newStore(t)
		for k := range n {
			change := Change{Kind: TokenRevoked, TokenID: strconv.Itoa(k), ExpiresAt: time.Now().Add(time.Hour)}
			if _, err := m.Revoke(t.Context(), change); err != nil {
				t.Fatal(err)
			}
		}
		since, read := int64(0), 0
		for more := true; more; {
			page, err := m.Changes(t.Context(), since)
			if err != nil || page.End != m.sequence || len(page.Changes) > maxPage || page.More != (n-read > maxPage) {
				t.Fatalf("%d, after %d: %d changes to %d, more %v, %v", n, since, len(page.Changes), page.End, page.More, err)
			}
			for _, c := range page.Changes {
				if c.Sequence <= since || c.TokenID != strconv.Itoa(read) {
					t.Fatalf("%+v after %d", c, since)
				}
				since, read = c.Sequence, read+1
			}
			more = page.More
		}
		if read != n {
			t.Errorf("%d of %d", read, n)
		}
	}
}

// Expired changes leave the feed, and do not set More.
func TestMemorySweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newStore(t)
		for n := range maxPage {
			if _, err := m.Revoke(t.Context(), Change{Kind: TokenRevoked, TokenID: "a" + strconv.Itoa(n), ExpiresAt: time.Now().Add(time.Second)}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		last := Change{Kind: TokenRevoked, TokenID: "b", ExpiresAt: time.Now().Add(time.Hour)}
		if _, err := m.Revoke(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		page, err := m.Changes(t.Context(), 0)
		if err != nil || len(page.Changes) != 1 || page.More || page.End != page.Changes[0].Sequence {
			t.Errorf("%d changes to %d, more %v, %v", len(page.Changes), page.End, page.More, err)
		}
		time.Sleep(TokenGrace)
		last.TokenID, last.ExpiresAt = "c", time.Now().Add(time.Hour)
		if _, err := m.Revoke(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		// b has expired, and is kept in case the clock goes back.
		if page, err := m.Changes(t.Context(), 0); err != nil || len(page.Changes) != 1 || len(m.feed.entries) != 2 {
			t.Errorf("%d changes, %d kept, %v", len(page.Changes), len(m.feed.entries), err)
		}
	})
}

// One client cannot make the feed grow. A repeated change replaces the earlier entry, and a
// cut-off replaces the revocations of the client's tokens.
func TestMemoryReplaces(t *testing.T) {
	m := newStore(t, app())
	until := time.Now().Add(time.Hour)
	write := func(c Change) {
		t.Helper()
		if _, err := m.Revoke(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	write(Change{Kind: TokenRevoked, TokenID: "kept", ClientID: "other", ExpiresAt: until})
	for n := range 20_000 {
		write(Change{Kind: TokenRevoked, TokenID: strconv.Itoa(n % 50), ClientID: "app", ExpiresAt: until.Add(time.Duration(n))})
		if n%100 == 99 {
			write(CutOff("app"))
		}
		write(Change{Kind: SecretCutOff, ClientID: "app", SecretID: "s"})
		write(Change{Kind: AllCutOff})
		write(Change{Kind: ClientChanged, ClientID: "app"})
	}
	page, err := m.Changes(t.Context(), 0)
	kinds := []Kind{}
	for n, c := range page.Changes {
		kinds = append(kinds, c.Kind)
		if n > 0 && c.Sequence <= page.Changes[n-1].Sequence {
			t.Errorf("%+v after %+v", c, page.Changes[n-1])
		}
	}
	if want := []Kind{TokenRevoked, ClientCutOff, SecretCutOff, AllCutOff, ClientChanged}; err != nil || !slices.Equal(kinds, want) || page.Changes[0].TokenID != "kept" {
		t.Errorf("%v, %v, want %v", kinds, err, want)
	}
	if got := len(m.feed.entries) + len(m.feed.latest) + cap(m.feed.entries); got > 200 {
		t.Errorf("%d entries, %d names, capacity %d", len(m.feed.entries), len(m.feed.latest), cap(m.feed.entries))
	}
}

// The memory of expired entries is freed.
func TestMemoryShrinks(t *testing.T) {
	m := newStore(t, app())
	heap := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	const n = 50_000
	before := heap()
	soon := time.Now().Add(time.Second)
	for k := range n {
		id := strconv.Itoa(k)
		if _, err := m.Revoke(t.Context(), Change{Kind: TokenRevoked, TokenID: id, ClientID: id, ExpiresAt: soon}); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Once(t.Context(), "s", id, soon); err != nil {
			t.Fatal(err)
		}
	}
	full := heap()
	m.mu.Lock()
	m.clock = memoryClock{shift: 2 * TokenGrace} // it has run evenly all the time
	m.mu.Unlock()
	if _, err := m.Changes(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if after := heap(); after > before+(full-before)/20 {
		t.Errorf("%d B before, %d B full, %d B after all has expired", before, full, after)
	}
	runtime.KeepAlive(m)
}

// For the race detector.
func TestMemoryConcurrently(t *testing.T) {
	m := newStore(t, app())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				c, err := m.Client(t.Context(), "app")
				if err != nil {
					t.Error(err)
					return
				}
				c.Scopes[0] = "mine"
				if err := m.Put(app()); err != nil {
					t.Error(err)
				}
				if _, err := m.RotateSecret(t.Context(), "app", Rotation{Overlap: time.Hour}); err != nil {
					t.Error(err)
				}
				if _, err := m.Changes(t.Context(), 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
