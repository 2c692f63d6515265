package jwks

import (
	"context"
	"path/filepath"
	"testing"
)

func TestSignAndVerify(t *testing.T) {
	ctx := context.Background()
	for alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			r, err := Open(ctx, File(filepath.Join(t.TempDir(), "keys.json")), Policy{Algorithm: alg})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			token, err := r.Sign(ctx, "at+jwt", []byte(`{"sub":"a"}`))
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := Parse(token, 0)
			if err != nil {
				t.Fatal(err)
			}
			key, err := r.Key(ctx, parsed.KeyID())
			if err != nil {
				t.Fatal(err)
			}
			payload, err := parsed.Verify(key)
			if err != nil || payload != `{"sub":"a"}` {
				t.Fatalf("payload %q, error %v", payload, err)
			}
			if parsed.Type() != "at+jwt" || parsed.Algorithm() != alg {
				t.Errorf("typ %q alg %q", parsed.Type(), parsed.Algorithm())
			}
		})
	}
}
