package registry_test

import (
	"fmt"
	"strings"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// The secret goes to its owner, and is kept nowhere; the hash is kept.
func ExampleGenerateSecret() {
	plain, secret := registry.GenerateSecret()
	fmt.Println(plain[:len("m2m_")], len(plain), "characters")
	fmt.Println(strings.HasPrefix(plain, "m2m_"+secret.ID+"_"))
	fmt.Println(secret.Hash[:len("sha256:")], strings.Contains(secret.Hash, plain))
	// Output:
	// m2m_ 81 characters
	// true
	// sha256: false
}
