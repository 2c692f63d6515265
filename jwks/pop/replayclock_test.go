package pop

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// clockStore is a replay store whose clock is ahead of the replicas'.
type clockStore struct {
	ahead time.Duration
	until map[string]time.Time
}

func (s *clockStore) once(_ context.Context, scope, id string, until time.Time) (bool, error) {
	if known, ok := s.until[scope+id]; ok && known.After(time.Now().Add(s.ahead)) {
		return false, nil
	}
	s.until[scope+id] = until
	return true, nil
}

// The clock of the store may be a minute ahead (registry.MaxClockSkew). It must not drop
// the record of a proof that is still accepted.
func TestReplayStoreClockAhead(t *testing.T) {
	for _, c := range []Config{{}, {MaxAge: time.Second, Leeway: time.Second}, {MaxAge: 10 * time.Minute, Leeway: time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			store := &clockStore{time.Minute, map[string]time.Time{}}
			c.Replay = store.once
			v := sure(NewVerifier(c))
			f := newForge("EdDSA")
			f.claims["iat"] = time.Now().Add(v.leeway).Unix() // the latest
			r := request(f.sign(t))
			if _, err := v.Verify(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			for age := time.Duration(0); age <= v.maxAge+2*v.leeway; age += time.Second {
				if _, err := v.Verify(t.Context(), r); err == nil {
					t.Fatalf("%+v: used twice, the second time after %v", c, age)
				}
				time.Sleep(time.Second)
			}
		})
	}
}

// A proof that becomes too old while the client's credential is spent is refused: its
// record would end before the next use.
func TestProofAgesWhileSpending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := sure(NewVerifier(Config{}))
		f := newForge("EdDSA")
		r := request(f.sign(t))
		r.Before = func(context.Context) error {
			time.Sleep(v.maxAge + v.leeway)
			return nil
		}
		_, err := v.Verify(t.Context(), r)
		if e := refusal(t, "an old proof", err); e.Replayed || e.Code != invalidProof {
			t.Errorf("%+v", e)
		}
	})
}

// A store that does not answer does not hold the request for ever.
func TestReplayStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := sure(NewVerifier(Config{Replay: func(ctx context.Context, _, _ string, _ time.Time) (bool, error) {
			<-ctx.Done()
			return false, ctx.Err()
		}}))
		began := time.Now()
		_, err := v.Verify(context.Background(), request(newForge("EdDSA").sign(t)))
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, errReplaySlow) || time.Since(began) != replayTimeout {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := v.Verify(ctx, request(newForge("EdDSA").sign(t))); !errors.Is(err, context.Canceled) || errors.Is(err, errReplaySlow) {
			t.Errorf("canceled: %v", err)
		}
	})
}
