package issuer

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// TestMain fails the run when goroutines are left. Collecting garbage less often
// saves a tenth of the run's CPU time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	before := runtime.NumGoroutine()
	code := m.Run()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(code) // the fuzzing engine leaves a goroutine of its own
	}
	http.DefaultClient.CloseIdleConnections()
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
