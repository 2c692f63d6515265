package jwks

import (
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestSignAndVerify(t *testing.T) {
	for alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			r := sure(Open(t.Context(), File(keyFile(t)), Policy{Algorithm: alg}))
			defer r.Close()
			kid := signedBy(t, r)
			if key := sure(r.Key(t.Context(), kid)); key.Algorithm() != alg || key.ID() != sure(thumbprint(key.Public())) {
				t.Errorf("%s, kid %s", key.Algorithm(), key.ID())
			}
		})
	}
}

// signedBy is the key that signs now. What it signs verifies with what the
// keyring publishes.
func signedBy(t *testing.T, r *Keyring) (kid string) {
	t.Helper()
	token, err := r.Sign(t.Context(), "at+jwt", []byte(`{"sub":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := Parse(token, 0)
	if err != nil {
		t.Fatal(err)
	}
	key, err := r.Key(t.Context(), parsed.KeyID())
	if err != nil {
		t.Fatal(err)
	}
	payload, err := parsed.Verify(key)
	if err != nil || payload != `{"sub":"a"}` {
		t.Fatalf("payload %q, error %v", payload, err)
	}
	if parsed.Type() != "at+jwt" || parsed.Algorithm() != key.Algorithm() {
		t.Errorf("typ %q, alg %q", parsed.Type(), parsed.Algorithm())
	}
	return parsed.KeyID()
}

// publishedBy is the key ids of the set, in its order.
func publishedBy(t *testing.T, r *Keyring) (kids []string) {
	t.Helper()
	var set struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal(get(t, r).Body.Bytes(), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		kids = append(kids, k.Kid)
	}
	return kids
}

// vault is a crypto.Signer as of a KMS: a type of its own, that gives nothing
// but signatures.
type vault struct {
	inner crypto.Signer
	calls atomic.Int32
	err   error
	reply []byte
}

func (v *vault) Public() crypto.PublicKey { return v.inner.Public() }

func (v *vault) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	v.calls.Add(1)
	if v.err != nil || v.reply != nil {
		return v.reply, v.err
	}
	if h := opts.HashFunc(); h != 0 && len(digest) != h.Size() {
		return nil, errors.New("the digest is not one of the hash")
	}
	return v.inner.Sign(rand, digest, opts)
}

func TestStaticWithVault(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "ES512", "RS256", "EdDSA"} {
		v := &vault{inner: testKeys()[alg].private}
		r := sure(Static(v))
		if kid := signedBy(t, r); kid != testKeys()[alg].ID() {
			t.Errorf("%s: kid %s", alg, kid)
		}
		if key := sure(r.Key(t.Context(), testKeys()[alg].ID())); key.Algorithm() != alg {
			t.Errorf("%s became %s", alg, key.Algorithm())
		}
		if v.calls.Load() != 1 {
			t.Errorf("%s: %d calls for one signature", alg, v.calls.Load())
		}
		down := errors.New("the vault is sealed")
		for name, broken := range map[string]*vault{
			"error":           {inner: v.inner, err: down},
			"error and bytes": {inner: v.inner, err: down, reply: make([]byte, 64)},
		} {
			if token, err := sure(Static(broken)).Sign(t.Context(), "at+jwt", []byte("{}")); token != "" || !errors.Is(err, down) {
				t.Errorf("%s, %s: %q, %v", alg, name, token, err)
			}
		}
	}
	// An ECDSA signer answers in ASN.1, which is taken apart here.
	for _, reply := range [][]byte{{}, make([]byte, 64), {0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01}, []byte("signature")} {
		if token, err := sure(Static(&vault{inner: testKeys()["ES256"].private, reply: reply})).Sign(t.Context(), "at+jwt", []byte("{}")); token != "" || err == nil {
			t.Errorf("%x became %q", reply, token)
		}
	}
}

func TestStatic(t *testing.T) {
	signers := []crypto.Signer{testKeys()["ES256"].private, testKeys()["RS256"].private, testKeys()["EdDSA"].private, strangers()["ES256"].private}
	r := sure(Static(signers...))
	var want []string
	for _, s := range signers {
		want = append(want, sure(thumbprint(s.Public())))
	}
	if got := publishedBy(t, r); !slices.Equal(got, want) {
		t.Errorf("published %q, want %q", got, want)
	}
	for range 3 {
		if kid := signedBy(t, r); kid != want[0] {
			t.Errorf("signed by %s", kid)
		}
	}
	for _, kid := range want {
		if key, err := r.Key(t.Context(), kid); err != nil || key != sure(r.Key(t.Context(), kid)) {
			t.Errorf("%s: %v", kid, err)
		}
	}
	for _, kid := range []string{"", "unknown", want[0] + "=", strings.ToLower(want[0])} {
		if key, err := r.Key(t.Context(), kid); key != nil || !errors.Is(err, ErrUnknownKey) || errors.Is(err, ErrUnavailable) {
			t.Errorf("%q: %v", kid, err)
		}
	}
	if p := r.Policy(); p != (Policy{}) {
		t.Errorf("%+v", p)
	}
	if err := r.Rotate(t.Context()); err == nil {
		t.Error("it rotated")
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	if kid := signedBy(t, r); kid != want[0] { // needs no Close, and none harms it
		t.Errorf("after Close: %s", kid)
	}
}

// strange is a signer of a key that no algorithm is for.
type strange struct {
	crypto.Signer
	public crypto.PublicKey
}

func (s strange) Public() crypto.PublicKey { return s.public }

func TestStaticRefuses(t *testing.T) {
	good := testKeys()["ES256"].private
	for name, tt := range map[string]struct {
		signers []crypto.Signer
		want    string
	}{
		"none":          {nil, "at least one"},
		"nil":           {[]crypto.Signer{nil}, "signer 1"},
		"second nil":    {[]crypto.Signer{good, nil}, "signer 2"},
		"no key":        {[]crypto.Signer{strange{}}, "signer 1"},
		"secret":        {[]crypto.Signer{strange{public: []byte("secret")}}, "signer 1"},
		"RSA 1024":      {[]crypto.Signer{strange{public: &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}}}, "2048"},
		"one key twice": {[]crypto.Signer{good, testKeys()["RS256"].private, &vault{inner: good}}, "signer 3"},
	} {
		r, err := Static(tt.signers...)
		if r != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	if r, err := Open(t.Context(), nil, Policy{}); r != nil || err == nil || !strings.Contains(err.Error(), `jwks.File("keys.json")`) {
		t.Errorf("%v", err)
	}
	path := keyFile(t)
	if r, err := Open(t.Context(), File(path), Policy{Algorithm: "HS256"}); r != nil || err == nil || !strings.Contains(err.Error(), "Policy.Algorithm") {
		t.Errorf("%v", err)
	}
	down := errors.New("no connection")
	if r, err := Open(t.Context(), &shelf{err: down}, Policy{}); r != nil || !errors.Is(err, down) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := Open(ctx, File(path), Policy{}); r != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("a refused Open made keys")
	}
}

// Replicas that open one store together end with one key set.
func TestOpenTogether(t *testing.T) {
	for name, store := range map[string]func() KeyStore{
		"memory": func() KeyStore { s := &shelf{}; return s },
		"file":   func() KeyStore { return File(keyFile(t)) },
		"sealed": func() KeyStore { return sure(Sealed(File(keyFile(t)), kek(1))) },
	} {
		for range 5 {
			shared := store()
			var wg sync.WaitGroup
			replicas := make([]*Keyring, 8)
			for i := range replicas {
				wg.Go(func() { replicas[i], _ = Open(t.Context(), shared, Policy{}) })
			}
			wg.Wait()
			for i, r := range replicas {
				if r == nil {
					t.Fatalf("%s: replica %d did not open", name, i)
				}
				defer r.Close()
			}
			// The last to open may have announced what the first has not read.
			last := sure(Open(t.Context(), shared, Policy{}))
			defer last.Close()
			kids := publishedBy(t, last)
			if len(kids) != 2 {
				t.Errorf("%s: %d keys", name, len(kids))
			}
			for i, r := range replicas {
				if kid := signedBy(t, r); kid != kids[0] {
					t.Errorf("%s: replica %d signs with %s", name, i, kid)
				}
				if got := publishedBy(t, r); !slices.Equal(got, kids[:min(len(got), 2)]) {
					t.Errorf("%s: replica %d publishes %q, another %q", name, i, got, kids)
				}
			}
		}
	}
}

func TestOpenTogetherInProcesses(t *testing.T) {
	path := keyFile(t)
	var wg sync.WaitGroup
	sets := make([]string, 6)
	for i := range sets {
		wg.Go(func() {
			out, err := process(t, "open", path).Output()
			if err != nil {
				t.Error(err)
			}
			sets[i] = string(out)
		})
	}
	wg.Wait()
	r := sure(Open(t.Context(), File(path), Policy{}))
	defer r.Close()
	kids := publishedBy(t, r)
	for i, set := range sets {
		s, err := parseSet([]byte(set), nil)
		if err != nil {
			t.Fatalf("process %d: %v", i, err)
		}
		for kid := range s.keys {
			if !slices.Contains(kids, kid) {
				t.Errorf("process %d published %s, which is not in the store", i, kid)
			}
		}
		if s.keys[kids[0]] == nil {
			t.Errorf("process %d did not publish the signing key", i)
		}
	}
}

func TestReopen(t *testing.T) {
	store := File(keyFile(t))
	r := sure(Open(t.Context(), store, Policy{}))
	signs, published := signedBy(t, r), publishedBy(t, r)
	r.Close()
	before := sure(store.Load(t.Context()))
	for range 3 {
		r := sure(Open(t.Context(), store, Policy{}))
		if got := signedBy(t, r); got != signs {
			t.Errorf("signs with %s", got)
		}
		if got := publishedBy(t, r); !slices.Equal(got, published) {
			t.Errorf("publishes %q", got)
		}
		r.Close()
	}
	if after := sure(store.Load(t.Context())); string(after) != string(before) {
		t.Error("opening changed what is stored")
	}
}

// A key that stands keeps its pointer while others come and go around it.
func TestKeyringPointers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := sure(Open(t.Context(), &shelf{}, Policy{Poll: time.Hour}))
		defer r.Close()
		publishedBy(t, r)
		time.Sleep(7 * time.Second) // so that the keyring's own looks at the store are at other moments
		first := map[string]*Key{}
		seen := 0
		for range 120 {
			now := publishedBy(t, r)
			for _, kid := range now {
				key := sure(r.Key(t.Context(), kid))
				if first[kid] == nil {
					first[kid], seen = key, seen+1
				}
				if key != first[kid] {
					t.Fatalf("%s has another pointer", kid)
				}
			}
			for kid := range first {
				if _, err := r.Key(t.Context(), kid); !slices.Contains(now, kid) && !errors.Is(err, ErrUnknownKey) {
					t.Fatalf("%s is not published, and is found: %v", kid, err)
				}
			}
			time.Sleep(24 * time.Hour)
		}
		if seen < 5 {
			t.Errorf("%d keys in 120 days", seen)
		}
	})
}

// Keys that vanish while the keyring runs are an error, and no new ones are made.
func TestKeysVanish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		r := sure(Open(t.Context(), store, Policy{}))
		defer r.Close()
		kid := signedBy(t, r)
		blob := store.get()
		store.put(nil)
		time.Sleep(time.Minute)
		if got := signedBy(t, r); got != kid { // what it has is good for a while
			t.Errorf("signs with %s", got)
		}
		time.Sleep(25 * time.Hour)
		_, err := r.Sign(t.Context(), "at+jwt", nil)
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "the stored keys are gone: restore them") {
			t.Errorf("Sign: %v", err)
		}
		if _, err := r.Key(t.Context(), kid); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownKey) {
			t.Errorf("Key: %v", err)
		}
		if err := r.Rotate(t.Context()); err == nil {
			t.Error("Rotate made new keys")
		}
		if store.get() != nil {
			t.Error("new keys were made")
		}
		store.put(blob)
		time.Sleep(2 * time.Second)
		if got := signedBy(t, r); got != kid {
			t.Errorf("after they came back: %s", got)
		}
	})
}

// A change of algorithm is announced like any next key, and the old keys are
// retained.
func TestAlgorithmChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		before := sure(Open(t.Context(), store, Policy{Poll: 10 * time.Minute}))
		old := signedBy(t, before)
		time.Sleep(10 * 24 * time.Hour)
		before.Close()

		r := sure(Open(t.Context(), store, Policy{Algorithm: "RS256", Poll: 10 * time.Minute}))
		defer r.Close()
		changed := time.Now()
		var next string
		for time.Since(changed) < 24*time.Hour-time.Minute {
			if kid := signedBy(t, r); kid != old {
				t.Fatalf("%s signs %v after the change", kid, time.Since(changed))
			}
			for _, kid := range publishedBy(t, r) {
				if sure(r.Key(t.Context(), kid)).Algorithm() == "RS256" && next == "" {
					next = kid
					if time.Since(changed) > time.Minute {
						t.Errorf("announced after %v", time.Since(changed))
					}
				}
			}
			time.Sleep(time.Hour)
		}
		time.Sleep(2 * time.Hour)
		if kid := signedBy(t, r); kid != next || next == "" {
			t.Errorf("%s signs, %s was announced", kid, next)
		}
		if _, err := r.Key(t.Context(), old); err != nil {
			t.Errorf("the old key: %v", err)
		}
		time.Sleep(25 * time.Hour)
		if _, err := r.Key(t.Context(), old); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("the old key after Retain: %v", err)
		}
		for _, kid := range publishedBy(t, r) {
			if alg := sure(r.Key(t.Context(), kid)).Algorithm(); alg != "RS256" {
				t.Errorf("a key of %s is left", alg)
			}
		}
	})
}

func TestRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		r := sure(Open(t.Context(), store, Policy{Poll: 10 * time.Minute}))
		defer r.Close()
		other := sure(Open(t.Context(), store, Policy{Poll: 10 * time.Minute}))
		defer other.Close()
		time.Sleep(time.Hour)
		dropped, next := signedBy(t, r), publishedBy(t, r)[1]
		signedBy(t, other)
		token := sure(r.Sign(t.Context(), "at+jwt", []byte("{}")))

		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if kid := signedBy(t, r); kid != next {
			t.Errorf("%s signs", kid)
		}
		parsed := sure(Parse(token, 0))
		if _, err := r.Key(t.Context(), parsed.KeyID()); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("the dropped key: %v", err)
		}
		if kids := publishedBy(t, r); slices.Contains(kids, dropped) || kids[0] != next || len(kids) != 2 {
			t.Errorf("%q are published, %s was dropped", kids, dropped)
		}
		if strings.Contains(string(store.get()), dropped) {
			t.Error("the dropped key is still stored")
		}
		time.Sleep(r.Policy().Poll) // until then others may not know
		if _, err := other.Key(t.Context(), dropped); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("another replica: %v", err)
		}
		if kid := signedBy(t, other); kid != next {
			t.Errorf("another replica signs with %s", kid)
		}

		// Again at once: verifiers may not have the key that is next now.
		fresh := publishedBy(t, r)[1]
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Sign(t.Context(), "at+jwt", nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Sign: %v", err)
		}
		if kids := publishedBy(t, r); slices.Contains(kids, next) || kids[0] != fresh {
			t.Errorf("%q are published, %s was dropped", kids, next)
		}
		if err := r.Rotate(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a third Rotate: %v", err)
		}
		time.Sleep(r.Policy().visible() + time.Second)
		if kid := signedBy(t, r); kid != fresh {
			t.Errorf("%s signs", kid)
		}

		// In the time after an ordinary change the retained key steps in.
		time.Sleep(30*24*time.Hour - 10*time.Minute)
		for signedBy(t, r) == fresh {
			time.Sleep(time.Minute)
		}
		compromised := signedBy(t, r)
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if kid := signedBy(t, r); kid == compromised || kid == fresh {
			t.Errorf("%s signs, though the next one was announced a day ago", kid)
		}
		second := signedBy(t, r)
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if kid := signedBy(t, r); kid != fresh || slices.Contains(publishedBy(t, r), second) {
			t.Errorf("%s signs until the new key can", kid)
		}
	})
}

// A failed Rotate changes nothing, and says so.
func TestRotateFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		r := sure(Open(t.Context(), store, Policy{}))
		defer r.Close()
		kid, blob := signedBy(t, r), store.get()
		down := errors.New("no connection")
		store.fail(down)
		if err := r.Rotate(t.Context()); !errors.Is(err, down) {
			t.Errorf("%v", err)
		}
		store.fail(nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Rotate(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if got := signedBy(t, r); got != kid || string(store.get()) != string(blob) {
			t.Errorf("%s signs", got)
		}
		r.Close()
		if err := r.Rotate(t.Context()); err == nil {
			t.Error("a closed keyring rotated")
		}
	})
}

// An operator who rotates all replicas at once is left with keys, and soon with
// one that signs.
func TestRotateTogether(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			store := &shelf{}
			var replicas [4]*Keyring
			for i := range replicas {
				replicas[i] = sure(Open(t.Context(), store, Policy{}))
				defer replicas[i].Close()
				publishedBy(t, replicas[i])
			}
			time.Sleep(time.Hour)
			before := publishedBy(t, replicas[0])[0]
			var wg sync.WaitGroup
			for _, r := range replicas {
				wg.Go(func() {
					if err := r.Rotate(t.Context()); err != nil && !errors.Is(err, ErrUnavailable) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			time.Sleep(replicas[0].Policy().visible() + time.Minute)
			for i, r := range replicas {
				if kid := signedBy(t, r); kid == before {
					t.Errorf("replica %d still signs with the dropped key", i)
				}
				if kids := publishedBy(t, r); len(kids) < 2 {
					t.Errorf("replica %d publishes %q", i, kids)
				}
			}
			sure(Open(t.Context(), store, Policy{})).Close()
		})
	}
}

// While the store is away the keyring goes on with what it has as long as that
// can be right, then says so, and is back when the store is.
func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		r := sure(Open(t.Context(), store, Policy{}))
		defer r.Close()
		kid := signedBy(t, r)
		time.Sleep(time.Hour)
		down := errors.New("no connection")
		store.fail(down)
		time.Sleep(5 * time.Minute)
		if got := signedBy(t, r); got != kid {
			t.Errorf("%s signs", got)
		}
		time.Sleep(24 * time.Hour)
		for range 1000 {
			if _, err := r.Sign(t.Context(), "at+jwt", nil); !errors.Is(err, ErrUnavailable) || !errors.Is(err, down) {
				t.Fatalf("Sign: %v", err)
			}
			if _, err := r.Key(t.Context(), kid); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownKey) {
				t.Fatalf("Key: %v", err)
			}
		}
		loads := store.loads
		for range 1000 {
			_, _ = r.Key(t.Context(), kid)
		}
		if store.loads-loads > 1 {
			t.Errorf("%d looks at a store that is away, in no time", store.loads-loads)
		}
		store.fail(nil)
		time.Sleep(time.Second)
		if got := signedBy(t, r); got != kid {
			t.Errorf("%s signs", got)
		}
	})
}

// A caller that leaves spoils nothing for those that come after it.
func TestCancelledCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		r := sure(Open(t.Context(), store, Policy{}))
		defer r.Close()
		kid := r.view.Load().Keys[0].ID()
		time.Sleep(48 * time.Hour) // nobody has asked for anything: the view is old
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _ = r.Key(ctx, kid)
		if _, err := r.Key(t.Context(), kid); err != nil {
			t.Errorf("the next caller: %v", err)
		}
	})
}

// A store that hangs holds up a caller no longer than its context, or the time
// for one look, and those after it not at all.
func TestStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &hanging{shelf: &shelf{}}
		r := sure(Open(t.Context(), store, Policy{}))
		defer r.Close()
		kid := r.view.Load().Keys[0].ID()
		store.hang.Store(true)
		time.Sleep(48 * time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := r.Key(ctx, kid); !errors.Is(err, ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took > time.Second {
			t.Errorf("held up for %v", took)
		}
		began = time.Now()
		if _, err := r.Key(t.Context(), kid); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		if took := time.Since(began); took > 2*storeTimeout {
			t.Errorf("held up for %v", took)
		}
		store.hang.Store(false)
		time.Sleep(storeTimeout + time.Second)
		if _, err := r.Key(t.Context(), kid); err != nil {
			t.Error(err)
		}
	})
}

type hanging struct {
	*shelf
	hang atomic.Bool
}

func (h *hanging) Load(ctx context.Context) ([]byte, error) {
	if h.hang.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.shelf.Load(ctx)
}

func TestKeyringClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails when a goroutine is left
		store := &shelf{}
		unused := sure(Open(t.Context(), store, Policy{}))
		if err := errors.Join(unused.Close(), unused.Close()); err != nil {
			t.Error(err)
		}
		if _, err := unused.Key(t.Context(), "a"); err == nil {
			t.Error("a closed keyring found a key")
		}
		used := sure(Open(t.Context(), store, Policy{}))
		kid := signedBy(t, used)
		time.Sleep(time.Hour)
		if err := errors.Join(used.Close(), used.Close()); err != nil {
			t.Error(err)
		}
		loads := store.loads
		time.Sleep(24 * time.Hour)
		if store.loads != loads {
			t.Error("a closed keyring looked at the store")
		}
		if _, err := used.Key(t.Context(), kid); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a day later: %v", err)
		}
		if _, err := used.Sign(t.Context(), "at+jwt", nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a day later: %v", err)
		}
	})
}

// Closing while the first requests come in is no race.
func TestKeyringCloseWhileStarting(t *testing.T) {
	for range 50 {
		r := sure(Open(t.Context(), &shelf{}, Policy{}))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _, _ = r.Key(t.Context(), "a") })
		}
		wg.Go(func() { r.Close() })
		wg.Go(func() { r.Close() })
		wg.Wait()
		r.Close()
	}
}
