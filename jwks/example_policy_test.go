package jwks_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// cloud is the client of a KMS: it makes keys under names, and signs with them.
type cloud struct {
	mu   sync.Mutex
	keys map[string]crypto.Signer
}

func (c *cloud) create(_ context.Context, alg string) (signer crypto.Signer, name string, err error) {
	private, err := jose.Generate(alg)
	if err != nil {
		return nil, "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	name = fmt.Sprintf("keys/m2m-%d", len(c.keys)+1)
	c.keys[name] = private
	return private, name, nil
}

func (c *cloud) open(_ context.Context, name string) (crypto.Signer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys[name] == nil {
		return nil, errors.New("no such key")
	}
	return c.keys[name], nil
}

// Keys in a KMS rotate by themselves too. The key store holds references and public keys.
func ExamplePolicy() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	kms := &cloud{keys: map[string]crypto.Signer{}}
	keys, err := jwks.Open(context.Background(), jwks.File(filepath.Join(dir, "keys.json")), jwks.Policy{
		Algorithm:  "ES384",
		NewSigner:  kms.create,
		OpenSigner: kms.open,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	fmt.Println("keys in the KMS:", len(kms.keys))

	token, err := keys.Sign(context.Background(), "at+jwt", []byte(`{}`))
	if err != nil {
		log.Fatal(err)
	}
	parsed, err := jose.Parse(token, 0)
	fmt.Println(parsed.Algorithm(), err)
	// Output:
	// keys in the KMS: 2
	// ES384 <nil>
}
