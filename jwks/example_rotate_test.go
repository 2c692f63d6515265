package jwks_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/echo-m2m/m2m/jwks"
)

// In an emergency the signing key is dropped, because an attacker may have it. The next
// key, which was announced before, signs at once.
func ExampleKeyring_Rotate() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	keys, err := jwks.Open(ctx, jwks.File(filepath.Join(dir, "keys.json")), jwks.Policy{Quiet: true})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	before := keys.Status()

	if err := dropSigningKey(ctx, keys); err != nil {
		log.Fatal(err)
	}

	after := keys.Status()
	fmt.Println("the announced key signs:", after.SigningKey == before.NextKey)
	fmt.Println("another one is announced:", after.NextKey != "")
	_, err = keys.Key(ctx, before.SigningKey, "ES256")
	fmt.Println("tokens of the dropped key:", err)
	// Output:
	// the announced key signs: true
	// another one is announced: true
	// tokens of the dropped key: jwks: unknown key
}

func dropSigningKey(ctx context.Context, keys *jwks.Keyring) error {
	err := keys.Rotate(ctx)
	if errors.Is(err, jwks.ErrOutcomeUnknown) {
		// Do not retry: that could drop the next key too. Wait until the key store
		// can be read, and see in Status which key signs.
		return fmt.Errorf("check the signing key before another try: %w", err)
	}
	return err
}
