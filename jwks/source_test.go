package jwks

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/echo-m2m/m2m/jwks/jose"
)

func TestFixed(t *testing.T) {
	rs256 := sure(jose.NewKey(testKeys()["RS256"].Key().Public(), "RS256", "a"))
	rs512 := sure(jose.NewKey(testKeys()["RS512"].Key().Public(), "RS512", "a"))
	f := NewFixed(sure(jose.NewSet(rs256, rs512)))
	for alg, want := range map[string]*jose.Key{"RS256": rs256, "RS512": rs512} {
		if key, err := f.Key(t.Context(), "a", alg); key != want || err != nil {
			t.Errorf("%s: %v, %v", alg, key, err)
		}
	}
	for _, w := range [][2]string{{"a", "ES256"}, {"a", ""}, {"b", "RS256"}, {"", ""}} {
		if key, err := f.Key(t.Context(), w[0], w[1]); key != nil || !errors.Is(err, ErrUnknownKey) {
			t.Errorf("%q: %v, %v", w, key, err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { sure(f.Key(t.Context(), "a", "RS256")) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Zero values answer ErrUnavailable, and 503. They do not panic.
func TestZeroValues(t *testing.T) {
	ctx := t.Context()
	for name, source := range map[string]Source{
		"nil Keyring": (*Keyring)(nil), "zero Keyring": &Keyring{},
		"nil Remote": (*Remote)(nil), "zero Remote": &Remote{},
		"nil Fixed": (*Fixed)(nil), "zero Fixed": &Fixed{}, "Fixed of nil": NewFixed(nil), "Fixed of no keys": NewFixed(&jose.Set{}),
	} {
		for range 2 {
			if key, err := source.Key(ctx, "a", "ES256"); key != nil || !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownKey) {
				t.Errorf("%s: Key: %v, %v", name, key, err)
			}
		}
		if r, ok := source.(interface{ Ready(context.Context) error }); ok {
			if err := r.Ready(ctx); !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: Ready: %v", name, err)
			}
		}
		if c, ok := source.(interface{ Close() error }); ok {
			if err := errors.Join(c.Close(), c.Close()); err != nil {
				t.Errorf("%s: Close: %v", name, err)
			}
		}
	}
	for _, r := range []*Keyring{nil, {}} {
		if token, err := r.Sign(ctx, "at+jwt", []byte("{}")); token != "" || !errors.Is(err, ErrUnavailable) {
			t.Errorf("Sign: %q, %v", token, err)
		}
		if err := r.Rotate(ctx); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Rotate: %v", err)
		}
		if p := r.Policy(); p.Algorithm != "" {
			t.Errorf("Policy: %+v", p)
		}
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("ServeHTTP answers %d", w.Code)
		}
	}
	for _, r := range []*Remote{nil, {}} {
		if status := r.Status(); !errors.Is(status.LastError, ErrUnavailable) {
			t.Errorf("Status: %+v", status)
		}
	}
}
