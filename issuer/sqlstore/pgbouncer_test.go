package sqlstore_test

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/issuer/storetest"
)

// pgbouncer starts one before the server, and returns the URL.
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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
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
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = %s
default_pool_size = 30
max_client_conn = 500
`, strings.TrimPrefix(server.Path, "/"), server.Hostname(), cmp.Or(server.Port(), "5432"), server.User.Username(), password, address.Port, mode)
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
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
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

// Behind PgBouncer the store works as its documentation says.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ mode, pgx string }{
		"session":                      {"session", "cache_statement"},
		"transaction, exec":            {"transaction", "exec"},
		"transaction, simple protocol": {"transaction", "simple_protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := with(t, database{"pgx", pgbouncer(t, tt.mode)}, "default_query_exec_mode", tt.pgx).source
			var stores atomic.Int64
			t.Run("store", func(t *testing.T) {
				storetest.Run(t, func(t *testing.T, clients ...registry.Client) registry.Store {
					issuer := fmt.Sprintf("b%d_%d", time.Now().UnixMilli(), stores.Add(1))
					store, err := sqlstore.Open(t.Context(), sqlstore.Config{Driver: "pgx", DSN: source, MaxConns: 5, Name: issuer})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() {
						for _, table := range []string{"secrets", "clients", "feed", "feed_seq", "once", "keys", "networks", "clock", "schema"} {
							if _, err := store.Pools()["operator"].Exec("DROP TABLE m2m_" + issuer + "_" + table); err != nil {
								t.Error(err)
							}
						}
						if err := store.Close(); err != nil {
							t.Error(err)
						}
					})
					for _, c := range clients {
						register(t, store, c)
					}
					return store
				})
			})
		})
	}
}
