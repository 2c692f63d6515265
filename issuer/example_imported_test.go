package issuer_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// A client from another system keeps its secret: the store gets the bcrypt hash of it.
// registry.HashSecret does the same for a secret that is known in plain text.
func ExampleConfig_importedSecrets() {
	if err := importedClient(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 200
	// 401
}

func importedClient() error {
	key, err := jose.Generate("ES256")
	if err != nil {
		return err
	}
	keys, err := jwks.NewKeyring(key)
	if err != nil {
		return err
	}
	secret, err := registry.ImportSecret("$2a$04$3E9QI9BewP/64bvDhnk5wOVmbMJfLP4jeBXg15V.n0eRbPP/Jm4zO")
	if err != nil {
		return err
	}
	store, err := registry.NewMemory(registry.Client{ID: "legacy", Secrets: []registry.Secret{secret}, Audiences: []string{"https://api.example.com"}})
	if err != nil {
		return err
	}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store, ImportedSecrets: true})
	if err != nil {
		return err
	}
	defer iss.Close()
	for _, plain := range []string{"correct horse", "wrong"} {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"legacy"}, "client_secret": {plain}}
		request := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer := httptest.NewRecorder()
		iss.Handler().ServeHTTP(answer, request)
		fmt.Println(answer.Code)
	}
	return nil
}
