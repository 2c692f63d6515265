package jwks_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// An issuer opens its keys. The file is made at the first start, with mode 0600. From
// then on the keys rotate by themselves.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	if err := issue(filepath.Join(dir, "keys.json")); err != nil {
		log.Fatal(err)
	}
	// Output:
	// at+jwt ES256
	// {"sub":"reporter"}
}

func issue(path string) error {
	ctx := context.Background()
	keys, err := jwks.Open(ctx, jwks.File(path), jwks.Policy{Observe: event.Log})
	if err != nil {
		return err
	}
	defer keys.Close()

	mux := http.NewServeMux()
	mux.Handle("GET /.well-known/jwks.json", keys) // for the APIs: http.ListenAndServe(addr, mux)

	token, err := keys.Sign(ctx, "at+jwt", []byte(`{"sub":"reporter"}`))
	if err != nil {
		return err
	}

	// A verifier in the same process needs no HTTP: the keyring is a Source.
	parsed, err := jose.Parse(token, 0)
	if err != nil {
		return err
	}
	key, err := keys.Key(ctx, parsed.KeyID(), parsed.Algorithm())
	if err != nil {
		return err
	}
	payload, err := parsed.Verify(key)
	if err != nil {
		return err
	}
	fmt.Println(parsed.Type(), parsed.Algorithm())
	fmt.Println(payload)
	return nil
}
