package issuer_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// A secret is replaced without downtime: the old one works for another day. Sync makes the
// new one count at once in this process. Other replicas follow within 2 s.
func ExampleIssuer_Sync() {
	ctx := context.Background()
	keys, store := exampleParts()
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store})
	if err != nil {
		log.Fatal(err)
	}
	defer iss.Close()
	old, err := registry.Ensure(ctx, store, registry.Client{ID: "reporter", Audiences: []string{"https://api.example.com"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("before:", exampleToken(iss, "reporter", old) != "")

	secret, err := store.RotateSecret(ctx, "reporter", registry.Rotation{Overlap: 24 * time.Hour})
	if err == nil {
		err = iss.Sync(ctx)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the new secret:", exampleToken(iss, "reporter", secret) != "")
	fmt.Println("the old secret:", exampleToken(iss, "reporter", old) != "")
	// Output:
	// before: true
	// the new secret: true
	// the old secret: true
}

// The tokens that a client has are refused at its next request. It can get new ones: to
// stop a client, disable it.
func ExampleIssuer_RevokeClient() {
	ctx := context.Background()
	keys, store := exampleParts()
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store})
	if err != nil {
		log.Fatal(err)
	}
	defer iss.Close()
	auth, err := bearer.New(bearer.Config{
		Issuer: "https://auth.example.com", Audience: "https://api.example.com", Keys: keys, Revoked: iss.Revoked,
	})
	if err != nil {
		log.Fatal(err)
	}
	secret, err := registry.Ensure(ctx, store, registry.Client{ID: "reporter", Audiences: []string{"https://api.example.com"}})
	if err != nil {
		log.Fatal(err)
	}
	api := auth.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	call := func(token string) int {
		r, w := httptest.NewRequest(http.MethodGet, "/orders", http.NoBody), httptest.NewRecorder()
		r.Header.Set("Authorization", "Bearer "+token)
		api.ServeHTTP(w, r)
		return w.Code
	}

	token := exampleToken(iss, "reporter", secret)
	fmt.Println("a token:", call(token))
	if err := iss.RevokeClient(ctx, "reporter"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("after RevokeClient:", call(token))
	fmt.Println("a new token:", call(exampleToken(iss, "reporter", secret)))
	// Output:
	// a token: 200
	// after RevokeClient: 401
	// a new token: 200
}

// exampleParts returns a keyring and a store in memory. A program has jwks.Open and
// sqlite.Open instead.
func exampleParts() (*jwks.Keyring, *registry.Memory) {
	key, err := jose.Generate("ES256")
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwks.NewKeyring(key)
	if err != nil {
		log.Fatal(err)
	}
	return keys, &registry.Memory{}
}

// exampleToken returns a token of the client, or "" if it is refused.
func exampleToken(iss *issuer.Issuer, id, secret string) string {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	iss.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return ""
	}
	return strings.Split(w.Body.String(), `"`)[3]
}
