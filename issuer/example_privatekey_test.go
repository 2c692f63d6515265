package issuer_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// A client authenticates with a key of its own (private_key_jwt, RFC 7523). The issuer has
// the public half only, so nothing that it stores can be used to get a token. Each
// assertion is accepted once.
func ExampleIssuer_privateKeyJWT() {
	if err := assertedClient(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 200
	// 401
	// 200
}

func assertedClient() error {
	key, err := jose.Generate("ES256")
	if err != nil {
		return err
	}
	client, err := jose.NewSigner(key, "ES256")
	if err != nil {
		return err
	}
	set, err := jose.NewSet(client.Key())
	if err != nil {
		return err
	}
	public, err := json.Marshal(set)
	if err != nil {
		return err
	}
	store, err := registry.NewMemory(registry.Client{
		ID: "reports", AuthMethod: registry.PrivateKeyJWT, JWKS: public, Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		return err
	}
	signing, err := jose.Generate("ES256")
	if err != nil {
		return err
	}
	keys, err := jwks.NewKeyring(signing)
	if err != nil {
		return err
	}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store})
	if err != nil {
		return err
	}
	defer iss.Close()

	assertion, err := assertionFor(client, "reports", "https://auth.example.com")
	if err != nil {
		return err
	}
	fmt.Println(requestToken(iss, assertion))
	fmt.Println(requestToken(iss, assertion)) // a copy is of no use
	if assertion, err = assertionFor(client, "reports", "https://auth.example.com"); err != nil {
		return err
	}
	fmt.Println(requestToken(iss, assertion))
	return nil
}

// assertionFor returns a new assertion, which is valid for a minute. Its aud is the issuer
// identifier, and not the address of the token endpoint.
func assertionFor(client *jose.Signer, id, issuer string) (string, error) {
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{"iss": id, "sub": id, "aud": issuer, "jti": rand.Text(), "iat": now, "exp": now + 60})
	if err != nil {
		return "", err
	}
	return client.Sign("client-authentication+jwt", claims)
}

func requestToken(iss *issuer.Issuer, assertion string) (status int) {
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}
	request := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	iss.Handler().ServeHTTP(answer, request)
	return answer.Code
}
