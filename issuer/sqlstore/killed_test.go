package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// writeRole writes until it is killed, and prints what was acknowledged.
func writeRole(ctx context.Context, d database, args []string) error {
	store, err := d.connect(ctx)
	if err != nil {
		return err
	}
	later := time.Now().Add(time.Hour)
	errs := make(chan error)
	var line sync.Mutex
	said := func(format string, a ...any) {
		line.Lock()
		defer line.Unlock()
		fmt.Printf(format+"\n", a...)
	}
	for writer := range 4 {
		go func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%s-%d-%d", args[0], writer, n)
				if _, err := store.Register(ctx, registry.Client{ID: id}); err != nil {
					errs <- err
				}
				said("client %s", id)
				plain, err := store.RotateSecret(ctx, id, registry.Rotation{Overlap: time.Hour})
				if err != nil {
					errs <- err
				}
				said("secret %s %s", id, plain)
				if _, err := store.Revoke(ctx, token(id, later)); err != nil {
					errs <- err
				}
				said("token %s", id)
				if first, err := store.Once(ctx, "s", id, later); err != nil || !first {
					errs <- fmt.Errorf("Once: %v, %w", first, err)
				}
				said("once %s", id)
			}
		}()
	}
	return <-errs
}

// Acknowledged writes are there after the process was killed. The tag rehearsal adds a run
// of 100 kills.
func TestKilled(t *testing.T) { surviveKills(t, 10) }

// surviveKills kills that many processes in the middle of their writes.
func surviveKills(t *testing.T, kills int) {
	onBoth(t, func(t *testing.T, d database) {
		d.open(t) // so that the time goes into writes
		total := 0
		for round := range kills {
			total += killed(t, d, round)
		}
		t.Logf("%d writes were acknowledged before %d kills", total, kills)
	})
}

func killed(t *testing.T, d database, round int) int {
	cmd, output, _ := d.process(t, "write", fmt.Sprint(round))
	var acknowledged [][]string
	for output.Scan() {
		if len(acknowledged) == 0 {
			time.AfterFunc(rand.N(100*time.Millisecond), func() { _ = cmd.Process.Kill() })
		}
		acknowledged = append(acknowledged, strings.Fields(output.Text()))
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the writer ended before it was killed: %v", err)
	}
	store, err := d.connect(t.Context())
	if err != nil {
		t.Fatalf("after kill %d: %v", round, err)
	}
	defer store.Close()
	revoked := map[string]bool{}
	for since, more := int64(0), true; more; {
		page, err := store.Changes(t.Context(), since)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Changes {
			revoked[c.TokenID], since = true, c.Sequence
		}
		more = page.More
	}
	for _, a := range acknowledged {
		id := a[1]
		switch a[0] {
		case "client":
			if _, err := store.Client(t.Context(), id); err != nil {
				t.Errorf("client %s: %v", id, err)
			}
		case "secret":
			if _, kept := secretOf(t, store, id, a[2]); !kept {
				t.Errorf("the secret of %s is lost", id)
			}
		case "token":
			if !revoked[id] {
				t.Errorf("the revocation of %s is lost", id)
			}
		case "once":
			if first, err := store.Once(t.Context(), "s", id, time.Now().Add(time.Hour)); err != nil || first {
				t.Errorf("the replay record of %s is lost: %v", id, err)
			}
		}
	}
	if _, err := store.Client(t.Context(), "never"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	return len(acknowledged)
}
