package jwks

import (
	"context"
	"crypto"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// A NewSigner that fails does not stop other writes: the key that no longer signs is
// removed, and a replica that starts finds a recent state and trusts its clock. A NewSigner
// that makes a key before it fails makes few keys.
func TestNewSignerFailsForWeeks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vault := &kms{keys: map[string]crypto.Signer{}}
		store := &shelf{}
		policy := vault.policy()
		var fails atomic.Bool
		var calls atomic.Int64
		policy.NewSigner = func(ctx context.Context, alg string) (crypto.Signer, string, error) {
			private, reference, err := vault.newSigner(ctx, alg)
			if fails.Load() {
				calls.Add(1)
				return nil, "", errors.New("no permission to read the new key")
			}
			return private, reference, err
		}
		r := sure(Open(t.Context(), store, policy))
		defer r.Close()
		first := signedBy(t, r)
		fails.Store(true)
		time.Sleep(50 * day)
		if kid := signedBy(t, r); kid == first {
			t.Error("the announced key has not taken over")
		}
		if kids := publishedBy(t, r); len(kids) != 1 || kids[0] == first {
			t.Errorf("%q are published; %s stopped signing 20 days ago", kids, first)
		}
		if age := time.Since(sure(readState(store.get(), nil)).Written); age > day {
			t.Errorf("the state was last written %v ago", age)
		}
		if n := calls.Load(); n < 20 || n > 40 {
			t.Errorf("%d keys were made in 21 days", n)
		}
		started := sure(Open(t.Context(), store, policy))
		defer started.Close()
		signedBy(t, started)
		time.Sleep(time.Hour)
		for _, r := range []*Keyring{r, started} {
			err := r.Ready(t.Context())
			if err == nil || !strings.Contains(err.Error(), "no permission") || strings.Contains(err.Error(), "clock") {
				t.Errorf("Ready: %v", err)
			}
			if p := r.Status().Problems; len(p) != 1 || p[0].Reason != event.KeysNotWritten {
				t.Errorf("%+v", p)
			}
		}
		fails.Store(false)
		time.Sleep(3 * day)
		if err := r.Ready(t.Context()); err != nil {
			t.Errorf("NewSigner works: %v", err)
		}
		if kids := publishedBy(t, r); len(kids) < 2 {
			t.Errorf("%q are published: no key is announced", kids)
		}
	})
}

type leaving struct{ crypto.Signer }

func (leaving) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	runtime.Goexit() // as t.Fatal does
	return nil, nil
}

// A signer that ends its goroutine makes no token.
func TestSignerEndsItsGoroutine(t *testing.T) {
	r := sure(NewKeyring(leaving{testKeys()["ES256"].private}))
	if token, err := r.Sign(t.Context(), "at+jwt", []byte("{}")); token != "" || !errors.Is(err, ErrUnavailable) {
		t.Errorf("%q, %v", token, err)
	}
}
