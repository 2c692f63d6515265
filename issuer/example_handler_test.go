package issuer_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// Without Echo: the endpoints on an http.ServeMux, beside a handler of the program.
func ExampleIssuer_Handler() {
	mux, iss, err := withoutEcho()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer iss.Close()
	for _, path := range []string{"/healthz", "/.well-known/jwks.json", "/token", "/other"} {
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		fmt.Println(answer.Code, path)
	}
	// Output:
	// 200 /healthz
	// 200 /.well-known/jwks.json
	// 405 /token
	// 404 /other
}

func withoutEcho() (*http.ServeMux, *issuer.Issuer, error) {
	key, err := jose.Generate("ES256")
	if err != nil {
		return nil, nil, err
	}
	keys, err := jwks.NewKeyring(key)
	if err != nil {
		return nil, nil, err
	}
	store, err := registry.NewMemory()
	if err != nil {
		return nil, nil, err
	}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store})
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("/", iss.Handler())
	return mux, iss, nil
}
