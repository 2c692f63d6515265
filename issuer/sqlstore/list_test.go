package sqlstore_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// insertClients inserts clients with numbers as ids, without the store.
func insertClients(t *testing.T, db *sql.DB, n int) {
	t.Helper()
	for first := 0; first < n; first += 200 {
		var rows []string
		for i := first; i < min(first+200, n); i++ {
			rows = append(rows, fmt.Sprintf("('%06d','',FALSE,'','[]','[]','',0,'[]','%06d',1,1,1)", i, i))
		}
		mustExec(t, db, "INSERT INTO m2m_clients (id, name, disabled, auth_method, scopes, audiences, default_audience, token_ttl, introspects, search, version, created_at, updated_at) VALUES "+strings.Join(rows, ","))
	}
}

func TestList(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		if page, err := store.List(t.Context(), registry.Query{}); err != nil || len(page) != 0 {
			t.Errorf("of an empty store: %v, %v", page, err)
		}
		_, secret := registry.GenerateSecret()
		named := map[string]string{
			"a%b": "", "a_b": "", `a\b`: "", "a!b": "", "aXb": "", "B": "", "Zeta": "Größe", "b": "100 % 'ours'", "c:1": "BILLING", "~": "", " ": "billing\u00a0two", `"`: "",
		}
		ids := []string{}
		for id, name := range named {
			_, other := registry.GenerateSecret()
			register(t, store, registry.Client{ID: id, Name: name, Secrets: []registry.Secret{secret, other}})
			ids = append(ids, id)
		}
		slices.Sort(ids) // by bytes, in both databases
		for limit := range len(ids) + 1 {
			var got []string
			q := registry.Query{Limit: limit + 1}
			for {
				page, err := store.List(t.Context(), q)
				if err != nil || len(page) > q.Limit {
					t.Fatalf("%+v: %d clients, %v", q, len(page), err)
				}
				if len(page) == 0 {
					break
				}
				for _, c := range page {
					if len(c.Secrets) != 2 || c.Secrets[0].ID != secret.ID || c.Name != named[c.ID] {
						t.Errorf("%+v", c)
					}
					got = append(got, c.ID)
				}
				q.After = got[len(got)-1]
			}
			if !slices.Equal(got, ids) {
				t.Errorf("by %d: %q, want %q", limit+1, got, ids)
			}
		}
		for search, want := range map[string]string{
			"%": "a%b b", "_": "a_b", `\`: `a\b`, "!": "a!b", "a_": "a_b", "a%": "a%b", "%%": "", "__": "",
			"b":    `  B a!b a%b aXb a\b a_b b c:1`,
			"AXB":  "aXb",
			"größ": "Zeta", "GRÖSSE": "", "GRÖSS": "", "GRÖß": "Zeta", "'": "b", "billing": "  c:1", "nothing": "", "\x00": "", "\xff": "",
		} {
			page, err := store.List(t.Context(), registry.Query{Search: search})
			got := []string{}
			for _, c := range page {
				got = append(got, c.ID)
			}
			if err != nil || strings.Join(got, " ") != want {
				t.Errorf("search %q: %q, %v, want %q", search, strings.Join(got, " "), err, want)
			}
		}
		page, err := store.List(t.Context(), registry.Query{Search: "B", After: "a_b"})
		if err != nil || len(page) != 2 || page[0].ID != "b" {
			t.Errorf("search after a page: %+v, %v", page, err)
		}
		if page, err := store.List(t.Context(), registry.Query{After: "\xff"}); err != nil || len(page) != 0 {
			t.Errorf("after an invalid id: %+v, %v", page, err)
		}
	})
}

func TestListLimits(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		insertClients(t, d.raw(t), 600)
		for limit, want := range map[int]int{0: 50, -1: 50, 1: 1, 500: 500, 501: 500, 1_000_000: 500} {
			if page, err := store.List(t.Context(), registry.Query{Limit: limit}); err != nil || len(page) != want {
				t.Errorf("Limit %d: %d clients, %v, want %d", limit, len(page), err, want)
			}
		}
	})
}
