package jwks

import (
	"context"
	"crypto"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// A hung call of another kind, or of another key, does not stop a healthy key.
func TestHungCallsOfOtherKinds(t *testing.T) {
	for _, kind := range []string{"NewSigner", "OpenSigner", "Sign"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vault := newKMS()
				store := &shelf{}
				policy := vault.policy()
				sure(Open(t.Context(), store, policy)).Close()
				hang := make(chan struct{})
				var hung atomic.Int64
				wait := func() error {
					hung.Add(1)
					<-hang
					return errors.New("late")
				}
				policy.NewSigner = func(ctx context.Context, alg string) (crypto.Signer, string, error) {
					if kind == "NewSigner" {
						return nil, "", wait()
					}
					return vault.newSigner(ctx, alg)
				}
				policy.OpenSigner = func(ctx context.Context, name string) (crypto.Signer, error) {
					if kind == "OpenSigner" && name != "keys/1" {
						return nil, wait()
					}
					return vault.openSigner(ctx, name)
				}
				r := sure(Open(t.Context(), store, policy))
				signedBy(t, r)
				if kind == "NewSigner" {
					time.Sleep(29*day + time.Hour) // the next key is due
				}
				for range 90 {
					time.Sleep(time.Minute)
					if _, err := r.Sign(t.Context(), "at+jwt", []byte("{}")); err != nil {
						t.Fatalf("a healthy key: %v", err)
					}
				}
				if n := hung.Load(); n > 2 {
					t.Errorf("%d calls hang", n)
				}
				close(hang)
				r.Close()
			})
		})
	}
}

// NewSigner returns the same key again, as a KMS does for an alias.
func TestNewSignerOfTheSameKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vault := newKMS()
		policy := vault.policy()
		same := sure(jose.Generate("ES256"))
		always := policy
		always.NewSigner = func(context.Context, string) (crypto.Signer, string, error) { return same, "alias/m2m", nil }
		if r, err := Open(t.Context(), &shelf{}, always); r != nil || err == nil || !strings.Contains(err.Error(), "alias") {
			t.Errorf("Open: %v, want an error that names the alias", err)
		}

		var last crypto.Signer
		var name string
		repeats := false
		policy.NewSigner = func(ctx context.Context, alg string) (private crypto.Signer, reference string, err error) {
			if repeats {
				return last, name, nil
			}
			private, reference, err = vault.newSigner(ctx, alg)
			if last == nil {
				last, name = private, reference
			}
			return private, reference, err
		}
		r := opened(t, &shelf{}, policy)
		kid := signedBy(t, r)
		time.Sleep(10 * time.Minute)
		repeats = true
		if err := r.Rotate(t.Context()); err == nil {
			mustStayDropped(t, r, kid)
		} else if !strings.Contains(err.Error(), "alias") {
			t.Error(err)
		}
		repeats = false
		time.Sleep(2 * time.Hour)
		if kid == signedBy(t, r) {
			if err := r.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		repeats = true // now it returns a dropped key
		for range 40 {
			time.Sleep(day)
			mustStayDropped(t, r, kid)
		}
		if err := r.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "alias") {
			t.Errorf("Ready: %v", err)
		}
	})
}

// A signer that is kept elsewhere and signs with another key makes no token.
func TestSignerOfWrongSignatures(t *testing.T) {
	for alg, key := range testKeys() {
		signer := wrongSigner{key.private.Public(), otherKeys()[alg].private}
		if alg[:2] != "ES" && alg[:2] != "Ed" && alg != "RS256" {
			continue // NewKeyring uses one algorithm for each type of key
		}
		r := sure(NewKeyring(signer))
		if token, err := r.Sign(t.Context(), "at+jwt", []byte("{}")); token != "" || !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "signature") {
			t.Errorf("%s: %q, %v", alg, token, err)
		}
	}
}

// BenchmarkSignElsewhere measures what Sign adds for a signer that is kept elsewhere: a
// goroutine and the check of each signature.
func BenchmarkSignElsewhere(b *testing.B) {
	for _, alg := range []string{"ES256", "RS256", "Ed25519"} {
		key := testKeys()[alg]
		r := sure(NewKeyring(kmsKey{&kms{}, key.private}))
		local := sure(NewKeyring(key.private))
		for name, r := range map[string]*Keyring{"elsewhere": r, "here": local} {
			b.Run(alg+"/"+name, func(b *testing.B) {
				for b.Loop() {
					if _, err := r.Sign(b.Context(), "at+jwt", []byte("{}")); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
