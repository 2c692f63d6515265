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

// An API introspects a token. The client to which it was granted revokes it. The API sees
// that it is inactive.
func ExampleIssuer_IntrospectionHandler() {
	if err := introspectAndRevoke(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// active: true
	// revocation: 200
	// active: false
}

func introspectAndRevoke() error {
	key, err := jose.Generate("ES256")
	if err != nil {
		return err
	}
	keys, err := jwks.NewKeyring(key)
	if err != nil {
		return err
	}
	plain, secret := registry.GenerateSecret()
	reporter := registry.Client{ID: "reporter", Secrets: []registry.Secret{secret}, Audiences: []string{"https://api.example.com"}}
	api := registry.Client{ID: "api", Secrets: []registry.Secret{secret}, Introspects: []string{"https://api.example.com"}}
	store, err := registry.NewMemory(reporter, api)
	if err != nil {
		return err
	}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store})
	if err != nil {
		return err
	}
	defer iss.Close()
	post := func(path, client string, form url.Values) *httptest.ResponseRecorder {
		request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth(client, plain)
		answer := httptest.NewRecorder()
		iss.Handler().ServeHTTP(answer, request)
		return answer
	}
	granted := post("/token", "reporter", url.Values{"grant_type": {"client_credentials"}})
	token := url.Values{"token": {strings.Split(granted.Body.String(), `"`)[3]}}
	active := func() bool {
		return strings.Contains(post("/introspect", "api", token).Body.String(), `"active":true`)
	}
	fmt.Println("active:", active())
	fmt.Println("revocation:", post("/revoke", "reporter", token).Code)
	fmt.Println("active:", active())
	return nil
}
