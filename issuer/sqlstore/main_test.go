package sqlstore_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// roleVariable names the role of a process that a test has started.
const roleVariable = "M2M_SQLSTORE_ROLE"

// roles get a database and the arguments.
var roles = map[string]func(context.Context, database, []string) error{
	"migrate": migrateRole,
	"write":   writeRole,
}

// parallel is how many tests run at once, at least. They mostly wait for a database or a
// timeout.
const parallel = 12

// TestMain fails the run when goroutines are leaked. A process that a test has started
// plays its role and exits.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		d := database{driver: os.Args[1], source: os.Args[2]}
		if err := roles[role](context.Background(), d, os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(max(parallel, runtime.GOMAXPROCS(0)))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	before := runtime.NumGoroutine()
	code := m.Run()
	_ = administration().Close()
	for wait := time.Millisecond; runtime.NumGoroutine() > before; wait *= 2 {
		if wait > 10*time.Second {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines leaked:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			os.Exit(1)
		}
		time.Sleep(wait)
	}
	os.Exit(code)
}

// process starts this test binary in a role. start lets it begin.
func (d database) process(t *testing.T, role string, args ...string) (cmd *exec.Cmd, output *bufio.Scanner, start func()) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0], append([]string{d.driver, d.source}, args...)...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out), func() { _ = in.Close() }
}
