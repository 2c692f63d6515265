package issuer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// While the feed is out of reach, what is known counts for MaxRevocationLag; then
// the answer is an error, not a guess, until it is back.
func TestRevocationLag(t *testing.T) {
	for name, act := range map[string]func(context.Context, string) error{"down": down, "hung": hung} {
		for _, lag := range []time.Duration{0, 2 * time.Second, 5 * time.Minute} {
			t.Run(fmt.Sprint(name, lag), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := &watched{Memory: newStore(t, app())}
					i := newService(t, Config{Store: store, MaxRevocationLag: lag}).issuer
					if lag == 0 {
						lag = time.Minute
					}
					now := time.Now()
					revokeToken(t, i, "a", now.Add(time.Hour))
					wantRevoked(t, i, "a", "app", now, true)
					time.Sleep(time.Hour / 60)
					wantRevoked(t, i, "b", "app", now, false)

					store.does(at("Revocations", act))
					for begun := time.Now(); time.Since(begun) < lag-followEvery; time.Sleep(250 * time.Millisecond) {
						wantRevoked(t, i, "a", "app", now, true)
						wantRevoked(t, i, "b", "app", now, false)
					}
					time.Sleep(followEvery + time.Nanosecond)
					cause := errDown
					if name == "hung" {
						cause = context.DeadlineExceeded
						time.Sleep(storePatience) // for the first failure to be one
					}
					for range 10 {
						wantLag(t, i, cause)
						time.Sleep(lag)
					}

					put(t, store.Memory, registry.Revocation{TokenID: "b"})
					store.does(nil)
					time.Sleep(storePatience + followEvery)
					wantRevoked(t, i, "b", "app", now, true)
					wantRevoked(t, i, "c", "app", now, false)
				})
			})
		}
	}
}

// It ends to the nanosecond, a first look that took too long included.
func TestRevocationLagIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lag = 2 * time.Second
		store := &watched{Memory: newStore(t, app())}
		i := newService(t, Config{Store: store, MaxRevocationLag: lag}).issuer
		now := time.Now()
		store.does(at("Revocations", func(context.Context, string) error {
			time.Sleep(lag + time.Nanosecond)
			return nil
		}))
		wantLag(t, i, errStoreStalled)
		store.does(nil)
		time.Sleep(storePatience + followEvery)
		for range 5 { // it falls behind and catches up
			wantRevoked(t, i, "b", "app", now, false)
			store.does(at("Revocations", down))
			time.Sleep(time.Until(i.revocations.followed.Load().Add(lag)))
			wantRevoked(t, i, "b", "app", now, false)
			time.Sleep(time.Nanosecond)
			wantLag(t, i, errDown)
			store.does(nil)
			time.Sleep(followEvery)
		}
	})
}

// What was revoked before this process started counts from its first request:
// that waits for the first look, but not for ever, and however many there are.
func TestRevokedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		put(t, store, registry.Revocation{TokenID: "a"})
		release := make(chan struct{})
		store.does(func(context.Context, string) error {
			<-release
			return nil
		})
		i := newService(t, Config{Store: store}).issuer
		if got := store.looks.Load(); got != 0 {
			t.Errorf("%d looks before the first use", got)
		}
		answers := make(chan bool, 1000)
		for range cap(answers) {
			go func() {
				revoked, err := i.Revoked(t.Context(), "a", "app", time.Now())
				answers <- revoked && err == nil
			}()
		}
		time.Sleep(storePatience / 2)
		if len(answers) != 0 {
			t.Errorf("%d did not wait", len(answers))
		}
		close(release)
		for range cap(answers) {
			if !<-answers {
				t.Fatal("not revoked")
			}
		}
		if got := store.looks.Load(); got > 4 {
			t.Errorf("%d looks for %d requests", got, cap(answers))
		}
	})

	// At a store that fails, or hangs, from the start.
	for name, act := range map[string]func(context.Context, string) error{"down": down, "hung": hung} {
		synctest.Test(t, func(t *testing.T) {
			store := &watched{Memory: newStore(t, app())}
			store.does(act)
			i := newService(t, Config{Store: store}).issuer
			begun := time.Now()
			var asking sync.WaitGroup
			for range 100 {
				asking.Go(func() {
					if revoked, err := i.Revoked(t.Context(), "a", "app", begun); revoked || !errors.Is(err, errLag) {
						t.Errorf("%s: %v, %v", name, revoked, err)
					}
				})
			}
			asking.Wait()
			if took := time.Since(begun); took > storePatience {
				t.Errorf("%s: the last of them waited %v", name, took)
			}
			// Who leaves does not wait at all.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begun = time.Now()
			if _, err := i.Revoked(ctx, "a", "app", begun); err == nil || time.Since(begun) > time.Second {
				t.Errorf("%s: %v after %v", name, err, time.Since(begun))
			}
			store.does(nil)
			time.Sleep(storePatience + followEvery)
			wantRevoked(t, i, "a", "app", begun, false)
		})
	}
}

