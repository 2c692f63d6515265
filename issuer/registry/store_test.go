package registry

import (
	"errors"
	"strings"
	"sync"
	"testing"
)

func TestMemory(t *testing.T) {
	if _, err := NewMemory(app(), Client{ID: "other"}, app()); err == nil || !strings.Contains(err.Error(), `"app"`) {
		t.Errorf("two of one id: %v", err)
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
	// What the caller does with its copy afterwards changes nothing.
	mine.Scopes[0], mine.Audiences[0], mine.Secrets[0].Hash = "x", "x", "x"
	got, err := m.Client(t.Context(), "app")
	if err != nil || got.Scopes[0] != "orders:read" || got.Audiences[0] != ordersAPI || got.Secrets[0] != appStored {
		t.Errorf("%+v, %v", got, err)
	}
	// A client that was given out does not change when it is replaced.
	next := app()
	next.Scopes = []string{"next"}
	if err := m.Put(next); err != nil || got.Scopes[0] != "orders:read" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := m.Client(t.Context(), "app"); err != nil || got.Scopes[0] != "next" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := m.Put(Client{ID: "app", TokenTTL: -1}); err == nil {
		t.Error("a client that is wrong replaces one that is not")
	}
}

// For the race detector: clients are replaced while tokens are granted.
func TestMemoryConcurrently(t *testing.T) {
	m := newStore(t, app())
	s := newService(t, Config{Store: m})
	var both sync.WaitGroup
	both.Go(func() {
		for range 100 {
			if err := m.Put(app()); err != nil {
				t.Error(err)
			}
		}
	})
	both.Go(func() {
		for range 100 {
			s.wantStatus(t, s.post(appForm), 200)
		}
	})
	both.Wait()
}
