package issuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// pair is a key that signs tokens by hand, so that a test can write any header and any
// payload.
type pair struct {
	private *ecdsa.PrivateKey
	public  *jose.Key
}

func newPair(tb testing.TB) pair {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	public, err := jose.NewKey(&private.PublicKey, "ES256", "")
	if err != nil {
		tb.Fatal(err)
	}
	return pair{private, public}
}

// sign signs the texts as they are.
func (p pair) sign(tb testing.TB, header, payload string) string {
	tb.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, p.private, sum[:])
	if err != nil {
		tb.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return input + "." + b64(signature)
}

// claims are those of a token. nil leaves a claim out.
type claims map[string]any

// with returns a copy with the changes.
func (c claims) with(changes claims) claims {
	changed := maps.Clone(c)
	maps.Copy(changed, changes)
	maps.DeleteFunc(changed, func(_ string, value any) bool { return value == nil })
	return changed
}

func (c claims) text(tb testing.TB) string {
	tb.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// assertionOf returns the claims of a valid assertion of the client.
func assertionOf(clientID string) claims {
	now := time.Now().Unix()
	return claims{"iss": clientID, "sub": clientID, "aud": testIssuer, "iat": now, "exp": now + 60, "jti": rand.Text()}
}

// header returns a header with the kid of the key.
func (p pair) header() claims { return claims{"alg": "ES256", "kid": p.public.ID(), "typ": "JWT"} }

// assert returns an assertion that differs from a valid one of the client by the changes.
func (p pair) assert(tb testing.TB, clientID string, changes claims) string {
	tb.Helper()
	return p.sign(tb, p.header().text(tb), assertionOf(clientID).with(changes).text(tb))
}

// keySetOf returns the JWK set of the keys.
func keySetOf(tb testing.TB, keys ...*jose.Key) json.RawMessage {
	tb.Helper()
	set, err := jose.NewSet(keys...)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := json.Marshal(set)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// keyed returns a client that authenticates with the keys.
func keyed(tb testing.TB, id string, keys ...pair) registry.Client {
	tb.Helper()
	c := app()
	c.ID, c.Secrets = id, nil
	var public []*jose.Key
	for _, key := range keys {
		public = append(public, key.public)
	}
	c.JWKS = keySetOf(tb, public...)
	return c
}

// asserted returns the form of a token request with an assertion.
func asserted(assertion string, more ...string) string {
	return form(append([]string{"grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion", assertion}, more...)...)
}

// publisher serves a key set, or what answer writes.
type publisher struct {
	*httptest.Server
	fetches atomic.Int64
	mu      sync.Mutex
	set     json.RawMessage
	answer  http.HandlerFunc // nil: the set
}

func newPublisher(t *testing.T, keys ...*jose.Key) *publisher {
	t.Helper()
	p := &publisher{set: keySetOf(t, keys...)}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.fetches.Add(1)
		p.mu.Lock()
		set, answer := p.set, p.answer
		p.mu.Unlock()
		if answer != nil {
			answer(w, r)
			return
		}
		_, _ = w.Write(set)
	}))
	t.Cleanup(p.Close)
	return p
}

// publish replaces the set and the answer.
func (p *publisher) publish(set json.RawMessage, answer http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set, p.answer = set, answer
}

// fixed returns a Source of the keys.
func fixed(tb testing.TB, keys ...pair) jwks.Source {
	tb.Helper()
	var public []*jose.Key
	for _, key := range keys {
		public = append(public, key.public)
	}
	set, err := jose.NewSet(public...)
	if err != nil {
		tb.Fatal(err)
	}
	return jwks.NewFixed(set)
}

// metadataOf answers with the metadata of an issuer at the publisher's address, and with
// its key set at /keys.
func metadataOf(p *publisher, set json.RawMessage) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/keys":
			_, _ = w.Write(set)
		case "/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]string{"issuer": p.URL, "jwks_uri": p.URL + "/keys"})
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}
}
