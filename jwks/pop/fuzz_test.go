package pop

import (
	"crypto/ed25519"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// FuzzProof: a proof that is accepted says what the request is, is signed by the key
// that it names, and is not accepted again.
func FuzzProof(f *testing.F) {
	seeded(f, "FuzzProof")
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) // so that a corpus stays valid
	p := sure(NewProver(key, ""))
	signer := sure(jose.NewSigner(key, ""))
	f.Add(sure(p.Proof("GET", testURL, "", "")), false)
	f.Add(sure(p.Proof("GET", testURL, testToken, "a")), false)
	f.Add(sure(p.Proof("POST", testURL, "", "")), false)
	f.Add(`{"jti":"1","htm":"GET","htu":"HTTPS://API.example.com:443/v1/%6frders?a","iat":NOW}`, true)
	f.Add(`{"jti":"1","htm":"GET","htu":"https://api.example.com/v1/orders","iat":NOW.5e0,"ath":"a"}`, true)
	f.Fuzz(func(t *testing.T, text string, sign bool) {
		if sign { // text is the claims, with a word for the time
			var err error
			claims := strings.ReplaceAll(text, "NOW", strconv.FormatInt(time.Now().Unix(), 10))
			if text, err = signer.SignEmbedded(proofType, []byte(claims)); err != nil {
				t.Fatal(err)
			}
		}
		v := sure(NewVerifier(Config{MaxAge: longestMaxAge, Capacity: 8}))
		got, err := v.Verify(t.Context(), request(text))
		if err != nil {
			var refused *Error
			if got != (Proof{}) || !errors.As(err, &refused) || refused.Code != invalidProof || refused.Description == "" || len(v.memory.slots) != 0 {
				t.Errorf("%+v, %v", got, err)
			}
			return
		}
		token := sure(jose.Parse(text, 0))
		k := sure(token.EmbeddedKey())
		claims := sure(jose.ParseObject(sure(token.Verify(k))))
		method, _, _ := claims.String("htm")
		htu, _, _ := claims.String("htu")
		issued, _, _ := claims.Time("iat")
		if k.Thumbprint() != got.Thumbprint || method != "GET" || !sameTarget(htu, testURL) || time.Since(issued).Abs() > longestMaxAge+longestLeeway {
			t.Errorf("%+v of %s", got, text)
		}
		if _, err := v.Verify(t.Context(), request(text)); err == nil {
			t.Error("accepted twice")
		}
	})
}
