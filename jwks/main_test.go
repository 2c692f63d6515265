package jwks

import (
	"crypto"
	"encoding/base64"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestMain fails the run when goroutines are left behind. A process that a test
// started does its work and ends here.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := roles[role](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	before := runtime.NumGoroutine()
	code := m.Run()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		os.Exit(code) // fuzzing leaves a goroutine that waits for signals
	}
	http.DefaultClient.CloseIdleConnections()
	for wait := time.Millisecond; runtime.NumGoroutine() > before; wait *= 2 {
		if wait > 2*time.Second {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines leaked:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			os.Exit(1)
		}
		time.Sleep(wait)
	}
	os.Exit(code)
}

// Each algorithm has a key, and a stranger that is in no key set. RSA keys take
// long to make: the six RSA algorithms share one, and so do their strangers.
var (
	testKeys  = sync.OnceValue(makeTestKeys)
	strangers = sync.OnceValue(makeTestKeys)
)

func makeTestKeys() map[string]*signingKey {
	keys := map[string]*signingKey{}
	made := map[byte]crypto.Signer{}
	for name, a := range algorithms {
		kind := a.kind
		if kind == 'P' {
			kind = 'R'
		}
		private := made[kind]
		if private == nil {
			var err error
			if private, err = a.generate(); err != nil {
				panic(err)
			}
		}
		if kind == 'R' {
			made[kind] = private
		}
		key, err := newSigningKey(private, name)
		if err != nil {
			panic(err)
		}
		keys[name] = key
	}
	return keys
}

func encode(part string) string { return base64.RawURLEncoding.EncodeToString([]byte(part)) }

// compact signs the bytes of two encoded parts, whatever they are, as a
// verifier would see them that takes the parts as received.
func compact(tb testing.TB, header, payload string, k *signingKey) string {
	tb.Helper()
	input := header + "." + payload
	signature, err := k.alg.sign(k.private, []byte(input))
	if err != nil {
		tb.Fatal(err)
	}
	return input + "." + encode(string(signature))
}

// accept is Parse and Verify.
func accept(token string, k *Key) (string, error) {
	parsed, err := Parse(token, 0)
	if err != nil {
		return "", err
	}
	return parsed.Verify(k)
}
