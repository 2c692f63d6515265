package issuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
	"golang.org/x/crypto/argon2"
)

const (
	testIssuer = "https://auth.example.com"
	ordersAPI  = "https://orders.example.com"
	billingAPI = "https://billing.example.com"
)

var (
	ecKey, _             = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	appSecret, appStored = registry.GenerateSecret()
	appForm              = form("grant_type", "client_credentials", "client_id", "app", "client_secret", appSecret)
)

// app is the client of most tests.
func app() registry.Client {
	return registry.Client{
		ID: "app", Secrets: []registry.Secret{appStored},
		Scopes:    []string{"orders:read", "orders:write"},
		Audiences: []string{ordersAPI},
	}
}

// otherClient returns a client with a secret of its own.
func otherClient() (c registry.Client, secret string) {
	secret, stored := registry.GenerateSecret()
	c = app()
	c.ID, c.Secrets = "other", []registry.Secret{stored}
	return c, secret
}

// chosen returns a client with the chosen secret "secret456", whose hash costs little.
func chosen(tb testing.TB, id string) registry.Client {
	tb.Helper()
	c := app()
	c.ID, c.Secrets = id, []registry.Secret{quickHash(tb, "secret456")}
	return c
}

// guard returns an API that may introspect the tokens for some audiences.
func guard(id string, introspects ...string) registry.Client {
	c := app()
	c.ID, c.Introspects, c.Scopes, c.Audiences = id, introspects, nil, nil
	return c
}

// form encodes name, value, name, value, …
func form(pairs ...string) string {
	var b strings.Builder
	for n := 0; n < len(pairs); n += 2 {
		if n > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(pairs[n]) + "=" + url.QueryEscape(pairs[n+1]))
	}
	return b.String()
}

// secretOf returns the form of a client that shares the app's secret.
func secretOf(id string) string {
	return form("grant_type", "client_credentials", "client_id", id, "client_secret", appSecret)
}

// about returns the form of a request by the app about a token.
func about(token string) string {
	return form("client_id", "app", "client_secret", appSecret, "token", token)
}

// asks returns the form of a request by a client about a token.
func asks(id, token string) string {
	return form("client_id", id, "client_secret", appSecret, "token", token)
}

// newForm returns a request with a form.
func newForm(path, body string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for n := 0; n < len(header); n += 2 {
		r.Header.Add(header[n], header[n+1])
	}
	return r
}

// basic returns the Authorization header of RFC 6749, section 2.3.1.
func basic(id, secret string) string {
	return raw(url.QueryEscape(id) + ":" + url.QueryEscape(secret))
}

// raw returns the header of clients that do not form-encode.
func raw(credentials string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}

// address returns an address of the n-th network, with a port.
func address(n int) string {
	return fmt.Sprintf("%d.%d.%d.9:40%03d", 1+n>>16&127, n>>8&255, n&255, n%1000)
}

// quickHash returns an imported secret whose hash costs little.
func quickHash(tb testing.TB, plain string) registry.Secret {
	tb.Helper()
	return argonHash(tb, plain, 64, 1)
}

// argonHash returns an imported secret whose argon2id hash has that cost.
func argonHash(tb testing.TB, plain string, memory, passes uint32) registry.Secret {
	tb.Helper()
	salt := []byte(rand.Text()[:16])
	sum := argon2.IDKey([]byte(plain), salt, passes, memory, 1, 32)
	b64 := base64.RawStdEncoding
	s, err := registry.ImportSecret(fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, memory, passes, b64.EncodeToString(salt), b64.EncodeToString(sum)))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// seeded adds the seeds. It fails if there are none: a fuzz target without a corpus tests
// nothing in go test.
func seeded[T any](f *testing.F, seeds []T, add func(T)) {
	f.Helper()
	if len(seeds) == 0 {
		f.Fatal("the seed corpus is empty")
	}
	for _, seed := range seeds {
		add(seed)
	}
}
