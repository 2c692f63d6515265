package issuertest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/jwks"
)

// keys are the keys of the issuer: the first signs, the second is announced, and the
// others are retained.
type keys []*ecdsa.PrivateKey

// retained is how many earlier keys stay in the key set after ordinary rotations.
const retained = 4

func newKeys() (keys, error) { return keys{}.with(0, 2) }

// with returns the keys from the n-th on, with so many new ones after the first of them.
func (k keys) with(from, fresh int) (keys, error) {
	next := slices.Clone(k[from:min(len(k), from+1)])
	for range fresh {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		next = append(next, key)
	}
	return next, nil
}

// rotated returns the keys after an ordinary rotation: the announced key signs, and the
// one before it is retained.
func (k keys) rotated() (keys, error) {
	next, err := k.with(1, 1)
	if err != nil {
		return nil, err
	}
	next = append(next, k[0])
	next = append(next, k[2:]...)
	return next[:min(len(next), 2+retained)], nil
}

// dropped returns the keys after an emergency rotation: the key that signed is gone.
func (k keys) dropped() (keys, error) {
	next, err := k.with(1, 1)
	if err != nil {
		return nil, err
	}
	return append(next, k[2:]...), nil
}

// generation is the issuer between two rotations. All generations share the clients and
// the feed.
type generation struct {
	keys    keys
	keyring *jwks.Keyring
	issuer  *issuer.Issuer
	handler http.Handler
	using   sync.WaitGroup
}

// use returns the generation in force, nil after the end of the test. Call release when
// done with it.
func (i *Issuer) use() (g *generation, release func()) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if g = i.serving; g == nil {
		return nil, func() {}
	}
	g.using.Add(1)
	return g, g.using.Done
}

// replace puts an issuer with these keys in the place of the one that serves.
func (i *Issuer) replace(ctx context.Context, k keys) error {
	var signers []crypto.Signer
	for _, key := range k {
		signers = append(signers, key)
	}
	g, c := &generation{keys: k}, i.config
	var err error
	if g.keyring, err = jwks.NewKeyring(signers...); err != nil {
		return err
	}
	feed := &store{Memory: i.memory, feed: &i.Feed}
	c.Keys, c.Store = g.keyring, feed
	if g.issuer, err = issuer.New(c); err != nil {
		_ = g.keyring.Close()
		return err
	}
	g.handler = g.issuer.Handler()
	before, err := i.serve(ctx, g)
	if err != nil {
		i.retire(g)
		return err
	}
	feed.switched.Store(true)
	i.retire(before)
	return nil
}

// serve puts a generation in force, and returns the one before. No request is served
// meanwhile: the generation knows every revocation before it serves, whatever the switch
// of the feed says.
func (i *Issuer) serve(ctx context.Context, g *generation) (before *generation, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := g.issuer.Sync(ctx); err != nil {
		return nil, err
	}
	before, i.serving = i.serving, g
	return before, nil
}

// wrote tells the generation in force of what an earlier one, which was in force at the
// beginning of a request, has written to the feed since.
func (i *Issuer) wrote(ctx context.Context, earlier *generation) error {
	g, release := i.use()
	defer release()
	if g == nil || g == earlier {
		return nil
	}
	return g.issuer.Sync(context.WithValue(context.WithoutCancel(ctx), catchingUp{}, true))
}

// retire closes a generation when its last request is answered.
func (i *Issuer) retire(g *generation) {
	if g == nil {
		return
	}
	i.closing.Go(func() {
		g.using.Wait()
		_ = g.issuer.Close()
		_ = g.keyring.Close()
	})
}

// Rotate replaces the signing key as the timetable of a keyring does: the key that was
// announced before signs from now on, a new one is announced, and tokens of the old key
// stay valid. The key set holds the last four old keys.
func (i *Issuer) Rotate(tb testing.TB) { i.rotate(tb, keys.rotated) }

// EmergencyRotate drops the signing key, as after a leak: the announced key signs, and
// tokens of the dropped key are refused. Guards of Bearer refuse them at once, others
// when they next fetch the key set.
func (i *Issuer) EmergencyRotate(tb testing.TB) { i.rotate(tb, keys.dropped) }

func (i *Issuer) rotate(tb testing.TB, change func(keys) (keys, error)) {
	if !i.made(tb) {
		return
	}
	tb.Helper()
	i.rotating.Lock()
	defer i.rotating.Unlock()
	g, release := i.use()
	if g == nil {
		tb.Fatal("issuertest: the issuer's test has ended")
	}
	next, err := change(g.keys)
	release()
	if err == nil {
		err = i.replace(context.Background(), next)
	}
	if err != nil {
		tb.Fatalf("issuertest: rotating the key: %v", err)
	}
}
