package issuer_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// A tenant claim. It is kept in the client's Metadata. A client without a tenant gets an
// error of the program's own, and no token.
func ExampleConfig_claims() {
	if err := tenantTokens(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// with a tenant: 200 "tenant":"acme"
	// without: 403 {"error":"access_denied","error_description":"the client has no tenant"}
}

func tenantClaim(_ context.Context, grant issuer.Grant) (map[string]any, error) {
	tenant, ok := grant.Client.Metadata["tenant"]
	if !ok {
		return nil, &issuer.Error{Status: http.StatusForbidden, Code: "access_denied", Description: "the client has no tenant"}
	}
	return map[string]any{"tenant": tenant}, nil
}

func tenantTokens() error {
	key, err := jose.Generate("ES256")
	if err != nil {
		return err
	}
	keys, err := jwks.NewKeyring(key)
	if err != nil {
		return err
	}
	plain, secret := registry.GenerateSecret()
	with := registry.Client{ID: "with", Secrets: []registry.Secret{secret}, Audiences: []string{"https://api.example.com"}, Metadata: map[string]string{"tenant": "acme"}}
	without := registry.Client{ID: "without", Secrets: []registry.Secret{secret}, Audiences: []string{"https://api.example.com"}}
	store, err := registry.NewMemory(with, without)
	if err != nil {
		return err
	}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store, Claims: tenantClaim})
	if err != nil {
		return err
	}
	defer iss.Close()
	token := func(client string) *httptest.ResponseRecorder {
		request := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader("grant_type=client_credentials"))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth(client, plain)
		answer := httptest.NewRecorder()
		iss.Handler().ServeHTTP(answer, request)
		return answer
	}
	granted, refused := token("with"), token("without")
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(granted.Body.String(), ".")[1])
	if err != nil {
		return err
	}
	_, claim, _ := strings.Cut(string(payload), `"client_id":"with",`)
	fmt.Println("with a tenant:", granted.Code, strings.TrimSuffix(claim, "}"))
	fmt.Println("without:", refused.Code, refused.Body)
	return nil
}
