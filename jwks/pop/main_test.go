package pop

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

const (
	testURL   = "https://api.example.com/v1/orders"
	testToken = "an.access.token"
)

// sure returns the value. An error means that the test itself is broken.
func sure[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// testKeys has a key for each algorithm. RSA keys take long to make, so they are one.
var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := map[string]crypto.Signer{}
	for _, alg := range jose.Algorithms() {
		family := alg
		if alg[0] == 'R' || alg[0] == 'P' {
			family = "RS256"
		}
		if keys[family] == nil {
			keys[family] = sure(jose.Generate(family))
		}
		keys[alg] = keys[family]
	}
	return keys
})

func newProver() *Prover { return sure(NewProver(sure(jose.Generate("ES256")), "")) }

// request is one that carries these proofs.
func request(proofs ...string) Request {
	return Request{Proofs: proofs, Method: "GET", URL: testURL}
}

// forge is a proof under construction: header and claims are JSON, and changed at will.
type forge struct {
	header, claims map[string]any
	signer         *jose.Signer
}

// newForge is a proof that is right, for request.
func newForge(alg string) *forge {
	signer := sure(jose.NewSigner(testKeys()[alg], alg))
	return &forge{
		header: map[string]any{"typ": proofType, "alg": alg, "jwk": jwkOf(signer.Key())},
		claims: map[string]any{"jti": "1", "htm": "GET", "htu": testURL, "iat": time.Now().Unix()},
		signer: signer,
	}
}

func jwkOf(k *jose.Key) map[string]any {
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(sure(sure(jose.NewSet(k)).MarshalJSON()), &set); err != nil {
		panic(err)
	}
	jwk := set.Keys[0]
	for _, name := range []string{"kid", "alg", "use"} {
		delete(jwk, name)
	}
	return jwk
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// sign makes the proof. A signer signs headers of its own alone, so the signature is of
// a token with the wanted first part.
func (f *forge) sign(tb testing.TB) string {
	tb.Helper()
	return f.signText(tb, string(sure(json.Marshal(f.header))), string(sure(json.Marshal(f.claims))))
}

func (f *forge) signText(tb testing.TB, header, claims string) string {
	tb.Helper()
	input := encode(header) + "." + encode(claims)
	return input + "." + base64.RawURLEncoding.EncodeToString(signature(tb, f.signer.Key().Algorithm(), input))
}

// refusal returns the *Error of a refused proof and fails the test if there is none.
func refusal(t *testing.T, what string, err error) *Error {
	t.Helper()
	var refused *Error
	if !errors.As(err, &refused) {
		t.Fatalf("%s: %v, which is no *Error", what, err)
	}
	if refused.Description == "" || !strings.HasPrefix(refused.Error(), "pop: "+refused.Code) || errors.Is(err, ErrUnavailable) {
		t.Errorf("%s: %+v", what, refused)
	}
	return refused
}
