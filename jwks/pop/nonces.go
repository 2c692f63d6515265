package pop

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	minSecret  = 32          // bytes
	nonceStep  = time.Minute // how long a nonce is the current one
	nonceSteps = 2           // how many before and after the current one are valid
	nonceBytes = 18
)

// Nonces are the nonces of a server (RFC 9449, sections 8 and 9). Nothing is stored: a
// nonce is derived from a secret and the clock, at each read. So replicas with one
// secret agree, and a restart makes no nonce invalid. A nonce is valid for 2 to 3
// minutes. Clocks of replicas may differ by 2 minutes. Nonces are safe for concurrent
// use. The zero Nonces has none.
type Nonces struct {
	key    []byte
	recent atomic.Pointer[nonceWindow]
}

// nonceWindow has the nonces that are valid during one step.
type nonceWindow struct {
	step   int64
	nonces [2*nonceSteps + 1]string // the oldest first
}

// NewNonces makes nonces from a secret of at least 32 random bytes. All replicas of a
// server share it. It is copied.
func NewNonces(secret []byte) (*Nonces, error) {
	if len(secret) < minSecret {
		return nil, fmt.Errorf("pop: NewNonces: a secret of %d bytes: at least %d random ones", len(secret), minSecret)
	}
	key, err := hkdf.Extract(sha256.New, secret, []byte("m2m jwks/pop"))
	if err != nil {
		return nil, fmt.Errorf("pop: NewNonces: %w", err)
	}
	n := &Nonces{key: key}
	if n.Current() == "" {
		return nil, errors.New("pop: NewNonces: no nonce can be derived")
	}
	return n, nil
}

// Current returns the nonce for a DPoP-Nonce header, "" if n is nil or zero.
func (n *Nonces) Current() string {
	if w := n.window(); w != nil {
		return w.nonces[nonceSteps]
	}
	return ""
}

// valid reports whether the nonce is one of a recent or the next step.
func (n *Nonces) valid(nonce string) bool {
	w := n.window()
	if w == nil {
		return false
	}
	found := 0
	for _, known := range w.nonces {
		found |= subtle.ConstantTimeCompare([]byte(known), []byte(nonce))
	}
	return found == 1
}

// window returns the nonces that are valid now, nil if there are none.
func (n *Nonces) window() *nonceWindow {
	if n == nil || len(n.key) == 0 {
		return nil
	}
	step := time.Now().Unix() / int64(nonceStep/time.Second)
	if w := n.recent.Load(); w != nil && w.step == step {
		return w
	}
	w := &nonceWindow{step: step}
	for i := range w.nonces {
		at := step + int64(i) - nonceSteps
		derived, err := hkdf.Expand(sha256.New, n.key, "dpop nonce "+strconv.FormatInt(at, 10), nonceBytes)
		if err != nil {
			return nil
		}
		w.nonces[i] = base64.RawURLEncoding.EncodeToString(derived)
	}
	n.recent.Store(w)
	return w
}
