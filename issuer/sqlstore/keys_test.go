package sqlstore_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/echo-m2m/m2m/jwks"
)

func TestKeyStore(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		if _, err := store.KeyStore("issuer"); err == nil || !strings.Contains(err.Error(), "32 random bytes") {
			t.Errorf("without a key: %v", err)
		}
		if _, err := store.KeyStore("issuer", make([]byte, 16)); err == nil || !strings.HasPrefix(err.Error(), "sqlstore: ") {
			t.Errorf("with a short key: %v", err)
		}
		kek := make([]byte, 32)
		_, _ = rand.Read(kek)
		keys, err := store.KeyStore("issuer", kek)
		if err != nil {
			t.Fatal(err)
		}
		if state, err := keys.Load(t.Context()); state != nil || err != nil {
			t.Errorf("Load of an empty store: %q, %v", state, err)
		}
		save := func(want bool, old, blob string) {
			t.Helper()
			var from []byte
			if old != "" {
				from = []byte(old)
			}
			if got, err := keys.Save(t.Context(), from, []byte(blob)); err != nil || got != want {
				t.Errorf("Save(%q, %q) = %v, %v, want %v", old, blob, got, err, want)
			}
		}
		save(false, "none", "one")
		save(true, "", "one")
		save(false, "", "two")
		save(false, "other", "two")
		save(true, "one", "two")
		if state, err := keys.Load(t.Context()); string(state) != "two" || err != nil {
			t.Errorf("Load: %q, %v", state, err)
		}
		var stored []byte
		if err := d.raw(t).QueryRowContext(t.Context(), "SELECT state FROM m2m_keys").Scan(&stored); err != nil || bytes.Contains(stored, []byte("two")) {
			t.Errorf("the state is not sealed: %q, %v", stored, err)
		}
		other, err := store.KeyStore("issuer", bytes.Repeat([]byte{1}, 32))
		if err != nil {
			t.Fatal(err)
		}
		if state, err := other.Load(t.Context()); err == nil {
			t.Errorf("opened with another key: %q", state)
		}
	})
}

// Of 50 callers that replace the same state one succeeds.
func TestKeyStoreByFifty(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		keys, err := store.KeyStore("issuer", make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		var old []byte
		for round := range 3 {
			var won atomic.Int64
			var group sync.WaitGroup
			for i := range 50 {
				group.Go(func() {
					saved, err := keys.Save(t.Context(), old, fmt.Appendf(nil, "%d %d", round, i))
					if err != nil {
						t.Error(err)
					}
					if saved {
						won.Add(1)
					}
				})
			}
			group.Wait()
			if won.Load() != 1 {
				t.Errorf("round %d: %d callers replaced it, want 1", round, won.Load())
			}
			if old, err = keys.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Replicas that start together on one database have one key set.
func TestKeyringOnTheDatabase(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		published := make([]string, 5)
		var group sync.WaitGroup
		for i := range published {
			store := d.open(t)
			group.Go(func() {
				keys, err := store.KeyStore("issuer", make([]byte, 32))
				if err != nil {
					t.Error(err)
					return
				}
				ring, err := jwks.Open(t.Context(), keys, jwks.Policy{})
				if err != nil {
					t.Error(err)
					return
				}
				defer ring.Close()
				answer := httptest.NewRecorder()
				ring.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
				published[i] = answer.Body.String()
			})
		}
		group.Wait()
		for _, set := range published {
			if set != published[0] || !strings.Contains(set, `"kid"`) {
				t.Errorf("one publishes %s, another %s", published[0], set)
			}
		}
	})
}
