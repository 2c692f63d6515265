package sqlstore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// The statements of the first release, which knew no column authentication.
const (
	firstInsert = "INSERT INTO m2m_clients (id, name, disabled, auth_method, scopes, audiences, default_audience, token_ttl, introspects, search, metadata, version, created_at, updated_at) " +
		"VALUES ('%s', 'first', FALSE, 'client_secret_post', '[\"a\"]', '[\"b\"]', 'b', 60, '[]', '%[1]s', '{\"k\":\"v\"}', 1, 1000, 1000)"
	firstUpdate = "UPDATE m2m_clients SET name = 'by the first', disabled = FALSE, auth_method = '', scopes = '[]', audiences = '[\"c\"]', default_audience = '', " +
		"token_ttl = 0, introspects = '[]', search = '%s', metadata = '{}', version = version + 1, updated_at = updated_at + 1 WHERE id = '%[1]s'"
	firstSelect = "SELECT c.id, c.name, c.disabled, c.auth_method, c.scopes, c.audiences, c.default_audience, c.token_ttl, c.introspects, c.metadata, c.version, c.created_at, c.updated_at FROM m2m_clients c WHERE c.id = '%s'"
)

// openFirst makes the tables of the first release, or opens newer ones as it does.
func openFirst(t *testing.T, d database) *sqlstore.Store {
	t.Helper()
	d.raw(t) // makes the file
	store, err := sqlstore.OpenAs(t.Context(), d.config(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// keyed is a client that authenticates with keys.
func keyed(id string) registry.Client {
	return registry.Client{ID: id, AuthMethod: registry.PrivateKeyJWT, JWKS: json.RawMessage(`{ "keys":[{"kid":"<1>"}]}`), DPoPBoundTokens: true}
}

// The clients of the first release are there after the update, and can get every new
// field.
func TestClientsOfTheFirstRelease(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		if s := openFirst(t, d).Status(); s.Schema != 1 {
			t.Fatalf("%+v", s)
		}
		mustExec(t, d.raw(t), fmt.Sprintf(firstInsert, "c"))
		store := d.open(t)
		c, err := store.Client(t.Context(), "c")
		if err != nil || c.Name != "first" || c.Version != 1 || c.AuthMethod != registry.ClientSecretPost || c.Metadata["k"] != "v" || c.JWKS != nil || c.Workloads != nil || c.DPoPBoundTokens {
			t.Fatalf("%+v, %v", c, err)
		}
		changed := keyed("c")
		changed.Version = 1
		if _, err := store.Update(t.Context(), changed); err != nil {
			t.Fatal(err)
		}
		if c, err := store.Client(t.Context(), "c"); err != nil || string(c.JWKS) != string(changed.JWKS) || !c.DPoPBoundTokens || c.Version != 2 {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

// A replica of the first release works beside one of this release: it reads, adds and
// changes clients. It does not know the new fields and leaves them as they are.
func TestFirstReleaseBesideThis(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		old := openFirst(t, d) // it runs on during the update
		mustExec(t, d.raw(t), fmt.Sprintf(firstInsert, "before"))
		store, db := d.open(t), d.raw(t)
		register(t, store, keyed("keyed"))
		restarted := openFirst(t, d)
		for _, first := range []*sqlstore.Store{old, restarted} {
			if err := first.Ready(t.Context()); err != nil {
				t.Error(err)
			}
			page, err := first.Changes(t.Context(), 0)
			if err != nil || len(page.Changes) == 0 {
				t.Errorf("the feed: %+v, %v", page, err)
			}
		}
		if s := restarted.Status(); s.Schema != 2 || s.Release != 1 {
			t.Errorf("%+v", s)
		}
		mustExec(t, db, fmt.Sprintf(firstInsert, "after"))
		mustExec(t, db, fmt.Sprintf(firstUpdate, "keyed"))
		var id, method, rest string
		var disabled bool
		if err := db.QueryRowContext(t.Context(), fmt.Sprintf(firstSelect, "keyed")).Scan(&id, &rest, &disabled, &method, &rest, &rest, &rest, &rest, &rest, &rest, &rest, &rest, &rest); err != nil || id != "keyed" {
			t.Errorf("the first release reads %q, %v", id, err)
		}
		for _, id := range []string{"before", "after"} {
			if c, err := store.Client(t.Context(), id); err != nil || c.Name != "first" || c.JWKS != nil || !c.UsesSecret() {
				t.Errorf("%s: %+v, %v", id, c, err)
			}
		}
		c, err := store.Client(t.Context(), "keyed")
		if err != nil || c.Name != "by the first" || c.Version != 2 || string(c.JWKS) != string(keyed("").JWKS) || !c.DPoPBoundTokens {
			t.Fatalf("%+v, %v", c, err)
		}
		stale := keyed("keyed")
		stale.Version = 1
		if _, err := store.Update(t.Context(), stale); !errors.Is(err, registry.ErrConflict) {
			t.Errorf("a change of the version before the first release's: %v", err)
		}
		c.JWKS, c.JWKSURI = nil, "https://keys.example"
		if _, err := store.Update(t.Context(), *c); err != nil {
			t.Error(err)
		}
	})
}

// Replicas that start together update the tables of the first release once, and keep its
// clients.
func TestEightProcessesUpdateTheFirstRelease(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		openFirst(t, d)
		db := d.raw(t)
		insertClients(t, db, 1000)
		var wait []func() error
		var starts []func()
		for i := range 8 {
			cmd, _, start := d.process(t, "migrate", string(rune('a'+i)))
			wait, starts = append(wait, cmd.Wait), append(starts, start)
		}
		for _, start := range starts {
			start()
		}
		for i, wait := range wait {
			if err := wait(); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		}
		steps, err := sqlstore.Statements()
		if err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, "m2m_schema"); n != len(steps) {
			t.Errorf("%d versions applied, want %d", n, len(steps))
		}
		if n := count(t, db, "m2m_clients WHERE authentication = '{}'"); n != 1008 {
			t.Errorf("%d clients, want 1008", n)
		}
	})
}

// A column that cannot be read is an error. It never reads as a client without
// credentials, nor as no client.
func TestDamagedAuthentication(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store, db := d.open(t), d.raw(t)
		register(t, store, keyed("c"))
		for _, damaged := range []string{"", "x", "[]", `{"jwks":{"keys":[]}}`, `{"workload":[{"issuer":1}]}`, `{"jwks":"`} {
			mustExec(t, db, fmt.Sprintf("UPDATE m2m_clients SET authentication = '%s'", damaged))
			if c, err := store.Client(t.Context(), "c"); err == nil || errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrInvalid) {
				t.Errorf("%q: %+v, %v", damaged, c, err)
			}
		}
	})
}
