package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// managerFeedFirst: a caller that reads a changed client finds the change in the feed. So
// a replica that has not read the feed so far has not seen the changed client.
func managerFeedFirst(t *testing.T, m registry.Manager) {
	const updates = 30
	c := register(t, m, registry.Client{ID: "c"})
	var ends [updates + 2]atomic.Int64 // of each version, when its update has returned
	keep := func() {
		page, err := m.Changes(t.Context(), 0)
		if err != nil {
			t.Error(err)
		}
		ends[c.Version].Store(page.End)
	}
	keep()
	var group sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				read, err := m.Client(t.Context(), "c")
				if err != nil {
					t.Error(err)
					return
				}
				page, err := m.Changes(t.Context(), 0)
				if err != nil {
					t.Error(err)
					return
				}
				if before := ends[read.Version-1].Load(); page.End <= before {
					t.Errorf("version %d is there, and the feed ends at %d, as before it", read.Version, before)
				}
			}
		})
	}
	for range updates {
		var err error
		if c, err = m.Update(t.Context(), c); err != nil {
			t.Error(err)
			break
		}
		keep()
	}
	close(done)
	group.Wait()
}

// managerRacers: no update is lost, and each returned secret is valid.
func managerRacers(t *testing.T, m registry.Manager) {
	register(t, m, registry.Client{ID: "c"})
	var group sync.WaitGroup
	const updates = 12
	for i := range updates {
		group.Go(func() {
			for {
				c, err := m.Client(t.Context(), "c")
				if err != nil {
					t.Error(err)
					return
				}
				c.Scopes = append(c.Scopes, fmt.Sprint(i))
				if _, err = m.Update(t.Context(), *c); err == nil {
					return
				}
				if !errors.Is(err, registry.ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	secrets := make([]string, racers)
	for i := range secrets {
		group.Go(func() {
			var err error
			if secrets[i], err = m.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: time.Hour}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	c, err := m.Client(t.Context(), "c")
	if err != nil || len(c.Scopes) != updates || c.Version != updates+1 {
		t.Errorf("%d of %d changes are there, version %d, %v", len(c.Scopes), updates, c.Version, err)
	}
	lasting := 0
	for _, plain := range secrets {
		secret, ok := inForce(t, m, plain)
		if !ok {
			t.Error("a returned secret is not valid")
		}
		if secret.ExpiresAt.IsZero() {
			lasting++
		}
	}
	if lasting != 1 {
		t.Errorf("%d secrets do not expire, want 1", lasting)
	}
}

// managerEnsure: of many callers that ensure one client, one gets its secret.
func managerEnsure(t *testing.T, m registry.Manager) {
	var told atomic.Int64
	var group sync.WaitGroup
	for range racers {
		group.Go(func() {
			secret, err := registry.Ensure(t.Context(), m, registry.Client{ID: "c"})
			if err != nil {
				t.Error(err)
			}
			if secret == "" {
				return
			}
			told.Add(1)
			if _, ok := inForce(t, m, secret); !ok {
				t.Error("the secret is not valid")
			}
		})
	}
	group.Wait()
	if told.Load() != 1 {
		t.Errorf("%d callers got a secret, want 1", told.Load())
	}
}
