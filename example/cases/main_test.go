package cases

import (
	"bufio"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

const authURL, apiURL = "http://127.0.0.1:8080", "http://127.0.0.1:8080/v1"

// TestMain fails the run when goroutines are left behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	for wait := time.Millisecond; runtime.NumGoroutine() > before; wait *= 2 {
		if wait > 10*time.Second {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines leaked:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			os.Exit(1)
		}
		time.Sleep(wait)
	}
	os.Exit(code)
}

// input is a file of the case.
func input(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// keySet serves a document as a JWKS and fetches it.
func keySet(t *testing.T, doc string) *jwks.Remote {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, doc) }))
	t.Cleanup(s.Close)
	r := jwks.NewRemote(s.URL, jwks.RemoteConfig{})
	t.Cleanup(func() { _ = r.Close() })
	_ = r.Ready(context.Background())
	return r
}

// wantKeys fails unless every kid can be had.
func wantKeys(t *testing.T, r *jwks.Remote, kids ...string) {
	t.Helper()
	for _, kid := range kids {
		if _, err := r.Key(context.Background(), kid, ""); err != nil {
			t.Errorf("key %q: %v (keys %d, skipped %v)", kid, err, r.Status().Keys, r.Status().Skipped)
		}
	}
}

// world is an issuer with a store in memory, and a guard of its tokens.
type world struct {
	keys   *jwks.Keyring
	iss    *issuer.Issuer
	auth   *bearer.Bearer
	secret string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{}
	var err error
	if w.keys, err = jwks.Open(context.Background(), jwks.File(filepath.Join(t.TempDir(), "keys.json")), jwks.Policy{}); err != nil {
		t.Fatal(err)
	}
	plain, kept := registry.GenerateSecret()
	w.secret = plain
	store, err := memory(
		registry.Client{ID: "reporter", Secrets: []registry.Secret{kept}, Audiences: []string{apiURL}, Scopes: []string{"orders:read", "orders:write"}},
		registry.Client{ID: "bare", Audiences: []string{apiURL}},
	)
	if err != nil {
		t.Fatal(err)
	}
	if w.iss, err = issuer.New(issuer.Config{Issuer: authURL, Keys: w.keys, Store: store, ImportedSecrets: true}); err != nil {
		t.Fatal(err)
	}
	if w.auth, err = bearer.New(bearer.Config{Issuer: authURL, Audience: apiURL, Keys: w.keys, Revoked: w.iss.Revoked}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.iss.Close(); _ = w.keys.Close() })
	return w
}

func (w *world) form(extra string) string {
	return "grant_type=client_credentials&client_id=reporter&client_secret=" + url.QueryEscape(w.secret) + extra
}

// token gets one.
func (w *world) token(t *testing.T) string {
	t.Helper()
	e := echo.New()
	w.iss.Mount(e)
	body := call(e, "POST", "/token", w.form(""), "Content-Type", "application/x-www-form-urlencoded").Body.String()
	_, rest, _ := strings.Cut(body, `"access_token":"`)
	token, _, _ := strings.Cut(rest, `"`)
	if token == "" {
		t.Fatal("no token: ", body)
	}
	return token
}

// call makes one request, headers given as name, value, …
func call(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header[http.CanonicalHeaderKey(headers[i])] = []string{headers[i+1]}
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// adminAPI is the admin API, at /admin.
func adminAPI(t *testing.T) http.Handler {
	t.Helper()
	ctx := context.Background()
	dir := t.TempDir()
	keys, err := jwks.Open(ctx, jwks.File(filepath.Join(dir, "keys.json")), jwks.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	store := &registry.Memory{}
	iss, err := issuer.New(issuer.Config{Issuer: authURL, Keys: keys, Store: store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = iss.Close(); _ = keys.Close() })
	e := echo.New()
	api, err := admin.New(admin.Config{Issuer: iss, Manager: store})
	if err != nil {
		t.Fatal(err)
	}
	api.Mount(e.Group("/admin"), nil)
	return e
}

const jsonType = "application/json"

// foreign is another issuer, with one RSA key "k1", and a guard of its tokens.
type foreign struct {
	key   *rsa.PrivateKey
	keys  *jwks.Remote
	guard http.Handler
}

const foreignIssuer, foreignAudience = "https://idp.example/", "https://api.example"

// rsaKey is made once, as that takes a while.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newForeign(t *testing.T) *foreign {
	t.Helper()
	key, err := rsaKey()
	if err != nil {
		t.Fatal(err)
	}
	r := keySet(t, fmt.Sprintf(`{"keys":[{"kty":"RSA","kid":"k1","use":"sig","n":%q,"e":"AQAB"}]}`, b64(key.N.Bytes())))
	a, err := bearer.New(bearer.Config{Issuer: foreignIssuer, Audience: foreignAudience, Keys: r})
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	e.GET("/", ok, a.Require())
	return &foreign{key, r, e}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// status is the guard's answer to a token of this header and payload, rightly signed.
func (f *foreign) status(t *testing.T, header, payload string) int {
	t.Helper()
	signed := b64([]byte(header)) + "." + b64([]byte(payload))
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, f.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return call(f.guard, "GET", "/", "", "Authorization", "Bearer "+signed+"."+b64(signature)).Code
}

// fill writes the times and names into a payload with {exp}, {iat}, {iss}, {aud}.
func fill(payload string) string {
	now := time.Now().Unix()
	return strings.NewReplacer("{exp}", fmt.Sprint(now+600), "{iat}", fmt.Sprint(now-5), "{iss}", foreignIssuer, "{aud}", foreignAudience).Replace(payload)
}

func ok(c echo.Context) error { return c.String(http.StatusOK, "ok") }

func through(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error { return next(c) }
}

// wire sends bytes to a real server and gives the status.
func wire(t *testing.T, h http.Handler, request string) int {
	t.Helper()
	s := httptest.NewServer(h)
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusContinue {
			return res.StatusCode
		}
	}
}

// docs is all pages, and all Go code but tests, to see whether something is said anywhere.
func docs(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "cases" { // these words are not the library's
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".md") || strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			all.Write(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// memory is a store with these clients.
func memory(clients ...registry.Client) (*registry.Memory, error) {
	store := &registry.Memory{}
	for _, c := range clients {
		if _, err := store.Register(context.Background(), c); err != nil {
			return nil, err
		}
	}
	return store, nil
}
