package pop

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var secret = bytes.Repeat([]byte("s"), 32)

// Replicas with one secret agree, and so does one that has restarted. Others do not.
func TestNoncesOfReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine := bytes.Clone(secret)
		a := sure(NewNonces(mine))
		clear(mine) // the secret was copied
		time.Sleep(90 * time.Second)
		b, other := sure(NewNonces(secret)), sure(NewNonces(bytes.Repeat([]byte("t"), 32)))
		nonce := a.Current()
		if nonce != b.Current() || !b.valid(nonce) {
			t.Errorf("%q and %q", nonce, b.Current())
		}
		if other.valid(nonce) || other.Current() == nonce {
			t.Error("a nonce of another secret is valid")
		}
		if !isNonce(nonce) || len(nonce) < 20 {
			t.Errorf("%q is no nonce of RFC 9449, section 8.1", nonce)
		}
	})
}

// A nonce is valid for two to three minutes, and for a replica whose clock is two
// minutes slow or fast.
func TestNoncesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sure(NewNonces(secret))
		var issued []string // each minute one
		for minute := range 8 {
			issued = append(issued, n.Current())
			for i, nonce := range issued {
				if want := minute-i <= 2; n.valid(nonce) != want {
					t.Errorf("minute %d: the nonce of minute %d: valid %v, want %v", minute, i, !want, want)
				}
			}
			time.Sleep(59 * time.Second)
			if n.Current() != issued[minute] {
				t.Errorf("minute %d: the nonce changes within it", minute)
			}
			time.Sleep(time.Second)
		}
	})
	var ahead []string
	synctest.Test(t, func(*testing.T) {
		for range 4 {
			ahead = append(ahead, sure(NewNonces(secret)).Current())
			time.Sleep(time.Minute)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		for minute, want := range []bool{true, true, true, false} {
			if got := sure(NewNonces(secret)).valid(ahead[minute]); got != want {
				t.Errorf("a clock %d minutes behind: valid %v", minute, got)
			}
		}
	})
}

func TestNewNoncesRefuses(t *testing.T) {
	for _, s := range [][]byte{nil, {}, make([]byte, 31)} {
		if n, err := NewNonces(s); n != nil || err == nil || !strings.HasPrefix(err.Error(), "pop: NewNonces: ") {
			t.Errorf("%d bytes: %v", len(s), err)
		}
	}
}

// The exchange of RFC 9449, section 8: refused with a nonce, then accepted with it. The
// proof without a nonce is not used up.
func TestVerifyNonce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nonces := sure(NewNonces(secret))
		v, p := sure(NewVerifier(Config{Nonces: nonces, RequireNonce: true})), newProver()
		ask := func(nonce string) (Proof, error) {
			return v.Verify(t.Context(), request(sure(p.Proof("GET", testURL, "", nonce))))
		}
		_, err := ask("")
		refused := refusal(t, "no nonce", err)
		if refused.Code != "use_dpop_nonce" || refused.Nonce != nonces.Current() || len(v.memory.slots) != 0 {
			t.Errorf("%+v, %d slots", refused, len(v.memory.slots))
		}
		if got, err := ask(refused.Nonce); err != nil || got.Nonce != "" {
			t.Errorf("%+v, %v", got, err)
		}
		time.Sleep(2 * time.Minute)
		got, err := ask(refused.Nonce)
		if err != nil || got.Nonce != nonces.Current() { // the client is told of the next one
			t.Errorf("%+v, %v", got, err)
		}
		time.Sleep(time.Minute)
		for _, nonce := range []string{refused.Nonce, "of-another-server", got.Nonce + "x", got.Nonce[:len(got.Nonce)-1], strings.ToUpper(got.Nonce)} {
			_, err := ask(nonce)
			if refused := refusal(t, nonce, err); refused.Code != "use_dpop_nonce" || refused.Nonce != nonces.Current() {
				t.Errorf("%q: %+v", nonce, refused)
			}
		}
		// Every refusal tells the nonce: a client that is refused for another reason has it.
		_, err = v.Verify(t.Context(), request())
		if refused := refusal(t, "no proof", err); refused.Code != "invalid_dpop_proof" || refused.Nonce != nonces.Current() {
			t.Errorf("%+v", refused)
		}
	})
}

// Nonces that are offered and not required.
func TestVerifyOptionalNonce(t *testing.T) {
	nonces := sure(NewNonces(secret))
	v, p := sure(NewVerifier(Config{Nonces: nonces})), newProver()
	got, err := v.Verify(t.Context(), request(sure(p.Proof("GET", testURL, "", ""))))
	if err != nil || !nonces.valid(got.Nonce) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := v.Verify(t.Context(), request(sure(p.Proof("GET", testURL, "", got.Nonce)))); err != nil {
		t.Error(err)
	}
	_, err = v.Verify(t.Context(), request(sure(p.Proof("GET", testURL, "", "of-another-server"))))
	if refused := refusal(t, "another nonce", err); refused.Code != "use_dpop_nonce" {
		t.Error(err)
	}
}

// FuzzNonces: only the nonces that a server gives are valid, byte by byte.
func FuzzNonces(f *testing.F) {
	seeded(f, "FuzzNonces")
	f.Add("", []byte("secret"))
	f.Add(sure(NewNonces(secret)).Current(), secret)
	f.Fuzz(func(t *testing.T, nonce string, s []byte) {
		n, err := NewNonces(s)
		if (n == nil) != (err != nil) || (err == nil) != (len(s) >= 32) {
			t.Fatalf("%d bytes: %v", len(s), err)
		}
		given := n.Current()
		known := false
		if w := n.window(); w != nil {
			for _, each := range w.nonces {
				known = known || each == nonce
			}
		}
		if got := n.valid(nonce); got != known {
			t.Errorf("%q: valid %v", nonce, got)
		}
		if n != nil && (given == "" || !n.valid(given) || n.valid(given+nonce) != (nonce == "")) {
			t.Errorf("%q", given)
		}
	})
}
