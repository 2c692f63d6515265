package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// onceRacers: of 50 calls at once, one is first.
func onceRacers(t *testing.T, open opener) {
	store := open(t)
	until := time.Now().Add(time.Hour)
	for round := range 10 {
		var first atomic.Int64
		var group sync.WaitGroup
		start := make(chan struct{})
		for range racers {
			group.Go(func() {
				<-start
				ok, err := store.Once(t.Context(), "client", fmt.Sprint(round), until)
				if err != nil {
					t.Errorf("Once: %v", err)
				}
				if ok {
					first.Add(1)
				}
			})
		}
		close(start)
		group.Wait()
		if n := first.Load(); n != 1 {
			t.Fatalf("round %d: %d of %d callers were told that they are first", round, n, racers)
		}
	}
}

// onceUntil: a call after until is a first call, and no call before it is.
func onceUntil(t *testing.T, open opener) {
	store := open(t)
	for wait := time.Second; wait <= 32*time.Second; wait *= 2 { // a loaded machine needs longer
		id := wait.String()
		once := func(want bool, until time.Time) {
			t.Helper()
			if got, err := store.Once(t.Context(), "s", id, until); err != nil || got != want {
				t.Errorf("Once = %v, %v, want %v", got, err, want)
			}
		}
		until := time.Now().Add(wait)
		once(true, until)
		second, err := store.Once(t.Context(), "s", id, until.Add(time.Hour))
		if !time.Now().Before(until) {
			continue // it may have been called after until
		}
		if err != nil || second {
			t.Errorf("Once = %v, %v, want false: it is before until", second, err)
		}
		time.Sleep(time.Until(until) + 10*time.Millisecond)
		once(true, time.Now().Add(time.Hour)) // the second call has not moved it
		once(false, time.Now().Add(time.Hour))
		return
	}
	t.Error("two calls took longer than 32 s")
}

// onceDistinct: no two of these are the same, whatever their size and characters.
func onceDistinct(t *testing.T, open opener) {
	store := open(t)
	until := time.Now().Add(time.Hour)
	pairs := [][2]string{
		{"", ""}, {"a", "bc"}, {"ab", "c"}, {"abc", ""}, {"", "abc"}, {"A", "bc"}, {"a", "bc "}, {"a ", "bc"}, {"a", "b%"}, {"a", "b_"},
		{"a\x00", "b"}, {"a", "\x00b"}, {"a", "\xff"}, {"a", "\xfe"}, {oddID, oddID},
		{"é", ""}, {"e\u0301", ""}, {"a", strings.Repeat("x", 100_000)}, {"a", strings.Repeat("x", 100_001)},
	}
	for _, want := range []bool{true, false} {
		for _, p := range pairs {
			if got, err := store.Once(t.Context(), p[0], p[1], until); err != nil || got != want {
				t.Errorf("Once(%q, %.20q) = %v, %v, want %v", p[0], p[1], got, err, want)
			}
		}
	}
}

// contextDone: with a context that is done, a store returns an error or a true answer.
func contextDone(t *testing.T, open opener) {
	store := open(t, clients()...)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	until := time.Now().Add(time.Hour)

	c, err := store.Client(done, oddID)
	if errors.Is(err, registry.ErrNotFound) || (err == nil) != (c != nil) {
		t.Errorf("Client = %v, %v: a client that could not be read was reported as not found: %v", c, err, err)
	}
	first, err := store.Once(done, "scope", "id", until)
	if err != nil && first {
		t.Errorf("Once = true, %v: an error and a true answer", err)
	}
	if second, errSecond := store.Once(t.Context(), "scope", "id", until); errSecond != nil || (first && second) {
		t.Errorf("Once = %v, %v, after it was %v", second, errSecond, first)
	}
	_, err = store.Revoke(done, token("jti", until))
	page, errFeed := store.Changes(done, 0)
	if errors.Is(err, registry.ErrNotFound) || errors.Is(errFeed, registry.ErrNotFound) {
		t.Errorf("an error that says not found: %v, %v", err, errFeed)
	}
	inFeed := false
	for _, c := range follow(t, store, 0) {
		inFeed = inFeed || c.TokenID == "jti"
	}
	if err == nil && !inFeed {
		t.Error("Revoke returned nil and the feed does not have it")
	}
	if errFeed == nil && inFeed && len(page.Changes) == 0 {
		t.Error("Changes returned nothing and no error")
	}
}
