package middleware_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// testIssuer signs tokens for the tests of an API.
type testIssuer struct{ keys *jwks.Keyring }

// token returns a valid token of a client with a scope. Tests change claims to get
// invalid ones: another aud, an exp in the past, no scope.
func (i testIssuer) token(client, scope string, change func(claims map[string]any)) string {
	claims := map[string]any{
		"iss": "https://auth.example.com", "aud": "https://api.example.com", "sub": client, "client_id": client, "jti": "1",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(), "scope": scope,
	}
	if change != nil {
		change(claims)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		log.Fatal(err)
	}
	token, err := i.keys.Sign(context.Background(), "at+jwt", payload)
	if err != nil {
		log.Fatal(err)
	}
	return token
}

// Test your handlers with real tokens, signed by a key of the test.
func Example_testOfAHandler() {
	private, err := jose.Generate("ES256")
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwks.NewKeyring(private)
	if err != nil {
		log.Fatal(err)
	}
	issuer := testIssuer{keys}
	auth, err := bearer.New(bearer.Config{Issuer: "https://auth.example.com", Audience: "https://api.example.com", Keys: keys})
	if err != nil {
		log.Fatal(err)
	}
	orders := auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "orders of ", bearer.TokenFromContext(r.Context()).ClientID)
	}), "orders:read")

	for _, token := range []string{
		issuer.token("reports", "orders:read", nil),
		issuer.token("reports", "stock:read", nil),
		issuer.token("reports", "orders:read", func(claims map[string]any) { claims["exp"] = time.Now().Add(-time.Hour).Unix() }),
		issuer.token("reports", "orders:read", func(claims map[string]any) { claims["aud"] = "https://other.example.com" }),
	} {
		r := httptest.NewRequest("GET", "/orders", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		orders.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 403
	// 401
	// 401
}
