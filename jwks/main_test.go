package jwks

import (
	"crypto"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// TestMain fails the run when goroutines are left. A process that a test started does its
// work here and exits.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := roles[role](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	slog.SetDefault(slog.New(slog.DiscardHandler)) // most tests have no observer, and cause many failures
	before := runtime.NumGoroutine()
	code := m.Run()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		os.Exit(code) // fuzzing leaves a goroutine that waits for signals
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

// testKey is a signer with its private key.
type testKey struct {
	*jose.Signer
	private crypto.Signer
}

func (k testKey) id() string { return k.Key().ID() }

// Each algorithm has a test key, and another key that is in no key set. RSA keys take
// long to make, so all RSA algorithms share one of each.
var (
	testKeys  = sync.OnceValue(makeTestKeys)
	otherKeys = sync.OnceValue(makeTestKeys)
)

func makeTestKeys() map[string]testKey {
	keys := map[string]testKey{}
	rsa := sure(jose.Generate("RS256"))
	for _, alg := range jose.Algorithms() {
		private := rsa
		if alg[0] == 'E' {
			private = sure(jose.Generate(alg))
		}
		keys[alg] = testKey{sure(jose.NewSigner(private, alg)), private}
	}
	return keys
}

// accept is Parse and Verify.
func accept(token string, k *jose.Key) (string, error) {
	parsed, err := jose.Parse(token, 0)
	if err != nil {
		return "", err
	}
	return parsed.Verify(k)
}

// thumbprint is the id that a key has by default.
func thumbprint(public crypto.PublicKey) string { return sure(jose.NewKey(public, "", "")).ID() }
