package jwks_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// pinned is a key set that ships with the API, such as by go:embed.
const pinned = `{"keys":[
	{"kid":"2026","kty":"OKP","crv":"Ed25519","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
	{"kid":"old","kty":"oct","alg":"HS256","k":"c2VjcmV0"}
]}`

// An API that cannot reach its issuer has pinned keys. Entries that cannot be used are
// skipped: print them once, at the start.
func ExampleNewFixed() {
	set, err := jose.ParseSet([]byte(pinned), nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, skipped := range set.Skipped() {
		fmt.Println("skipped:", skipped.KeyID)
	}

	keys := jwks.NewFixed(set)
	ctx := context.Background()
	key, err := keys.Key(ctx, "2026", "EdDSA")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("found:", key.ID(), key.Algorithm())

	_, err = keys.Key(ctx, "old", "HS256")
	fmt.Println("unknown:", errors.Is(err, jwks.ErrUnknownKey))
	// Output:
	// skipped: old
	// found: 2026 EdDSA
	// unknown: true
}
