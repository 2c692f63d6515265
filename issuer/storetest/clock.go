package storetest

import (
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// feedClock: every page has the store's clock, or none has.
func feedClock(t *testing.T, open opener) {
	store := open(t)
	var last time.Time
	for i := range 3 {
		begun := time.Now()
		page, err := store.Changes(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && page.Now.IsZero() != last.IsZero() {
			t.Errorf("Page.Now is %v, after %v", page.Now, last)
		}
		if last = page.Now; last.IsZero() {
			continue
		}
		if last.Before(begun.Add(-registry.MaxClockSkew)) || last.After(time.Now().Add(registry.MaxClockSkew)) {
			t.Errorf("Page.Now is %v, %v away from the test's clock", last, time.Since(last))
		}
		revoke(t, store, token("a", time.Now().Add(time.Hour)))
	}
}

// checker: a store that works is ready.
func checker(t *testing.T, open opener) {
	store, ok := open(t, clients()...).(registry.Checker)
	if !ok {
		t.Log("the store is no registry.Checker, which is optional")
		return
	}
	if err := store.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}
