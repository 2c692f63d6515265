package admin_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// strict fails the test when it is asked for an id that PostgreSQL refuses.
type strict struct {
	registry.Manager
	t *testing.T
}

func (s strict) check(texts ...string) {
	for _, text := range texts {
		if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
			s.t.Errorf("the store was asked for %q", text)
		}
	}
}

func (s strict) Client(ctx context.Context, id string) (*registry.Client, error) {
	s.check(id)
	return s.Manager.Client(ctx, id)
}

func (s strict) List(ctx context.Context, q registry.Query) ([]registry.Client, error) {
	s.check(q.Search, q.After)
	return s.Manager.List(ctx, q)
}

func (s strict) Update(ctx context.Context, c registry.Client) (registry.Client, error) {
	s.check(c.ID)
	return s.Manager.Update(ctx, c)
}

func (s strict) Delete(ctx context.Context, id string) error {
	s.check(id)
	return s.Manager.Delete(ctx, id)
}

func (s strict) RotateSecret(ctx context.Context, id string, r registry.Rotation) (string, error) {
	s.check(id)
	return s.Manager.RotateSecret(ctx, id, r)
}

func (s strict) AddSecret(ctx context.Context, id string, secret registry.Secret) error {
	s.check(id, secret.ID)
	return s.Manager.AddSecret(ctx, id, secret)
}

func (s strict) RemoveSecret(ctx context.Context, id, secretID string, revoke bool) error {
	s.check(id, secretID)
	return s.Manager.RemoveSecret(ctx, id, secretID, revoke)
}

func (s strict) Revoke(ctx context.Context, c registry.Change) (int64, error) {
	s.check(c.ClientID, c.SecretID, c.TokenID)
	return s.Manager.Revoke(ctx, c)
}

// On PostgreSQL too an id or a query that no database can hold is answered before the
// store is asked: 503 would be the answer to an error of the database.
func TestIDsThatPostgresRefuses(t *testing.T) {
	server := os.Getenv("POSTGRES_URL")
	if server == "" {
		t.Skip("NOT TESTED ON POSTGRESQL: set POSTGRES_URL to a database in which the test may create schemas")
	}
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	schema := "m2m_test_" + strings.ToLower(rand.Text())
	if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		db, err := sql.Open("pgx", server)
		if err == nil {
			_, err = db.Exec("DROP SCHEMA " + schema + " CASCADE")
		}
		if err := errors.Join(err, db.Close()); err != nil {
			t.Error(err)
		}
	})
	source, err := url.Parse(server)
	if err != nil {
		t.Fatal("POSTGRES_URL is not a URL")
	}
	query := source.Query()
	query.Set("search_path", schema)
	source.RawQuery = query.Encode()
	store, err := sqlstore.Open(t.Context(), sqlstore.Config{Driver: "pgx", DSN: source.String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	o := newOfficeOn(t, strict{store, t})
	const base = "/clients-of/us/clients"
	id := strings.ToLower(rand.Text())
	o.do("POST", base, `{"client_id":"`+id+`","audiences":["https://api.example.com"]}`, 201)
	for _, bad := range []string{"a%00", "%00", "%ff", "%c3%28", "%ed%a0%80"} {
		for _, call := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"POST", "/revoke"}, {"POST", "/secrets"}, {"DELETE", "/secrets/x"}} {
			o.do(call[0], base+"/"+bad+call[1], "", 404)
		}
		o.do("PUT", base+"/"+bad, `{"version":1}`, 404)
		o.do("DELETE", base+"/"+id+"/secrets/"+bad, "", 404)
		o.do("GET", base+"?search="+bad, "", 400)
		o.do("GET", base+"?after="+bad, "", 400)
	}
	o.do("DELETE", base+"/"+id, "", 200)
}

// The client of every id that can be registered can be read, changed and deleted by
// its path, also below a ServeMux, which cleans paths.
func TestEveryIDHasAPath(t *testing.T) {
	o := newOffice(t)
	mux := http.NewServeMux()
	mux.Handle("/console/", o.plain)
	mux.Handle("/clients-of/", o.app)
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, id := range []string{
		".", "..", "...", "./", "../", "/", "//", "/.", "/..", "a/..", "a/../b", "a//b", "%2e", "%2E%2e", "%", "%00", "%2F", " ", " . ", "?", "#", "a?b#c", "\\", "..\\", ";", "a;b", "+", "&", "\"", "<>", "*", "{id}", ":", "~", "secrets", "revoke",
	} {
		for _, base := range []string{"/console", "/clients-of/acme"} {
			body, err := json.Marshal(map[string]any{"client_id": id})
			if err != nil {
				t.Fatal(err)
			}
			if !registry.ValidID(id) {
				o.do("POST", "/console/clients", string(body), 400)
				continue
			}
			o.do("POST", "/console/clients", string(body), 201)
			for _, method := range []string{"GET", "DELETE"} {
				r, err := http.NewRequestWithContext(t.Context(), method, server.URL+base+"/clients/"+url.PathEscape(id), nil)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				answer.Body.Close()
				if answer.StatusCode >= 300 {
					t.Errorf("%s %s: %q: %d", method, base, id, answer.StatusCode)
				}
			}
		}
	}
}
