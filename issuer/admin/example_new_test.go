package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
)

// guarded is a stand-in for Handler(next, "clients:admin") of a Bearer, see package
// middleware.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer the-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// The API below /admin of a net/http server: a client is registered, gets a second
// secret, and its tokens are revoked.
func ExampleNew() {
	dir, err := os.MkdirTemp("", "admin")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	keys, err := jwks.Open(context.Background(), jwks.File(filepath.Join(dir, "keys.json")), jwks.Policy{})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	store, err := registry.NewMemory() // sqlite.Open for one that lasts
	if err != nil {
		log.Fatal(err)
	}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store})
	if err != nil {
		log.Fatal(err)
	}
	defer iss.Close()

	api, err := admin.New(admin.Config{Issuer: iss, Manager: store})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/admin/", http.StripPrefix("/admin", guarded(api)))

	call := func(method, path, body string) {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer the-token")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		var answer struct {
			ClientID string `json:"client_id"`
			Secret   string `json:"client_secret"`
		}
		if err := json.NewDecoder(bytes.NewReader(w.Body.Bytes())).Decode(&answer); err != nil {
			log.Fatal(err)
		}
		fmt.Println(method, path, w.Code, answer.ClientID, len(answer.Secret))
	}
	call("POST", "/admin/clients", `{"client_id":"reports","scope":"orders:read","audiences":["https://api.example.com"]}`)
	call("POST", "/admin/clients/reports/secrets/add", `{"label":"second","client_secret_expires_at":`+fmt.Sprint(time.Now().Add(time.Hour).Unix())+`}`)
	call("POST", "/admin/clients/reports/revoke", "")
	// Output:
	// POST /admin/clients 201 reports 81
	// POST /admin/clients/reports/secrets/add 201 reports 81
	// POST /admin/clients/reports/revoke 200  0
}
