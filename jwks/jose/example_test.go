package jose_test

import (
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
