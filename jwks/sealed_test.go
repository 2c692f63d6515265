package jwks

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

func kek(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

func TestSealedRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		store KeyStore
		kek   [][]byte
		want  string
	}{
		"no store":          {nil, [][]byte{kek(1)}, "a key store"},
		"no key":            {&shelf{}, nil, "32-byte"},
		"nil key":           {&shelf{}, [][]byte{nil}, "key-encryption key 1 has 0 bytes"},
		"16 bytes":          {&shelf{}, [][]byte{make([]byte, 16)}, "1 has 16 bytes"},
		"24 bytes":          {&shelf{}, [][]byte{make([]byte, 24)}, "1 has 24 bytes"},
		"31 bytes":          {&shelf{}, [][]byte{make([]byte, 31)}, "1 has 31 bytes"},
		"33 bytes":          {&shelf{}, [][]byte{make([]byte, 33)}, "1 has 33 bytes"},
		"hexadecimal":       {&shelf{}, [][]byte{bytes.Repeat([]byte("ab"), 32)}, "1 has 64 bytes"},
		"second one short":  {&shelf{}, [][]byte{kek(1), make([]byte, 16)}, "2 has 16 bytes"},
		"key of a password": {&shelf{}, [][]byte{[]byte("password")}, "write 32 random ones"},
	} {
		store, err := Sealed(tt.store, "issuer", tt.kek...)
		if store != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSealed(t *testing.T) {
	ctx := t.Context()
	under := &shelf{}
	store := sure(Sealed(under, "issuer", kek(1)))
	if blob, err := store.Load(ctx); blob != nil || err != nil {
		t.Errorf("%q, %v", blob, err)
	}
	if saved, err := store.Save(ctx, []byte("a"), []byte("b")); saved || err != nil {
		t.Errorf("replaced a blob that is not stored: %t, %v", saved, err)
	}
	plain := []byte(strings.Repeat("secret ", 100))
	if saved, err := store.Save(ctx, nil, plain); !saved || err != nil {
		t.Fatalf("%t, %v", saved, err)
	}
	if bytes.Contains(under.get(), []byte("secret")) {
		t.Error("the blob is stored in the clear")
	}
	if blob, err := store.Load(ctx); !bytes.Equal(blob, plain) || err != nil {
		t.Errorf("%q, %v", blob, err)
	}
	for _, old := range [][]byte{nil, {}, []byte("other"), plain[1:]} {
		if saved, err := store.Save(ctx, old, []byte("b")); saved || err != nil {
			t.Errorf("old %q: %t, %v", old, saved, err)
		}
	}
	first := under.get()
	if saved, err := store.Save(ctx, plain, plain); !saved || err != nil {
		t.Errorf("%t, %v", saved, err)
	}
	if bytes.Equal(first, under.get()) {
		t.Error("the same blob sealed twice gives the same bytes: the nonce is not random")
	}
}

// A sealed file has no part of a private key in the clear, and a keyring works with it.
func TestSealedFile(t *testing.T) {
	path := keyFile(t)
	store := sure(Sealed(File(path), "issuer", kek(1)))
	r := opened(t, store, Policy{Algorithm: "RS256"})
	raw := sure(os.ReadFile(path))
	for _, secret := range secretsOf(t, sure(store.Load(t.Context()))) {
		if bytes.Contains(raw, []byte(secret)) {
			t.Error("the sealed file holds a private member")
		}
	}
	for _, word := range []string{"m2m_keys", "kty", "kid", r.Status().SigningKey} {
		if bytes.Contains(raw, []byte(word)) {
			t.Errorf("the sealed file holds %q", word)
		}
	}
	again := opened(t, store, Policy{Algorithm: "RS256"})
	token := sure(again.Sign(t.Context(), "at+jwt", []byte("{}")))
	parsed := sure(jose.Parse(token, 0))
	if _, err := parsed.Verify(sure(r.Key(t.Context(), parsed.KeyID(), ""))); err != nil {
		t.Error(err)
	}
}

// A sealed blob that was changed or cut short, that was sealed under another key, or that
// is not sealed is an error that says what to do. The stored blob is not changed.
func TestSealedDamaged(t *testing.T) {
	under := &shelf{}
	store := sure(Sealed(under, "issuer", kek(1)))
	sure(Open(t.Context(), store, Policy{})).Close()
	good := under.get()
	plain := sure(store.Load(t.Context()))
	damaged := map[string][]byte{}
	for i := range good {
		changed := bytes.Clone(good)
		changed[i] ^= 0x10
		damaged["byte "+string(rune('0'+i%10))+" changed: "+string(changed)] = changed
		if i > 0 {
			damaged["cut: "+string(good[:i])] = good[:i]
		}
	}
	damaged["longer"] = append(bytes.Clone(good), 0)
	damaged["not sealed"] = plain
	damaged["only marked"] = append(bytes.Clone(sealMark), plain...)
	damaged["mark alone"] = sealMark
	damaged["marked twice"] = append(bytes.Clone(sealMark), good...)
	damaged["empty"] = []byte{}
	other := &shelf{}
	sure(Open(t.Context(), sure(Sealed(other, "issuer", kek(2))), Policy{})).Close()
	damaged["under another key"] = other.get()
	for name, blob := range damaged {
		under.put(blob)
		saves := under.saves
		if loaded, err := store.Load(t.Context()); loaded != nil || err == nil || !strings.Contains(err.Error(), "restore") {
			t.Fatalf("%q: Load: %v", name, err)
		}
		for _, old := range [][]byte{nil, plain} {
			if saved, err := store.Save(t.Context(), old, plain); saved || err == nil {
				t.Fatalf("%q: Save: %t, %v", name, saved, err)
			}
		}
		if r, err := Open(t.Context(), store, Policy{}); r != nil || err == nil {
			t.Fatalf("%q: Open succeeded", name)
		}
		if under.saves != saves || !bytes.Equal(under.get(), blob) {
			t.Fatalf("%q: the blob was overwritten", name)
		}
	}
	if len(damaged) < 1000 {
		t.Errorf("only %d cases", len(damaged))
	}
}

func TestSealedKeyRotation(t *testing.T) {
	ctx := t.Context()
	under := &shelf{}
	if saved, err := sure(Sealed(under, "issuer", kek(1))).Save(ctx, nil, []byte("a")); !saved || err != nil {
		t.Fatal(err)
	}
	opens := func(key byte) bool {
		_, err := sure(Sealed(readOnly{under}, "issuer", kek(key))).Load(ctx)
		return err == nil
	}
	// A store with the new key second does not reseal the blob.
	behind := sure(Sealed(under, "issuer", kek(1), kek(2)))
	if blob, err := behind.Load(ctx); string(blob) != "a" || err != nil || !opens(1) {
		t.Fatalf("%q, %v", blob, err)
	}
	// A store with the new key first reseals it once.
	first := sure(Sealed(under, "issuer", kek(2), kek(1)))
	if blob, err := first.Load(ctx); string(blob) != "a" || err != nil {
		t.Fatalf("%q, %v", blob, err)
	}
	if opens(1) || !opens(2) {
		t.Fatal("the blob was not resealed")
	}
	sealed := under.get()
	if blob, err := first.Load(ctx); string(blob) != "a" || err != nil || !bytes.Equal(under.get(), sealed) {
		t.Errorf("%q, %v, sealed again: %t", blob, err, !bytes.Equal(under.get(), sealed))
	}
	// A replica with both keys still reads and writes. One with only the old key returns
	// an error.
	if saved, err := behind.Save(ctx, []byte("a"), []byte("b")); !saved || err != nil {
		t.Errorf("%t, %v", saved, err)
	}
	if blob, err := first.Load(ctx); string(blob) != "b" || err != nil {
		t.Errorf("%q, %v", blob, err)
	}
	if blob, err := sure(Sealed(under, "issuer", kek(1))).Load(ctx); blob != nil || err == nil || !strings.Contains(err.Error(), "none of the key-encryption keys has sealed them") {
		t.Errorf("%q, %v", blob, err)
	}
	// A store that cannot be written now is still read.
	under.put(nil)
	if saved, err := sure(Sealed(under, "issuer", kek(1))).Save(ctx, nil, []byte("c")); !saved || err != nil {
		t.Fatal(err)
	}
	if blob, err := sure(Sealed(readOnly{under}, "issuer", kek(2), kek(1))).Load(ctx); string(blob) != "c" || err != nil {
		t.Errorf("%q, %v", blob, err)
	}
}

func TestSealedConcurrently(t *testing.T) {
	path := keyFile(t)
	var wg sync.WaitGroup
	for i := range 4 {
		store := sure(Sealed(File(path), "issuer", kek(1), kek(2)))
		if i%2 == 1 {
			store = sure(Sealed(File(path), "issuer", kek(2), kek(1))) // as during the change of the key-encryption key
		}
		wg.Go(func() {
			if err := countUp(store, 10); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if blob := sure(sure(Sealed(File(path), "issuer", kek(1), kek(2))).Load(t.Context())); string(blob) != "40" {
		t.Errorf("%s of 40 steps were kept", blob)
	}
}

// A blob of another keyring is not opened: one with another label, or one with the same
// label under a key-encryption key that this keyring lacks. A running keyring uses its own
// keys as long as it has any. Reclaim ends that. The same holds for its own older
// state under a key-encryption key that is no longer in use.
func TestSealedLabel(t *testing.T) {
	for _, name := range []string{"label", "label changed", "key-encryption key", "old key-encryption key"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var heard listener
				under, elsewhere := &shelf{}, &shelf{}
				store := sure(Sealed(under, "production", kek(1)))
				policy := Policy{Observe: heard.observe, Poll: 10 * time.Minute}
				r := opened(t, store, policy)
				kid, next := signedBy(t, r), r.Status().NextKey
				var blob []byte
				switch name {
				case "old key-encryption key":
					elsewhere.put(under.get())
					old := sure(Sealed(elsewhere, "production", kek(2), kek(1)))
					if err := Reseal(t.Context(), old); err != nil {
						t.Fatal(err)
					}
					blob = elsewhere.get()
					time.Sleep(7 * time.Hour) // newer states are written
				case "key-encryption key":
					sure(Open(t.Context(), sure(Sealed(elsewhere, "production", kek(2))), Policy{})).Close()
					blob = elsewhere.get()
				default:
					sure(Open(t.Context(), sure(Sealed(elsewhere, "staging", kek(1))), Policy{})).Close()
					blob = elsewhere.get()
				}
				if name == "label changed" {
					blob = bytes.Replace(blob, []byte("staging"), []byte("production"), 1)
				}
				under.put(blob)
				time.Sleep(day)
				synctest.Wait()
				if got := signedBy(t, r); got != kid {
					t.Errorf("%s signs", got)
				}
				if e := heard.one(t); e.Op != event.OpKeyStore || e.Reason != event.StateForeign {
					t.Errorf("%+v", e)
				}
				if err := r.Ready(t.Context()); err == nil || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "Reclaim") {
					t.Errorf("Ready: %v", err)
				}
				if err := r.Rotate(t.Context()); err == nil || !strings.Contains(err.Error(), "Reclaim") {
					t.Errorf("Rotate: %v", err)
				}
				if err := r.Adopt(t.Context()); err == nil {
					t.Error("the foreign state was adopted")
				}
				if again, err := Open(t.Context(), store, Policy{}); again != nil || err == nil || name == "label" && !strings.Contains(err.Error(), `"staging"`) {
					t.Errorf("Open: %v", err)
				}
				time.Sleep(31 * day)
				if got := signedBy(t, r); got != next || get(t, r).Code != 200 {
					t.Errorf("a month later %s signs", got)
				}
				if !bytes.Equal(under.get(), blob) {
					t.Error("the foreign state was overwritten")
				}
				if err := r.Reclaim(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Minute)
				again := opened(t, store, Policy{})
				if a, b := signedBy(t, r), signedBy(t, again); a != b {
					t.Errorf("%s and %s sign", a, b)
				}
				if err := r.Ready(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
	for _, label := range []string{"", strings.Repeat("x", 2000)} {
		if _, err := Sealed(&shelf{}, label, kek(1)); err == nil {
			t.Error("the blob has no label")
		}
	}
}

// A state that a newer replica sealed under a key-encryption key that this one lacks
// may hold a Rotate. It is not treated as another keyring's: this replica stops signing in time.
func TestSealedNewerUnderAnotherKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		under := &shelf{}
		r := opened(t, sure(Sealed(under, "issuer", kek(1))), Policy{})
		signedBy(t, r)
		other := opened(t, sure(Sealed(under, "issuer", kek(2), kek(1))), Policy{})
		signedBy(t, other)
		if err := other.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if _, err := r.Sign(t.Context(), "at+jwt", nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Sign: %v", err)
		}
		if err := r.Reclaim(t.Context()); err == nil {
			t.Error("the Rotate was overwritten")
		}
	})
}

func TestReseal(t *testing.T) {
	under := &shelf{}
	sure(Open(t.Context(), sure(Sealed(under, "issuer", kek(1))), Policy{})).Close()
	both := sure(Sealed(under, "issuer", kek(2), kek(1)))
	under.refuse(errReadOnly)
	if err := Reseal(t.Context(), both); !errors.Is(err, errReadOnly) {
		t.Errorf("%v", err)
	}
	under.refuse(nil)
	if err := Reseal(t.Context(), both); err != nil {
		t.Fatal(err)
	}
	sure(Open(t.Context(), sure(Sealed(under, "issuer", kek(2))), Policy{})).Close()
	if _, err := Open(t.Context(), sure(Sealed(under, "issuer", kek(1))), Policy{}); err == nil {
		t.Error("the old key-encryption key still opens it")
	}
	for name, store := range map[string]KeyStore{"not sealed": under, "nothing stored": sure(Sealed(&shelf{}, "issuer", kek(1)))} {
		if err := Reseal(t.Context(), store); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
