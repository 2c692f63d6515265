package issuer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// A readiness probe and a status page. The probe fails only when no token can be granted.
func ExampleIssuer_Ready() {
	if err := probe(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// /readyz 200
	// /status 200, following the feed: true
}

func operatorPages(iss *issuer.Issuer) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		err := iss.Ready(r.Context())
		if errors.Is(err, jwks.ErrUnavailable) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if err != nil {
			fmt.Fprintln(w, err) // for operators: do not show it to callers
		}
	})
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(iss.Status())
	})
	return mux
}

func probe() error {
	key, err := jose.Generate("ES256")
	if err != nil {
		return err
	}
	keys, err := jwks.NewKeyring(key)
	if err != nil {
		return err
	}
	store, err := registry.NewMemory()
	if err != nil {
		return err
	}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store})
	if err != nil {
		return err
	}
	defer iss.Close()
	pages := operatorPages(iss)
	ready, status := httptest.NewRecorder(), httptest.NewRecorder()
	pages.ServeHTTP(ready, httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody))
	pages.ServeHTTP(status, httptest.NewRequest(http.MethodGet, "/status", http.NoBody))
	var snapshot struct{ Following bool }
	if err := json.Unmarshal(status.Body.Bytes(), &snapshot); err != nil {
		return err
	}
	fmt.Println("/readyz", ready.Code)
	fmt.Printf("/status %d, following the feed: %v\n", status.Code, snapshot.Following)
	return nil
}
