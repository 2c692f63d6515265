package issuer_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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
)

// An issuer with one client, and the token the client gets.
func ExampleNew() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, err := jwks.NewKeyring(key) // jwks.Open keeps keys, and rotates them
	if err != nil {
		fmt.Println(err)
		return
	}
	plain, secret := registry.GenerateSecret()
	store, err := registry.NewMemory(registry.Client{
		ID:        "reports",
		Secrets:   []registry.Secret{secret},
		Scopes:    []string{"orders:read", "orders:write"},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer iss.Close()
	e := echo.New()
	iss.Mount(e)

	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"orders:read"}}
	request := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("reports", plain)
	response := httptest.NewRecorder()
	e.ServeHTTP(response, request)

	var answer struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
		Scope       string `json:"scope"`
	}
	if err := json.Unmarshal(response.Body.Bytes(), &answer); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(response.Code, answer.TokenType, answer.ExpiresIn, answer.Scope)
	fmt.Println(strings.Count(answer.AccessToken, "."), "dots")
	// Output:
	// 200 Bearer 900 orders:read
	// 2 dots
}

// Without Echo: the endpoints on a ServeMux of the program.
func ExampleIssuer_Handler() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, err := jwks.NewKeyring(key)
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := registry.NewMemory()
	if err != nil {
		fmt.Println(err)
		return
	}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("/", iss.Handler())

	for _, path := range []string{"/healthz", "/.well-known/jwks.json", "/token", "/other"} {
		response := httptest.NewRecorder()
		mux.ServeHTTP(response, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		fmt.Println(response.Code, path)
	}
	// Output:
	// 200 /healthz
	// 200 /.well-known/jwks.json
	// 405 /token
	// 404 /other
}
