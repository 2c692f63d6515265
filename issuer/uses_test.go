package issuer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// used is a store that records when secrets were used.
type used struct {
	*watched
	mu      sync.Mutex
	batches [][]registry.SecretUse
}

func (u *used) SecretsUsed(ctx context.Context, batch []registry.SecretUse) error {
	u.mu.Lock()
	u.batches = append(u.batches, batch)
	u.mu.Unlock()
	return u.before(ctx, "SecretsUsed")
}

// taken returns the uses that were written since the last call.
func (u *used) taken() []registry.SecretUse {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := slices.Concat(u.batches...)
	u.batches = nil
	slices.SortFunc(all, func(a, b registry.SecretUse) int {
		return cmp.Or(strings.Compare(a.ClientID, b.ClientID), strings.Compare(a.SecretID, b.SecretID))
	})
	return all
}

// The last use of each secret is written within a minute, and at Close. Clients do not wait
// for it.
func TestSecretsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second, stored := registry.GenerateSecret()
		c, other := app(), chosen(t, "other")
		c.Secrets = append(c.Secrets, stored)
		store := &used{watched: &watched{Memory: newStore(t, c, other)}}
		s := newService(t, Config{Store: store, ImportedSecrets: true})
		ask := func(id, secret string, status int) time.Time {
			t.Helper()
			s.wantStatus(t, s.post("grant_type=client_credentials", "Authorization", basic(id, secret)), status)
			return time.Now()
		}
		want := func(uses ...registry.SecretUse) {
			t.Helper()
			if got := store.taken(); fmt.Sprint(got) != fmt.Sprint(uses) {
				t.Errorf("used %v, want %v", got, uses)
			}
		}
		for range 100 {
			ask("app", appSecret, 200)
		}
		time.Sleep(time.Second)
		first := ask("app", appSecret, 200)
		time.Sleep(time.Second)
		next := ask("app", second, 200)
		slow := ask("other", "secret456", 200)
		ask("app", appSecret+"x", 401)
		ask("other", "wrong", 401)
		ask("nobody", appSecret, 401)
		want()
		time.Sleep(time.Minute)
		uses := []registry.SecretUse{{ClientID: "app", SecretID: appStored.ID, At: first}, {ClientID: "app", SecretID: stored.ID, At: next}, {ClientID: "other", SecretID: other.Secrets[0].ID, At: slow}}
		slices.SortFunc(uses[:2], func(a, b registry.SecretUse) int { return strings.Compare(a.SecretID, b.SecretID) })
		want(uses...)
		time.Sleep(time.Hour)
		want() // nothing new, so nothing to write

		// A refused scope is still a use of the secret.
		s.wantStatus(t, s.post(appForm+"&scope=nothing"), 400)
		if err := s.issuer.Close(); err != nil {
			t.Fatal(err)
		}
		want(registry.SecretUse{ClientID: "app", SecretID: appStored.ID, At: time.Now()})
		if err := s.issuer.Close(); err != nil {
			t.Fatal(err)
		}
		want()
	})
}

// A store that writes uses slowly, or fails to, delays neither tokens nor revocations, and
// Close only for a bounded time.
func TestSecretsUsedSlowly(t *testing.T) {
	for name, act := range map[string]func(context.Context, string) error{
		"down": down,
		"hung": hung,
		"slow": func(context.Context, string) error { time.Sleep(storeTimeout); return nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			store := &used{watched: &watched{Memory: newStore(t, app())}}
			store.does(at("SecretsUsed", act))
			s := newService(t, Config{Store: store})
			for n := range 600 {
				begun := time.Now()
				s.wantStatus(t, s.post(appForm), 200)
				wantRevoked(t, s.issuer, strconv.Itoa(n-4), "app", begun, n >= 4) // put 2 s ago
				if took := time.Since(begun); took != 0 {
					t.Fatalf("%s: a token took %v", name, took)
				}
				put(t, store.Memory, registry.Change{Kind: registry.TokenRevoked, TokenID: strconv.Itoa(n)})
				time.Sleep(500 * time.Millisecond)
			}
			if got := len(store.taken()); got < 9 || got > 10 {
				t.Errorf("%s: %d uses were handed over in 5 minutes", name, got)
			}
			begun := time.Now()
			if err := s.issuer.Close(); err != nil || time.Since(begun) > 2*storeTimeout {
				t.Errorf("%s: Close gives %v after %v", name, err, time.Since(begun))
			}
		})
	}
}

// recorderFunc is a UseRecorder of one func.
type recorderFunc func(context.Context, []registry.SecretUse) error

func (f recorderFunc) SecretsUsed(ctx context.Context, uses []registry.SecretUse) error {
	return f(ctx, uses)
}

// A bounded number of uses is kept, even when they cannot be written. For a store that does
// not record them none is kept.
func TestUsesBounded(t *testing.T) {
	var batch []registry.SecretUse
	u := &uses{last: map[[2]string]time.Time{}, recorder: recorderFunc(func(_ context.Context, b []registry.SecretUse) error {
		batch = b
		return errors.New("no matter")
	})}
	for n := range maxUses + 100 {
		u.note("c"+strconv.Itoa(n), "s", time.Now())
	}
	if len(u.last) != maxUses {
		t.Errorf("%d are kept", len(u.last))
	}
	begun := time.Now()
	u.note("c0", "s", time.Now()) // a secret that is already counted fits
	if err := u.flush(t.Context()); err == nil {
		t.Error("no error")
	}
	known := slices.IndexFunc(batch, func(s registry.SecretUse) bool { return s.ClientID == "c0" })
	if len(batch) != maxUses || known < 0 || batch[known].At.Before(begun) || len(u.last) != maxUses {
		t.Errorf("%d are handed over, %d are left", len(batch), len(u.last))
	}

	s := newService(t, Config{Store: &watched{Memory: newStore(t, app())}})
	s.wantToken(t, s.post(appForm))
	if got := len(s.issuer.uses.last); got != 0 {
		t.Errorf("%d uses are kept for a store that does not record them", got)
	}
}
