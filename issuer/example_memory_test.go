package issuer_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// One Echo app with an issuer. Its clients are in memory, for a start. A client gets a
// token.
func ExampleNew() {
	if err := oneApp(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 200 Bearer orders:read
}

func oneApp() error {
	key, err := jose.Generate("ES256")
	if err != nil {
		return err
	}
	keys, err := jwks.NewKeyring(key) // jwks.Open keeps keys in a file or database, and rotates them
	if err != nil {
		return err
	}
	plain, secret := registry.GenerateSecret()
	store, err := registry.NewMemory(registry.Client{
		ID:        "reporter",
		Secrets:   []registry.Secret{secret},
		Scopes:    []string{"orders:read", "orders:write"},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		return err
	}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store})
	if err != nil {
		return err
	}
	defer iss.Close()
	e := echo.New()
	iss.Mount(e)

	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"orders:read"}}
	request := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("reporter", plain)
	answer := httptest.NewRecorder()
	e.ServeHTTP(answer, request)

	var granted struct {
		Type  string `json:"token_type"`
		Scope string `json:"scope"`
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &granted); err != nil {
		return err
	}
	fmt.Println(answer.Code, granted.Type, granted.Scope)
	return nil
}