// busy is a store where, whenever somebody looks, there is something new.
type busy struct {
	*registry.Memory
	looks atomic.Int64
}

func (b *busy) Revocations(ctx context.Context, since int64) ([]registry.Revocation, error) {
	time.Sleep(10 * time.Millisecond)
	if b.looks.Add(1) > 100 {
		return nil, errors.New("asked again and again")
	}
	if err := b.Revoke(ctx, registry.Revocation{TokenID: "t" + strconv.FormatInt(since, 10), ExpiresAt: time.Now().Add(time.Minute)}); err != nil {
		return nil, err
	}
	return b.Memory.Revocations(ctx, since)
}

// Revoking without pause is no outage.
func TestRevocationsWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newService(t, Config{Store: &busy{Memory: newStore(t, app())}, MaxRevocationLag: 2 * time.Second}).issuer
		for range 20 {
			wantRevoked(t, i, "a", "app", time.Now(), false)
			time.Sleep(time.Second)
		}
	})
}

// A feed that was set back, by a backup that was restored, is read anew; what was
// known stays known.
func TestRevocationsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		i := newService(t, Config{Store: store}).issuer
		now := time.Now()
		for _, jti := range []string{"a", "b", "c"} {
			put(t, store, registry.Revocation{TokenID: jti})
		}
		wantRevoked(t, i, "c", "app", now, true)
		synctest.Wait()
		store.Memory = newStore(t, app())
		put(t, store, registry.Revocation{TokenID: "d"})
		set := false
		store.does(at("Revocations", func(context.Context, string) error {
			if set {
				return nil
			}
			set = true
			return fmt.Errorf("store: %w", registry.ErrConflict)
		}))
		time.Sleep(2 * time.Second)
		wantRevoked(t, i, "c", "app", now, true)
		wantRevoked(t, i, "d", "app", now, true)

		// One that says so of its very start has failed, and is not asked without end.
		store.does(at("Revocations", func(context.Context, string) error { return registry.ErrConflict }))
		time.Sleep(2 * time.Minute)
		wantLag(t, i, registry.ErrConflict)
	})
}

// Nothing runs before it is needed, nor after Close; a bubble does not end while
// something does.
func TestClose(t *testing.T) {
	unused := func(t *testing.T) (*Issuer, *watched) {
		t.Helper()
		store := &watched{Memory: newStore(t, app())}
		i, err := New(Config{Issuer: testIssuer, Keys: newKeyring(t, ecKey), Store: store, ImportedSecrets: true})
		if err != nil {
			t.Fatal(err)
		}
		return i, store
	}
	synctest.Test(t, func(t *testing.T) {
		_, store := unused(t)
		time.Sleep(time.Hour)
		if got := store.looks.Load(); got != 0 {
			t.Errorf("%d looks", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		i, _ := unused(t)
		for range 2 {
			if err := i.Close(); err != nil {
				t.Error(err)
			}
		}
		// Nothing starts after Close: who asks gets an answer that is true now, and
		// then none.
		wantRevoked(t, i, "a", "app", time.Now(), false)
		time.Sleep(time.Minute + time.Nanosecond)
		wantLag(t, i, errStoreStalled)
	})
	for name, use := range map[string]func(t *testing.T, s *service) error{
		"Revoked": func(t *testing.T, s *service) error {
			_, err := s.issuer.Revoked(t.Context(), "a", "app", time.Now())
			return err
		},
		"Token": func(_ *testing.T, s *service) error {
			if w := s.post(appForm); w.Code != 200 {
				return errors.New(w.Body.String())
			}
			return nil
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := &watched{Memory: newStore(t, app())}
			s := newService(t, Config{Store: store})
			if err := use(t, s); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			time.Sleep(time.Minute)
			looks := store.looks.Load()
			if looks < 60 {
				t.Errorf("%s: %d looks in a minute", name, looks)
			}
			store.does(at("Revocations", hung)) // Close does not wait for it
			time.Sleep(time.Second)
			begun := time.Now()
			var closing sync.WaitGroup
			for range 3 {
				closing.Go(func() {
					if err := s.issuer.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			closing.Wait()
			if took := time.Since(begun); took != 0 {
				t.Errorf("%s: Close took %v", name, took)
			}
			looks = store.looks.Load()
			time.Sleep(time.Minute)
			if got := store.looks.Load(); got != looks {
				t.Errorf("%s: %d looks after Close", name, got-looks)
			}
			wantLag(t, s.issuer, context.Canceled)
		})
	}
}
