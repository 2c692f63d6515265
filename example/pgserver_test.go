//go:build rehearsal

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// pgServer is a PostgreSQL of one test, from the machine's own binaries, so that
// the test may stop it. Without those binaries the test fails: it is never skipped.
type pgServer struct {
	*testing.T
	bin, dir, url string
	port          int
}

func newPGServer(t *testing.T) *pgServer {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Fatalf("no PostgreSQL server in /usr/lib/postgresql (%v): install the package postgresql", err)
	}
	slices.Sort(found)
	dir, err := os.MkdirTemp("", "m2m-postgres")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // the server may run as another user
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free now
	if err != nil {
		t.Fatal(err)
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("listening on %v", listener.Addr())
	}
	listener.Close()
	s := &pgServer{T: t, bin: filepath.Dir(found[len(found)-1]), dir: dir, port: address.Port}
	s.url = fmt.Sprintf("postgres://m2m@127.0.0.1:%d/postgres?sslmode=disable", s.port)
	t.Cleanup(func() {
		_ = s.command("pg_ctl", "-D", s.data(), "-m", "immediate", "stop").Run() // it may be stopped already
		_ = s.command("rm", "-rf", s.data()).Run()
		_ = os.RemoveAll(dir)
	})
	s.run("initdb", "-D", s.data(), "-U", "m2m", "-A", "trust", "-E", "UTF8", "--locale=C")
	s.start()
	return s
}

func (s *pgServer) data() string { return filepath.Join(s.dir, "data") }

func (s *pgServer) start() {
	s.run("pg_ctl", "-D", s.data(), "-w", "-l", filepath.Join(s.dir, "log"), "-o",
		fmt.Sprintf("-c listen_addresses=127.0.0.1 -c port=%d -c unix_socket_directories=%s -c max_connections=200", s.port, s.dir), "start")
}

// crash ends the server as a power cut does: nothing is written any more.
func (s *pgServer) crash() { s.run("pg_ctl", "-D", s.data(), "-w", "-m", "immediate", "stop") }

func (s *pgServer) run(name string, args ...string) {
	s.Helper()
	cmd := s.command(name, args...)
	log, err := os.Create(filepath.Join(s.dir, name+".out")) // a pipe would stay open in the server
	if err != nil {
		s.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		out, _ := os.ReadFile(log.Name())
		s.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// command is one of the server's programs as a user that it accepts: not root.
func (s *pgServer) command(name string, args ...string) *exec.Cmd {
	if _, err := os.Stat(filepath.Join(s.bin, name)); err == nil {
		name = filepath.Join(s.bin, name)
	}
	if os.Geteuid() == 0 {
		args = append([]string{"-u", "postgres", "--", name}, args...)
		name = "runuser"
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = "/" // the test's own folder may be closed to that user
	return cmd
}
