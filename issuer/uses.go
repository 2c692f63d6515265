package issuer

import (
	"context"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// uses collects when secrets were last used, for a store that records that.
// Clients do not wait for the write. A crash loses half a minute.
type uses struct {
	recorder registry.UseRecorder // nil: the store does not
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

// flush hands the batch over. A batch that fails is dropped: a later use makes up
// for it.
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
		batch = append(batch, registry.SecretUse{ClientID: key[0], SecretID: key[1], At: at})
	}
	bound, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	_ = u.recorder.SecretsUsed(bound, batch)
}
