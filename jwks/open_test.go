package jwks

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/echo-m2m/m2m/jwks/jose"
)

func TestOpenRefuses(t *testing.T) {
	if r, err := Open(t.Context(), nil, Policy{}); r != nil || err == nil || !strings.Contains(err.Error(), `jwks.File("keys.json")`) {
		t.Errorf("%v", err)
	}
	path := keyFile(t)
	if r, err := Open(t.Context(), File(path), Policy{Algorithm: "HS256"}); r != nil || err == nil || !strings.Contains(err.Error(), "Policy.Algorithm") {
		t.Errorf("%v", err)
	}
	down := errors.New("no connection")
	if r, err := Open(t.Context(), &shelf{err: down}, Policy{}); r != nil || !errors.Is(err, down) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := Open(ctx, File(path), Policy{}); r != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("a refused Open made keys")
	}
}

// Replicas that open one store together end with one key set.
func TestOpenTogether(t *testing.T) {
	for name, store := range map[string]func() KeyStore{
		"memory": func() KeyStore { s := &shelf{}; return s },
		"file":   func() KeyStore { return File(keyFile(t)) },
		"sealed": func() KeyStore { return sure(Sealed(File(keyFile(t)), "issuer", kek(1))) },
	} {
		for range 5 {
			shared := store()
			var wg sync.WaitGroup
			replicas := make([]*Keyring, 8)
			for i := range replicas {
				wg.Go(func() { replicas[i], _ = Open(t.Context(), shared, Policy{}) })
			}
			wg.Wait()
			for i, r := range replicas {
				if r == nil {
					t.Fatalf("%s: replica %d did not open", name, i)
				}
				defer r.Close()
			}
			// The last one to open may have announced a key that the first one has not read.
			last := opened(t, shared, Policy{})
			kids := publishedBy(t, last)
			if len(kids) != 2 {
				t.Errorf("%s: %d keys", name, len(kids))
			}
			for i, r := range replicas {
				if kid := signedBy(t, r); kid != kids[0] {
					t.Errorf("%s: replica %d signs with %s", name, i, kid)
				}
				if got := publishedBy(t, r); !slices.Equal(got, kids[:min(len(got), 2)]) {
					t.Errorf("%s: replica %d publishes %q, another %q", name, i, got, kids)
				}
			}
		}
	}
}

func TestOpenTogetherInProcesses(t *testing.T) {
	path := keyFile(t)
	var wg sync.WaitGroup
	sets := make([]string, 6)
	for i := range sets {
		wg.Go(func() {
			out, err := process(t, "open", path).Output()
			if err != nil {
				t.Error(err)
			}
			sets[i] = string(out)
		})
	}
	wg.Wait()
	r := opened(t, File(path), Policy{})
	kids := publishedBy(t, r)
	for i, set := range sets {
		s, err := jose.ParseSet([]byte(set), nil)
		if err != nil {
			t.Fatalf("process %d: %v", i, err)
		}
		for _, key := range s.Keys() {
			if !slices.Contains(kids, key.ID()) {
				t.Errorf("process %d published %s, which is not in the store", i, key.ID())
			}
		}
		if s.Find(kids[0], "") == nil {
			t.Errorf("process %d did not publish the signing key", i)
		}
	}
}

func TestReopen(t *testing.T) {
	store := File(keyFile(t))
	r := sure(Open(t.Context(), store, Policy{}))
	signs, published := signedBy(t, r), publishedBy(t, r)
	r.Close()
	before := sure(store.Load(t.Context()))
	for range 3 {
		r := sure(Open(t.Context(), store, Policy{}))
		if got := signedBy(t, r); got != signs {
			t.Errorf("signs with %s", got)
		}
		if got := publishedBy(t, r); !slices.Equal(got, published) {
			t.Errorf("publishes %q", got)
		}
		r.Close()
	}
	if after := sure(store.Load(t.Context())); string(after) != string(before) {
		t.Error("opening changed what is stored")
	}
}
