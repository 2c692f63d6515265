package sqlstore_test

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// pgbouncer starts one in front of the server, and returns its URL.
func pgbouncer(t *testing.T, mode string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // where Debian puts it
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("NOT TESTED WITH PGBOUNCER: install it")
	}
	server, err := url.Parse(os.Getenv("POSTGRES_URL"))
	if err != nil || server.Host == "" {
		t.Skip("NOT TESTED WITH PGBOUNCER: set POSTGRES_URL")
	}
	host := "127.0.0.1"
	if runtime.GOOS == "linux" { // where nothing else may take the port until PgBouncer listens
		host = fmt.Sprintf("127.8.%d.%d", mathrand.IntN(256), 1+mathrand.IntN(254))
	}
	listener, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().(*net.TCPAddr)
	listener.Close()
	password, ok := server.User.Password()
	if ok {
		password = " password=" + password
	}
	config := fmt.Sprintf(`[databases]
%s = host=%s port=%s user=%s%s
[pgbouncer]
listen_addr = %s
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = %s
default_pool_size = 30
max_client_conn = 500
`, strings.TrimPrefix(server.Path, "/"), server.Hostname(), cmp.Or(server.Port(), "5432"), server.User.Username(), password, host, address.Port, mode)
	dir, err := os.MkdirTemp("", "pgbouncer") //nolint:usetesting // t.TempDir lies in a folder that only root can enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file, args := filepath.Join(dir, "pgbouncer.ini"), []string{}
	if os.Geteuid() == 0 { // it does not run as root
		args = []string{"-u", "nobody"}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	args = append(args, file)
	cmd := exec.Command(program, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", address.String())
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	server.Host = address.String()
	return server.String()
}

// migrating is held by a test that opens a store behind PgBouncer. Pooled connections of
// transactions may have a lock_timeout already, which is too short for a wait until dozens
// of others have migrated.
var migrating sync.Mutex

// pooled opens stores behind a PgBouncer, each with a name of its own.
func pooled(t *testing.T, mode, pgx string) func(t *testing.T) *sqlstore.Store {
	t.Helper()
	d := with(t, database{"pgx", pgbouncer(t, mode)}, "default_query_exec_mode", pgx)
	return func(t *testing.T) *sqlstore.Store {
		t.Helper()
		c := d.config()
		c.MaxConns, c.Name = 5, strings.ToLower(rand.Text())[:16]
		store := func() *sqlstore.Store {
			migrating.Lock()
			defer migrating.Unlock()
			return configured{c}.open(t)
		}()
		t.Cleanup(func() { // in the schema that all use: PgBouncer refuses search_path
			var tables []string
			for _, table := range every {
				tables = append(tables, "m2m_"+c.Name+"_"+table)
			}
			if _, err := store.Pools()["operator"].Exec("DROP TABLE " + strings.Join(tables, ", ")); err != nil {
				t.Error(err)
			}
		})
		return store
	}
}

// pgbouncerModes are how the documentation says that PgBouncer can be used.
var pgbouncerModes = map[string]struct{ mode, pgx string }{
	"session":                      {"session", "cache_statement"},
	"transaction, exec":            {"transaction", "exec"},
	"transaction, simple protocol": {"transaction", "simple_protocol"},
}

// Behind PgBouncer each call works, in each mode. The tag rehearsal adds the whole
// suite in each mode.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	for name, mode := range pgbouncerModes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := pooled(t, mode.mode, mode.pgx)(t)
			c := register(t, store, registry.Client{ID: "c"})
			if _, err := store.Update(t.Context(), c); err != nil {
				t.Error(err)
			}
			secret, err := store.RotateSecret(t.Context(), "c", registry.Rotation{})
			if _, kept := secretOf(t, store, "c", secret); err != nil || !kept {
				t.Errorf("a new secret is not kept: %v", err)
			}
			var first atomic.Int64
			byMany(t, func(int) error {
				ok, err := store.Once(t.Context(), "s", "raced", time.Now().Add(time.Hour))
				if ok {
					first.Add(1)
				}
				return err
			})
			if first.Load() != 1 {
				t.Errorf("%d of 50 were first", first.Load())
			}
			for method, err := range everyCall(t.Context(), store) {
				// Update is given an old version, and Delete has removed the client.
				if err != nil && !errors.Is(err, registry.ErrConflict) && !errors.Is(err, registry.ErrNotFound) {
					t.Errorf("%s: %v", method, err)
				}
			}
		})
	}
}
