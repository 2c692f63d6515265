//go:build !nosqlite

package main

import (
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// kek is the setting that seals the signing keys in PostgreSQL.
var kek = "KEY_ENCRYPTION_KEY=" + strings.Repeat("ab", 32)

// database makes a database for one test and gives its URL.
func database(t *testing.T) string {
	t.Helper()
	server := os.Getenv("POSTGRES_URL")
	if server == "" {
		t.Skip("POSTGRES_URL IS NOT SET: nothing is tested on PostgreSQL here; set it to the URL of a server on which databases can be made")
	}
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := fmt.Sprintf("m2m_test_%d_%d", os.Getpid(), rand.Uint32())
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		db, err := sql.Open("pgx", server)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("dropping the test's database: %v", err)
		}
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// clients runs the command line tool.
func clients(t *testing.T, env []string, args ...string) string {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "clients"), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("clients %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// eventually waits for something that must come true. within is the time that it may
// take on a machine with nothing else to do; a busy one gets ten times as much.
func eventually(t *testing.T, within time.Duration, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * within); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v, nor ten times that: %s", within, what)
		}
	}
}

func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	env := []string{
		"DATABASE_URL=" + database(t), kek, "ISSUER=http://127.0.0.1:1", "CLIENT_ID=myapp123", "CLIENT_SECRET=secret456",
	}
	var replicas [2]*process
	var starting sync.WaitGroup
	for i := range replicas { // together: they migrate, make keys and register at the same time
		starting.Go(func() { replicas[i] = start(t, "example", env...) })
	}
	starting.Wait()
	a, b := replicas[0], replicas[1]
	whoami := func(p *process, token string) int {
		status, _ := call(t, "GET", p.url+"/v1/whoami", token, "")
		return status
	}

	token := a.token(t, "myapp123", "secret456")
	if whoami(a, token) != http.StatusOK || whoami(b, token) != http.StatusOK {
		t.Fatal("a token of one replica is not good at the other")
	}
	if status, body := post(t, a.url+"/revoke", url.Values{"client_id": {"myapp123"}, "client_secret": {"secret456"}, "token": {token}}); status != http.StatusOK {
		t.Fatalf("revoke: %d %s", status, body)
	}
	if whoami(a, token) != http.StatusUnauthorized {
		t.Error("revoked, and good at the next request of the same process")
	}
	eventually(t, 2*time.Second, "the other replica refuses the revoked token", func() bool { return whoami(b, token) == http.StatusUnauthorized })

	// A secret that is rotated: both work at both replicas while they overlap.
	first := strings.Fields(clients(t, env, "add", "rotating", "-scope", "orders:read", "-audience", "http://127.0.0.1:1/v1"))
	old := first[len(first)-1]
	for _, p := range replicas {
		p.token(t, "rotating", old)
	}
	overlap := 4 * time.Second
	rotated := time.Now()
	second := strings.Fields(clients(t, env, "rotate-secret", "rotating", "-overlap", overlap.String()))
	fresh := second[len(second)-1]
	works := func(p *process, secret string) bool {
		status, _ := post(t, p.url+"/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"rotating"}, "client_secret": {secret}})
		return status == http.StatusOK
	}
	for _, p := range replicas {
		eventually(t, 2*time.Second, "the new secret works", func() bool { return works(p, fresh) })
		if time.Since(rotated) < overlap-time.Second && !works(p, old) {
			t.Error("the old secret does not work during the overlap")
		}
	}
	time.Sleep(time.Until(rotated.Add(overlap + time.Second)))
	for _, p := range replicas {
		if works(p, old) || !works(p, fresh) {
			t.Error("after the overlap the new secret, and only that, should work")
		}
	}

	// A client that is disabled: its tokens are revoked too.
	token = b.token(t, "rotating", fresh)
	clients(t, env, "disable", "rotating")
	for _, p := range replicas {
		eventually(t, 2*time.Second, "a disabled client's token is refused", func() bool { return whoami(p, token) == http.StatusUnauthorized })
		eventually(t, 2*time.Second, "a disabled client gets no token", func() bool { return !works(p, fresh) })
	}
}

// faulty is a way to the database that can be cut and can hang.
type faulty struct {
	net.Listener
	target string
	mode   atomic.Int32
	mu     sync.Mutex
	conns  []net.Conn
}

const (
	passing int32 = iota
	cut
	hanging
)

func newFaulty(t *testing.T, target string) *faulty {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{Listener: listener, target: target}
	t.Cleanup(func() { listener.Close(); f.set(cut) })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			go f.pass(in)
		}
	}()
	return f
}

func (f *faulty) set(mode int32) {
	f.mode.Store(mode)
	if mode != cut {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
}

func (f *faulty) pass(in net.Conn) {
	defer in.Close()
	if f.mode.Load() == cut {
		return
	}
	out, err := net.Dial("tcp", f.target)
	if err != nil {
		return
	}
	defer out.Close()
	f.mu.Lock()
	f.conns = append(f.conns, in, out)
	f.mu.Unlock()
	copying := func(to io.Writer, from io.Reader) {
		buffer := make([]byte, 64<<10)
		for {
			n, err := from.Read(buffer)
			for f.mode.Load() == hanging { // received, and not passed on
				time.Sleep(5 * time.Millisecond)
			}
			if n > 0 {
				if _, err := to.Write(buffer[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
	go copying(out, in)
	copying(in, out)
}

func TestDatabaseOutage(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]int32{"stopped": cut, "hung": hanging} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testOutage(t, name, fault)
		})
	}
}

func testOutage(t *testing.T, name string, fault int32) {
	t.Helper()
	u, err := url.Parse(database(t))
	if err != nil {
		t.Fatal(err)
	}
	way := newFaulty(t, u.Host)
	u.Host = way.Addr().String()
	p := start(t, "example", "DATABASE_URL="+u.String(), kek, "CLIENT_ID=warm", "CLIENT_SECRET=secret456", "CLIENT2_ID=cold", "CLIENT2_SECRET=secret789")
	ask := func(id, secret string) (int, string) {
		return post(t, p.url+"/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}})
	}
	p.token(t, "warm", "secret456")
	time.Sleep(time.Second) // the start's own changes of the client have been followed
	token := p.token(t, "warm", "secret456")
	way.set(fault)
	var granted atomic.Int64
	var load sync.WaitGroup
	end := time.Now().Add(14 * time.Second) // longer than the 10 s for which a client is cached
	for range 4 {
		load.Go(func() {
			for time.Now().Before(end) {
				if status, body := ask("warm", "secret456"); status != http.StatusOK {
					t.Errorf("a warm client got %d %s", status, body)
					return
				}
				granted.Add(1)
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	for time.Now().Before(end) {
		if status, body := ask("nobody-"+name, "secret789"); status != http.StatusServiceUnavailable || !strings.Contains(body, "temporarily_unavailable") {
			t.Errorf("an unknown client got %d %s, want 503: nobody can tell", status, body)
		}
		if status, body := call(t, "GET", p.url+"/v1/whoami", token, ""); status != http.StatusOK {
			t.Errorf("a good token was refused: %d %s", status, body)
		}
		time.Sleep(300 * time.Millisecond)
	}
	load.Wait()
	way.set(passing)
	eventually(t, 15*time.Second, "recovery without restart", func() bool {
		status, _ := ask("nobody-"+name, "secret789")
		return status == http.StatusUnauthorized
	})
	status, _ := ask("cold", "secret789")
	if status != http.StatusOK {
		t.Errorf("after recovery a client got %d", status)
	}
	t.Logf("%d tokens granted to the warm client while the database was %s", granted.Load(), name)
}
