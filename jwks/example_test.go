package jwks_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// An issuer's keys, in a file that is created at the first start.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	keys, err := jwks.Open(ctx, jwks.File(filepath.Join(dir, "keys.json")), jwks.Policy{
		Observe: func(_ context.Context, e jwks.Event) { log.Printf("%s %s %v", e.Op, e.KeyID, e.Err) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()

	mux := http.NewServeMux()
	mux.Handle("GET /.well-known/jwks.json", keys)

	token, err := keys.Sign(ctx, "at+jwt", []byte(`{"sub":"reporter"}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verify(ctx, keys, token))
	// Output: {"sub":"reporter"} <nil>
}

// verify is what a verifier does with a Source, but for the claims.
func verify(ctx context.Context, keys jwks.Source, token string) (string, error) {
	parsed, err := jose.Parse(token, 0)
	if err != nil {
		return "", err
	}
	key, err := keys.Key(ctx, parsed.KeyID(), parsed.Algorithm())
	if err != nil {
		return "", err // ErrUnknownKey: 401. Anything else: 503.
	}
	return parsed.Verify(key)
}

// Keys that are kept elsewhere sign through their crypto.Signer, such as one of a
// KMS. The first key signs, the others are published.
func ExampleNewKeyring() {
	current, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	previous, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwks.NewKeyring(current, previous)
	if err != nil {
		log.Fatal(err)
	}
	token, err := keys.Sign(context.Background(), "at+jwt", []byte(`{"sub":"reporter"}`))
	if err != nil {
		log.Fatal(err)
	}
	parsed, err := jose.Parse(token, 0)
	fmt.Println(parsed.Algorithm(), err)
	// Output: ES256 <nil>
}

// A resource server fetches the keys of its issuer, caches them and refreshes them.
func ExampleNewRemote() {
	private, err := jose.Generate("ES256")
	if err != nil {
		log.Fatal(err)
	}
	issuer, err := jwks.NewKeyring(private)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(issuer)
	defer server.Close()

	keys := jwks.NewRemote(server.URL+"/.well-known/jwks.json", jwks.RemoteConfig{})
	defer keys.Close()

	ctx := context.Background()
	token, err := issuer.Sign(ctx, "at+jwt", []byte(`{"sub":"reporter"}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verify(ctx, keys, token))

	stranger, err := jose.Generate("ES256")
	if err != nil {
		log.Fatal(err)
	}
	other, err := jwks.NewKeyring(stranger)
	if err != nil {
		log.Fatal(err)
	}
	forged, err := other.Sign(ctx, "at+jwt", []byte(`{"sub":"admin"}`))
	if err != nil {
		log.Fatal(err)
	}
	_, err = verify(ctx, keys, forged)
	fmt.Println(errors.Is(err, jwks.ErrUnknownKey))
	// Output:
	// {"sub":"reporter"} <nil>
	// true
}

// Pinned keys: a key set from a file, for an API that cannot reach its issuer.
func ExampleNewFixed() {
	file := []byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"2026",
		"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
	set, err := jose.ParseSet(file, nil)
	if err != nil {
		log.Fatal(err)
	}
	keys := jwks.NewFixed(set)
	key, err := keys.Key(context.Background(), "2026", "EdDSA")
	fmt.Println(key.ID(), key.Algorithm(), err)

	published, err := json.Marshal(set)
	fmt.Println(string(published), err)
	// Output:
	// 2026 EdDSA <nil>
	// {"keys":[{"alg":"EdDSA","crv":"Ed25519","kid":"2026","kty":"OKP","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]} <nil>
}

// Keys in a store that others can read are encrypted, here with a key from the
// environment.
func ExampleSealed() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	kek := make([]byte, 32) // of a secret manager
	store, err := jwks.Sealed(jwks.File(filepath.Join(dir, "keys.json")), "https://auth.example.com", kek)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwks.Open(context.Background(), store, jwks.Policy{})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	fmt.Println(keys.Ready(context.Background()))
	// Output: <nil>
}

// In an emergency the signing key is dropped. The next one, announced long ago,
// signs at once.
func ExampleKeyring_Rotate() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	keys, err := jwks.Open(ctx, jwks.File(filepath.Join(dir, "keys.json")), jwks.Policy{})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	token, err := keys.Sign(ctx, "at+jwt", []byte(`{}`))
	if err != nil {
		log.Fatal(err)
	}
	if err := keys.Rotate(ctx); err != nil {
		log.Fatal(err)
	}
	_, err = verify(ctx, keys, token)
	fmt.Println(err)
	// Output: jwks: unknown key
}
