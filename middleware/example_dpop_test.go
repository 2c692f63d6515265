package middleware_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// An API for tokens that are bound to a key of the client, and a client with such a token.
// The server demands its nonces, so a first request costs a second one. The stolen token
// alone is worth nothing, and neither is the proof of a request that was sent.
func Example_dpop() {
	e := echo.New()
	server := httptest.NewServer(e) // with TLS in production
	defer server.Close()

	secret := make([]byte, 32) // from a file that all replicas share
	if _, err := rand.Read(secret); err != nil {
		log.Fatal(err)
	}
	nonces, err := pop.NewNonces(secret)
	if err != nil {
		log.Fatal(err)
	}
	issuerKey, err := jose.Generate("ES256")
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwks.NewKeyring(issuerKey)
	if err != nil {
		log.Fatal(err)
	}
	auth, err := bearer.New(bearer.Config{
		Issuer:   "https://auth.example.com",
		Audience: "https://api.example.com",
		Keys:     keys,
		DPoP: &bearer.DPoP{
			BaseURL: server.URL, // configuration, never the Host header
			Proofs:  pop.Config{Nonces: nonces, RequireNonce: true},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	e.GET("/orders", func(c echo.Context) error {
		return c.String(http.StatusOK, "orders of "+bearer.TokenFrom(c).ClientID)
	}, auth.RequireBound("orders:read"))

	clientKey, err := jose.Generate("ES256")
	if err != nil {
		log.Fatal(err)
	}
	prover, err := pop.NewProver(clientKey, "")
	if err != nil {
		log.Fatal(err)
	}
	now := time.Now().Unix()
	token, err := keys.Sign(context.Background(), "at+jwt", fmt.Appendf(nil, // as the issuer does
		`{"iss":"https://auth.example.com","aud":"https://api.example.com","sub":"reporter","client_id":"reporter","jti":"1","iat":%d,"exp":%d,"scope":"orders:read","cnf":{"jkt":%q}}`,
		now, now+900, prover.Thumbprint()))
	if err != nil {
		log.Fatal(err)
	}

	url := server.URL + "/orders"
	send := func(what, authorization, proof string) (nonce string) {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
		if err != nil {
			log.Fatal(err)
		}
		r.Header.Set("Authorization", authorization)
		r.Header.Set("DPoP", proof)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			log.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(what, answer.StatusCode, string(body))
		return answer.Header.Get("DPoP-Nonce")
	}
	prove := func(nonce string) string {
		proof, err := prover.Proof(http.MethodGet, url, token, nonce)
		if err != nil {
			log.Fatal(err)
		}
		return proof
	}
	nonce := send("the first request:", "DPoP "+token, prove(""))
	proof := prove(nonce)
	send("with the nonce:", "DPoP "+token, proof)
	send("the proof once more:", "DPoP "+token, proof)
	send("the token alone:", "Bearer "+token, "")
	// Output:
	// the first request: 401 {"message":"the DPoP proof must have the nonce of the DPoP-Nonce header"}
	//
	// with the nonce: 200 orders of reporter
	// the proof once more: 401 {"message":"the DPoP proof was used before"}
	//
	// the token alone: 401 {"message":"send this access token with the scheme DPoP and a proof"}
}
