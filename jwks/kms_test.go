package jwks

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// kms keeps keys under names. It can fail, and hang.
type kms struct {
	mu    sync.Mutex
	keys  map[string]crypto.Signer
	made  int
	open  int
	err   error
	hangs chan struct{} // if set, every call waits for it
	hung  int           // calls that wait for it
}

func newKMS() *kms { return &kms{keys: map[string]crypto.Signer{}} }

func (k *kms) wait() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	hangs, err := k.hangs, k.err
	if hangs != nil {
		k.hung++
		k.mu.Unlock()
		<-hangs // it ignores the context
		k.mu.Lock()
		k.hung--
	}
	return err
}

// hanging returns how many calls wait.
func (k *kms) hanging() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.hung
}

func (k *kms) set(err error, hangs chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err, k.hangs = err, hangs
}

func (k *kms) policy() Policy {
	return Policy{NewSigner: k.newSigner, OpenSigner: k.openSigner, Poll: 10 * time.Minute}
}

func (k *kms) newSigner(_ context.Context, alg string) (crypto.Signer, string, error) {
	if err := k.wait(); err != nil {
		return nil, "", err
	}
	private, err := jose.Generate(alg)
	if err != nil {
		return nil, "", err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.made++
	name := fmt.Sprint("keys/", k.made)
	k.keys[name] = private
	return kmsKey{k, private}, name, nil
}

func (k *kms) openSigner(_ context.Context, name string) (crypto.Signer, error) {
	if err := k.wait(); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open++
	if k.keys[name] == nil {
		return nil, errors.New("no such key")
	}
	return kmsKey{k, k.keys[name]}, nil
}

type kmsKey struct {
	kms   *kms
	inner crypto.Signer
}

func (k kmsKey) Public() crypto.PublicKey { return k.inner.Public() }

func (k kmsKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := k.kms.wait(); err != nil {
		return nil, err
	}
	return k.inner.Sign(rand, digest, opts)
}

// wrongSigner signs with another key than its public one.
type wrongSigner struct {
	public  crypto.PublicKey
	private crypto.Signer
}

func (w wrongSigner) Public() crypto.PublicKey { return w.public }

func (w wrongSigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return w.private.Sign(rand, digest, opts)
}

type panicking struct{ crypto.Signer }

func (panicking) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { panic("a bug") }
