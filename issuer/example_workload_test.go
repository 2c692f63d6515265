package issuer_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/profile"
)

// A pod authenticates with its service account token. Neither the pod nor the issuer has a
// secret. Here the cluster's keys are at hand; usually Keys is left out, or is a Remote.
func ExampleWorkloadIssuer() {
	if err := pod(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// reports: 200
	// other: 401
}

func pod() error {
	const cluster = "https://cluster.example.com"
	key, err := jose.Generate("ES256")
	if err != nil {
		return err
	}
	signer, err := jose.NewSigner(key, "ES256") // the cluster's
	if err != nil {
		return err
	}
	public, err := jose.NewSet(signer.Key())
	if err != nil {
		return err
	}
	store, err := registry.NewMemory(registry.Client{
		ID: "reports", Audiences: []string{"https://api.example.com"},
		Workloads: []registry.Workload{{Issuer: cluster, Subject: "system:serviceaccount:billing:reports", Audience: "https://auth.example.com"}},
	})
	if err != nil {
		return err
	}
	keys, err := jwks.NewKeyring(key)
	if err != nil {
		return err
	}
	iss, err := issuer.New(issuer.Config{
		Issuer: "https://auth.example.com", Keys: keys, Store: store,
		WorkloadIssuers: []issuer.WorkloadIssuer{{Issuer: cluster, Profile: profile.Kubernetes(), Keys: jwks.NewFixed(public)}},
	})
	if err != nil {
		return err
	}
	defer iss.Close()

	for _, account := range []string{"reports", "other"} {
		token, err := serviceAccountToken(signer, cluster, "system:serviceaccount:billing:"+account)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %d\n", account, requestAs(iss, "reports", token))
	}
	return nil
}

// serviceAccountToken returns a token as the cluster mounts it into a pod.
func serviceAccountToken(cluster *jose.Signer, issuer, account string) (string, error) {
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{
		"iss": issuer, "sub": account, "aud": []string{"https://auth.example.com"}, "iat": now, "nbf": now, "exp": now + 3600,
	})
	if err != nil {
		return "", err
	}
	return cluster.Sign("JWT", claims)
}

// requestAs sends a workload's token, which does not name the client: client_id does.
func requestAs(iss *issuer.Issuer, client, token string) (status int) {
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_id":             {client},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {token},
	}
	request := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	iss.Handler().ServeHTTP(answer, request)
	return answer.Code
}
