package jose_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"log"

	"github.com/echo-m2m/m2m/jwks/jose"
)

func ExampleParse() {
	private, err := jose.Generate("ES256")
	if err != nil {
		log.Fatal(err)
	}
	signer, err := jose.NewSigner(private, "ES256")
	if err != nil {
		log.Fatal(err)
	}
	token, err := signer.Sign("at+jwt", []byte(`{"sub":"reporter","aud":["a","b"]}`))
	if err != nil {
		log.Fatal(err)
	}

	parsed, err := jose.Parse(token, 0) // its form is checked, its signature is not
	if err != nil {
		log.Fatal(err)
	}
	payload, err := parsed.Verify(signer.Key())
	if err != nil {
		log.Fatal(err)
	}
	claims, err := jose.ParseObject(payload)
	if err != nil {
		log.Fatal(err)
	}
	audience, _, err := claims.Strings("aud")
	fmt.Println(parsed.Type(), audience, err)
	// Output: at+jwt [a b] <nil>
}

// A forged token has the right form. Its signature is not the key's.
func ExampleJWS_Verify() {
	signer, attacker := exampleSigner(), exampleSigner()
	token, err := attacker.Sign("at+jwt", []byte(`{"sub":"reporter"}`))
	if err != nil {
		log.Fatal(err)
	}
	parsed, err := jose.Parse(token, 0)
	if err != nil {
		log.Fatal(err)
	}
	_, err = parsed.Verify(signer.Key())
	fmt.Println(err)
	_, err = parsed.Verify(attacker.Key())
	fmt.Println(err)
	// Output:
	// jose: signature: it does not match
	// <nil>
}

// Keys are found by id and algorithm. An entry that cannot be used is skipped alone.
func ExampleParseSet() {
	signer := exampleSigner()
	published, err := jose.NewSet(signer.Key())
	if err != nil {
		log.Fatal(err)
	}
	document, err := json.Marshal(published)
	if err != nil {
		log.Fatal(err)
	}
	document = bytes.Replace(document, []byte(`"keys":[`), []byte(`"keys":[{"kty":"oct","kid":"shared"},`), 1)

	set, err := jose.ParseSet(document, nil)
	if err != nil {
		log.Fatal(err)
	}
	kid := signer.Key().ID()
	fmt.Println(set.Len(), set.Find(kid, "ES256") != nil, set.Find(kid, "RS256") != nil)
	for _, skipped := range set.Skipped() {
		fmt.Println(skipped.KeyID)
	}
	// Output:
	// 1 true false
	// shared
}

// The reader takes one spelling of a document: no member twice, nothing behind it.
func ExampleParseObject() {
	claims, err := jose.ParseObject(`{"client_id":"reporter","exp":1.8e9}`)
	if err != nil {
		log.Fatal(err)
	}
	client, _, _ := claims.String("client_id")
	expires, _, _ := claims.Time("exp")
	fmt.Println(client, expires.UTC())

	_, err = jose.ParseObject(`{"client_id":"reporter","client_id":"admin"}`)
	fmt.Println(err)
	// Output:
	// reporter 2027-01-15 08:00:00 +0000 UTC
	// jose: the JSON object is refused: members have unique names, "client_id" is there twice (at byte 43)
}

// A private key signs a token. Its public half, as a key set, is what a verifier needs.
func ExampleNewSigner() {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := jose.NewSigner(private, "") // the default for this key: EdDSA
	if err != nil {
		log.Fatal(err)
	}
	token, err := signer.Sign("at+jwt", []byte(`{"sub":"reporter"}`))
	if err != nil {
		log.Fatal(err)
	}
	set, err := jose.NewSet(signer.Key())
	if err != nil {
		log.Fatal(err)
	}

	parsed, err := jose.Parse(token, 0)
	if err != nil {
		log.Fatal(err)
	}
	payload, err := parsed.Verify(set.Find(parsed.KeyID(), parsed.Algorithm()))
	fmt.Println(parsed.Algorithm(), payload, err)
	// Output: EdDSA {"sub":"reporter"} <nil>
}

// A key that is kept as a JWK.
func ExampleParseSigner() {
	kept, err := exampleSigner().MarshalPrivate()
	if err != nil {
		log.Fatal(err)
	}
	signer, err := jose.ParseSigner(kept)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signer.Key().Algorithm())
	// Output: ES256
}

func exampleSigner() *jose.Signer {
	private, err := jose.Generate("ES256")
	if err != nil {
		log.Fatal(err)
	}
	signer, err := jose.NewSigner(private, "ES256")
	if err != nil {
		log.Fatal(err)
	}
	return signer
}
