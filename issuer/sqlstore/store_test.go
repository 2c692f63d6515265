package sqlstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/issuer/storetest"
)

// The suite runs on SQLite in package sqlite.
func TestStoreOnPostgreSQL(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, clients ...registry.Client) registry.Store {
		store := postgres(t).open(t)
		for _, c := range clients {
			register(t, store, c)
		}
		return store
	})
}

// everyCall calls each method that uses the database, with valid arguments.
func everyCall(ctx context.Context, store *sqlstore.Store) map[string]error {
	errs := map[string]error{}
	_, errs["Client"] = store.Client(ctx, "c")
	_, errs["Revoke"] = store.Revoke(ctx, token("x", time.Now().Add(time.Hour)))
	_, errs["Changes"] = store.Changes(ctx, 0)
	_, errs["Once"] = store.Once(ctx, "s", "i", time.Now().Add(time.Hour))
	_, errs["Register"] = store.Register(ctx, registry.Client{ID: "new"})
	_, errs["List"] = store.List(ctx, registry.Query{})
	_, errs["Update"] = store.Update(ctx, registry.Client{ID: "c", Version: 1})
	errs["Delete"] = store.Delete(ctx, "c")
	_, secret := registry.GenerateSecret()
	errs["AddSecret"] = store.AddSecret(ctx, "c", secret)
	_, errs["RotateSecret"] = store.RotateSecret(ctx, "c", registry.Rotation{Overlap: time.Hour})
	errs["RemoveSecret"] = store.RemoveSecret(ctx, "c", "s", false)
	errs["SecretsUsed"] = store.SecretsUsed(ctx, []registry.SecretUse{{ClientID: "c", SecretID: "s", At: time.Now()}})
	errs["Succeeded"] = store.Succeeded(ctx, []registry.ClientNetwork{{ClientID: "c", Network: "192.0.2.0/24", At: time.Now()}})
	_, errs["Networks"] = store.Networks(ctx, "c")
	keys, err := store.KeyStore("issuer", make([]byte, 32))
	if err != nil {
		errs["KeyStore"] = err
		return errs
	}
	_, errs["KeyStore.Load"] = keys.Load(ctx)
	_, errs["KeyStore.Save"] = keys.Save(ctx, nil, []byte("state"))
	return errs
}

// A failure is never returned as an answer.
func TestFailures(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		register(t, store, registry.Client{ID: "c"})
		done, cancel := context.WithCancel(t.Context())
		cancel()
		closed, err := d.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := closed.Close(); err != nil {
			t.Fatal(err)
		}
		for what, errs := range map[string]map[string]error{
			"context done": everyCall(done, store), "database closed": everyCall(t.Context(), closed), "zero store": everyCall(t.Context(), &sqlstore.Store{}),
			"nil store": everyCall(t.Context(), nil),
		} {
			for method, err := range errs {
				if err == nil || errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrConflict) || !strings.HasPrefix(err.Error(), "sqlstore: ") {
					t.Errorf("%s, %s: %v", what, method, err)
				}
				if what == "context done" && !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v is not context.Canceled", method, err)
				}
			}
		}
		if _, err := store.Client(t.Context(), "c"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// A lock that another session holds does not keep a caller beyond its context, and leaves
// nothing behind that would block the next caller.
func TestDeadlines(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		register(t, store, registry.Client{ID: "c"})
		conn, err := d.raw(t).Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		locks := []string{"BEGIN", "LOCK TABLE m2m_feed_seq, m2m_once, m2m_secrets, m2m_keys IN ACCESS EXCLUSIVE MODE"}
		if d.driver == "sqlite" {
			locks = []string{"BEGIN IMMEDIATE"}
		}
		for _, lock := range locks {
			if _, err := conn.ExecContext(t.Context(), lock); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		results := make(chan map[string]error)
		begun := time.Now()
		go func() { results <- everyCall(ctx, store) }()
		errs := <-results
		if took := time.Since(begun); took > 9*time.Second { // less than the 10 s of SQLite's busy_timeout
			t.Errorf("calls of 0.2 s took %v", took)
		}
		for _, method := range []string{"Revoke", "Once", "Register", "Update", "Delete", "AddSecret", "RotateSecret", "KeyStore.Save"} {
			if err := errs[method]; !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, registry.ErrNotFound) {
				t.Errorf("%s: %v, want context.DeadlineExceeded", method, err)
			}
		}
		if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		if first, err := store.Once(t.Context(), "s", "i", time.Now().Add(time.Hour)); err != nil || !first {
			t.Errorf("after the lock is released: %v, %v", first, err)
		}
		if _, err := store.RotateSecret(t.Context(), "c", registry.Rotation{}); err != nil {
			t.Errorf("after the lock is released: %v", err)
		}
	})
}
