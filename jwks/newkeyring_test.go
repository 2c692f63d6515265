package jwks

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"io"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// vault is a crypto.Signer like that of a KMS: its own type, which only signs.
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

func TestNewKeyringWithVault(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "ES512", "RS256", "EdDSA"} {
		v := &vault{inner: testKeys()[alg].private}
		r := sure(NewKeyring(v))
		if kid := signedBy(t, r); kid != testKeys()[alg].id() {
			t.Errorf("%s: kid %s", alg, kid)
		}
		if key := sure(r.Key(t.Context(), testKeys()[alg].id(), "")); key.Algorithm() != alg {
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
			if token, err := sure(NewKeyring(broken)).Sign(t.Context(), "at+jwt", []byte("{}")); token != "" || !errors.Is(err, down) {
				t.Errorf("%s, %s: %q, %v", alg, name, token, err)
			}
		}
	}
	// The answer of an ECDSA signer is ASN.1, and must be valid.
	for _, reply := range [][]byte{{}, make([]byte, 64), {0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01}, []byte("signature")} {
		if token, err := sure(NewKeyring(&vault{inner: testKeys()["ES256"].private, reply: reply})).Sign(t.Context(), "at+jwt", []byte("{}")); token != "" || err == nil {
			t.Errorf("%x became %q", reply, token)
		}
	}
}

func TestNewKeyring(t *testing.T) {
	signers := []crypto.Signer{testKeys()["ES256"].private, testKeys()["RS256"].private, testKeys()["EdDSA"].private, otherKeys()["ES256"].private}
	r := sure(NewKeyring(signers...))
	var want []string
	for _, s := range signers {
		want = append(want, thumbprint(s.Public()))
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
		if key, err := r.Key(t.Context(), kid, ""); err != nil || key != sure(r.Key(t.Context(), kid, "")) {
			t.Errorf("%s: %v", kid, err)
		}
	}
	for _, kid := range []string{"", "unknown", want[0] + "=", strings.ToLower(want[0])} {
		if key, err := r.Key(t.Context(), kid, ""); key != nil || !errors.Is(err, ErrUnknownKey) || errors.Is(err, ErrUnavailable) {
			t.Errorf("%q: %v", kid, err)
		}
	}
	if p := r.Policy(); !reflect.DeepEqual(p, Policy{}) {
		t.Errorf("%+v", p)
	}
	if err := r.Rotate(t.Context()); err == nil {
		t.Error("a keyring of fixed signers rotated")
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	if kid := signedBy(t, r); kid != want[0] { // Close does nothing here
		t.Errorf("after Close: %s", kid)
	}
}

// strange is a signer whose key has no algorithm.
type strange struct {
	crypto.Signer
	public crypto.PublicKey
}

func (s strange) Public() crypto.PublicKey { return s.public }

func TestNewKeyringRefuses(t *testing.T) {
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
		r, err := NewKeyring(tt.signers...)
		if r != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
