package issuer_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// A client whose tokens are bound to a key (RFC 9449). The issuer tells it a nonce, and
// the second proof has that nonce.
func ExampleConfig_dpop() {
	if err := grantBound(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 400 use_dpop_nonce
	// 200 DPoP
}

func grantBound() error {
	signing, err := jose.Generate("ES256")
	if err != nil {
		return err
	}
	keys, err := jwks.NewKeyring(signing)
	if err != nil {
		return err
	}
	plain, secret := registry.GenerateSecret()
	store, err := registry.NewMemory(registry.Client{
		ID: "reporter", Secrets: []registry.Secret{secret}, Audiences: []string{"https://api.example.com"}, DPoPBoundTokens: true,
	})
	if err != nil {
		return err
	}
	shared := make([]byte, 32) // one secret for all replicas, such as from a file
	_, _ = rand.Read(shared)
	nonces, err := pop.NewNonces(shared)
	if err != nil {
		return err
	}
	iss, err := issuer.New(issuer.Config{
		Issuer: "https://auth.example.com", Keys: keys, Store: store,
		DPoP: &pop.Config{Nonces: nonces, RequireNonce: true},
	})
	if err != nil {
		return err
	}
	defer iss.Close()

	own, err := jose.Generate("ES256")
	if err != nil {
		return err
	}
	prover, err := pop.NewProver(own, "")
	if err != nil {
		return err
	}
	nonce := ""
	for range 2 {
		proof, err := prover.Proof(http.MethodPost, "https://auth.example.com/token", "", nonce)
		if err != nil {
			return err
		}
		request := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader("grant_type=client_credentials"))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("DPoP", proof)
		request.SetBasicAuth("reporter", plain)
		answer := httptest.NewRecorder()
		iss.Handler().ServeHTTP(answer, request)
		nonce = answer.Header().Get("DPoP-Nonce")
		var body struct {
			Error string `json:"error"`
			Type  string `json:"token_type"`
		}
		if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil {
			return err
		}
		fmt.Println(answer.Code, body.Error+body.Type)
	}
	return nil
}
