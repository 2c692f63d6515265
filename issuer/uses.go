package issuer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// uses collects when secrets were last used, for a store that records that. Clients do
// not wait for the write. A crash loses up to flushEvery.
type uses struct {
	recorder registry.UseRecorder // nil: the store does not record it
	mu       sync.Mutex
	last     map[[2]string]time.Time
}

const maxUses = 10_000

func newUses(store registry.Store) *uses {
	recorder, _ := store.(registry.UseRecorder)
	return &uses{recorder: recorder, last: map[[2]string]time.Time{}}
}

func (u *uses) note(clientID, secretID string, now time.Time) {
	if u.recorder == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	key := [2]string{clientID, secretID}
	if _, known := u.last[key]; known || len(u.last) < maxUses {
		u.last[key] = now
	}
}

// flush writes what was collected to the store. What cannot be written is kept for the
// next flush.
func (u *uses) flush(ctx context.Context) error {
	u.mu.Lock()
	last := u.last
	u.last = map[[2]string]time.Time{}
	u.mu.Unlock()
	if len(last) == 0 {
		return nil
	}
	batch := make([]registry.SecretUse, 0, len(last))
	for key, at := range last {
		batch = append(batch, registry.SecretUse{ClientID: key[0], SecretID: key[1], At: at})
	}
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errStoreStalled)
	defer cancel()
	err := u.recorder.SecretsUsed(bound, batch)
	if err == nil || errors.Is(err, registry.ErrInvalid) {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for key, at := range last {
		if _, later := u.last[key]; !later && len(u.last) < maxUses {
			u.last[key] = at
		}
	}
	return err
}
