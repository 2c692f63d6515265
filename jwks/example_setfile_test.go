package jwks_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/echo-m2m/m2m/jwks"
)

// The keys of an issuer that cannot be reached, as in an air-gapped network. Replace the
// file to change them.
func ExampleNewSetFile() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "issuer.jwks.json")
	const set = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	if err := os.WriteFile(path, []byte(set), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	keys := jwks.NewSetFile(path)
	key, err := keys.Key(context.Background(), "one", "EdDSA")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(key.ID(), key.Algorithm())
	// Output: one EdDSA
}
