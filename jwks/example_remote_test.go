package jwks_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// An API fetches the keys of its issuer, caches them, and refreshes them before they
// expire. A key that is not in the set is a 401, and a set that cannot be had is a 503.
func ExampleNewRemote() {
	issuer, attacker := newIssuer(), newIssuer()
	server := httptest.NewServer(issuer) // the issuer's /.well-known/jwks.json

	keys := jwks.NewRemote(server.URL+"/.well-known/jwks.json", jwks.RemoteConfig{})
	defer keys.Close()

	ctx := context.Background()
	for _, signer := range []*jwks.Keyring{issuer, attacker} {
		token, err := signer.Sign(ctx, "at+jwt", []byte(`{"sub":"reporter"}`))
		if err != nil {
			log.Fatal(err)
		}
		status, payload := check(ctx, keys, token)
		fmt.Printf("%d %q\n", status, payload)
	}

	server.Close()
	unreachable := jwks.NewRemote(server.URL, jwks.RemoteConfig{Quiet: true})
	defer unreachable.Close()
	token, err := issuer.Sign(ctx, "at+jwt", []byte(`{"sub":"reporter"}`))
	if err != nil {
		log.Fatal(err)
	}
	status, _ := check(ctx, unreachable, token)
	fmt.Println(status)
	// Output:
	// 200 "{\"sub\":\"reporter\"}"
	// 401 ""
	// 503
}

// check returns the status for a request with this token, and the token's payload. The
// guard of package middleware does this, and checks the claims.
func check(ctx context.Context, keys jwks.Source, token string) (status int, payload string) {
	parsed, err := jose.Parse(token, 0)
	if err != nil {
		return http.StatusUnauthorized, ""
	}
	key, err := keys.Key(ctx, parsed.KeyID(), parsed.Algorithm())
	switch {
	case errors.Is(err, jwks.ErrUnknownKey):
		return http.StatusUnauthorized, ""
	case err != nil:
		return http.StatusServiceUnavailable, ""
	}
	payload, err = parsed.Verify(key)
	if err != nil {
		return http.StatusUnauthorized, ""
	}
	return http.StatusOK, payload
}

func newIssuer() *jwks.Keyring {
	private, err := jose.Generate("ES256")
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwks.NewKeyring(private)
	if err != nil {
		log.Fatal(err)
	}
	return keys
}
