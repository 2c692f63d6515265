package issuer

import (
	"context"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// uses collects when secrets were last used, for a store that keeps that.
// Nobody waits for the write, and what is lost in a crash is half a minute.
type uses struct {
	keep func(context.Context, []registry.SecretUse) error // nil: the store does not
	mu   sync.Mutex
	last map[[2]string]time.Time
}

const maxUses = 10_000

func newUses(store registry.Store) *uses {
	u := &uses{last: map[[2]string]time.Time{}}
	if s, ok := store.(interface {
		SecretsUsed(context.Context, []registry.SecretUse) error
	}); ok {
		u.keep = s.SecretsUsed
	}
	return u
}

func (u *uses) note(clientID, secretID string, now time.Time) {
	if u.keep == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	key := [2]string{clientID, secretID}
	if _, known := u.last[key]; known || len(u.last) < maxUses {
		u.last[key] = now
	}
}

// flush hands the batch over. If that fails it is not tried again: a later use
// makes up for it.
func (u *uses) flush(ctx context.Context) {
	u.mu.Lock()
	last := u.last
	u.last = map[[2]string]time.Time{}
	u.mu.Unlock()
	if len(last) == 0 {
		return
	}
	batch := make([]registry.SecretUse, 0, len(last))
	for key, at := range last {
		batch = append(batch, registry.SecretUse{key[0], key[1], at})
	}
	bound, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	_ = u.keep(bound, batch)
}
