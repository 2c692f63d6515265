package pop

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Before is called for a proof that is right, once, and its error leaves the proof unused.
func TestBefore(t *testing.T) {
	recorded, called := 0, 0
	v := sure(NewVerifier(Config{Replay: func(context.Context, string, string, time.Time) (bool, error) {
		recorded++
		return recorded == 1, nil
	}}))
	spent := errors.New("spent")
	var fail error
	f := newForge("ES256")
	r := request(f.sign(t))
	r.Before = func(context.Context) error {
		called++
		return fail
	}
	wrong := r
	wrong.Method = "POST"
	if _, err := v.Verify(t.Context(), wrong); err == nil || called != 0 {
		t.Errorf("a wrong proof: %v, called %d times", err, called)
	}
	fail = spent
	if proof, err := v.Verify(t.Context(), r); !errors.Is(err, spent) || proof != (Proof{}) || called != 1 || recorded != 0 {
		t.Errorf("%+v, %v, called %d times, recorded %d", proof, err, called, recorded)
	}
	fail = nil
	if _, err := v.Verify(t.Context(), r); err != nil || called != 2 || recorded != 1 {
		t.Errorf("%v, called %d times, recorded %d", err, called, recorded)
	}
}

// A proof may name either URL of an endpoint, and no third one.
func TestAlias(t *testing.T) {
	v := sure(NewVerifier(Config{}))
	for url, want := range map[string]bool{
		"https://auth.example.com/token": true, "https://mtls.example.com/token": true, "https://MTLS.example.com:443/token": true,
		"https://other.example.com/token": false, "https://auth.example.com/": false,
	} {
		for _, alias := range []string{"https://mtls.example.com/token", ""} {
			made := sure(sure(NewProver(testKeys()["ES256"], "")).Proof("POST", url, "", ""))
			_, err := v.Verify(t.Context(), Request{Proofs: []string{made}, Method: "POST", URL: "https://auth.example.com/token", Alias: alias})
			if (err == nil) != (want && (alias != "" || url == "https://auth.example.com/token")) {
				t.Errorf("%s with the alias %q: %v", url, alias, err)
			}
		}
	}
}
