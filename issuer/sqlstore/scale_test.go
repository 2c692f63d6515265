package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlite"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
)

// aMillion is a million, or a hundredth of it with -short.
func aMillion() int {
	if testing.Short() {
		return 10_000
	}
	return 1_000_000
}

// BenchmarkTokenScale measures POST /token with a thousand and with a million clients
// in the database: always for the same client (warm), and for another client each time
// (cold).
//
//	go test ./issuer/sqlstore -run '^$' -bench TokenScale
func BenchmarkTokenScale(b *testing.B) {
	for _, kind := range []string{"SQLite", "PostgreSQL"} {
		for _, clients := range []int{1_000, aMillion()} {
			b.Run(fmt.Sprintf("%s/%d", kind, clients), func(b *testing.B) {
				store, db := crowded(b, kind)
				plain, secret := registry.GenerateSecret()
				fill(b, db, clients, secret)
				app := newTokenApp(b, store)
				b.Run("warm", func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						app.token(b, "client-1", plain)
					}
				})
				next := 0
				b.Run("cold", func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						next++
						app.token(b, fmt.Sprintf("client-%d", next*7919%clients+1), plain)
					}
				})
			})
		}
	}
}

// BenchmarkFollow measures how long a replica takes to load a million revocations.
func BenchmarkFollow(b *testing.B) {
	live := aMillion()
	for _, kind := range []string{"SQLite", "PostgreSQL"} {
		b.Run(kind, func(b *testing.B) {
			store, db := crowded(b, kind)
			execute(b, db, fmt.Sprintf(`INSERT INTO m2m_feed (seq, token_id, client_id, cutoff, expires_at)
				WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d)
				SELECT i, 'a-token-of-22-chars-' || i, 'client', FALSE, %d FROM n`, live, time.Now().Add(time.Hour).UnixMilli()))
			execute(b, db, fmt.Sprintf("UPDATE m2m_feed_seq SET seq = %d", live))
			for b.Loop() {
				keys, err := jwks.Open(b.Context(), jwks.File(filepath.Join(b.TempDir(), "keys.json")), jwks.Policy{})
				if err != nil {
					b.Fatal(err)
				}
				iss, err := issuer.New(issuer.Config{MaxGrantRate: -1, Issuer: "https://auth.example.com", Keys: keys, Store: store})
				if err != nil {
					b.Fatal(err)
				}
				// A request waits 3 s for the first poll. Then it is answered 503.
				revoked, err := false, errors.New("not asked yet")
				for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); {
					revoked, err = iss.Revoked(b.Context(), "a-token-of-22-chars-1", "client", time.Now())
				}
				if !revoked || err != nil {
					b.Fatal(revoked, err)
				}
				if err := iss.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// crowded opens a store, and the database behind it.
func crowded(b *testing.B, kind string) (*sqlstore.Store, *sql.DB) {
	b.Helper()
	if kind == "PostgreSQL" {
		d := postgres(b)
		db, err := sql.Open(d.driver, d.source)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { db.Close() })
		store, err := d.connect(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { store.Close() })
		return store, db
	}
	path := sqliteFile(b).source
	store, err := sqlite.Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { store.Close() })
	db, err := sql.Open("sqlite", path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return store, db
}

// fill makes clients, all with one secret, in two statements.
func fill(b *testing.B, db *sql.DB, clients int, secret registry.Secret) {
	b.Helper()
	numbers := fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d) ", clients)
	execute(b, db, `INSERT INTO m2m_clients (id, name, disabled, auth_method, scopes, audiences, default_audience, token_ttl, introspects, search, version, created_at, updated_at) `+
		numbers+`SELECT 'client-' || i, '', FALSE, '', '["orders:read"]', '["https://api.example.com"]', '', 0, '[]', 'client-' || i, 1, 0, 0 FROM n`)
	execute(b, db, `INSERT INTO m2m_secrets (client_id, id, position, hash, label, created_at, expires_at, last_used_at) `+
		numbers+fmt.Sprintf(`SELECT 'client-' || i, '%s', 1, '%s', '', 0, 0, 0 FROM n`, secret.ID, secret.Hash))
}

func execute(b *testing.B, db *sql.DB, statement string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		b.Fatal(err)
	}
}

type tokenApp struct{ *echo.Echo }

func newTokenApp(b *testing.B, store registry.Store) tokenApp {
	b.Helper()
	keys, err := jwks.Open(b.Context(), jwks.File(filepath.Join(b.TempDir(), "keys.json")), jwks.Policy{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { keys.Close() })
	iss, err := issuer.New(issuer.Config{MaxGrantRate: -1, Issuer: "https://auth.example.com", Keys: keys, Store: store})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { iss.Close() })
	e := echo.New()
	iss.Mount(e)
	return tokenApp{e}
}

func (a tokenApp) token(b *testing.B, id, secret string) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	if a.ServeHTTP(w, r); w.Code != http.StatusOK {
		b.Fatalf("%s: %d %s", id, w.Code, w.Body)
	}
}
