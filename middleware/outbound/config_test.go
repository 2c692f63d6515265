package outbound

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

func TestNewRefuses(t *testing.T) {
	for say, change := range map[string]func(c *Config){
		"Config.Issuer is missing":             func(c *Config) { c.TokenURL = "" },
		"both set":                             func(c *Config) { c.Issuer = "https://auth.example.com" },
		"Config.ClientID is missing":           func(c *Config) { c.ClientID = "" },
		"Config.Secret is missing":             func(c *Config) { c.Secret = nil },
		`Config.Method is "basic"`:             func(c *Config) { c.Method = "basic" },
		"Config.RawBasic":                      func(c *Config) { c.Method, c.RawBasic = methodPost, true },
		"Config.ClientID has a colon":          func(c *Config) { c.ClientID, c.RawBasic = "a:b", true },
		"Config.Timeout is -1s":                func(c *Config) { c.Timeout = -time.Second },
		"Config.TokenURL: fetch":               func(c *Config) { c.TokenURL = "http://auth.example.com/token" },
		"holds credentials":                    func(c *Config) { c.TokenURL = "https://a:b@auth.example.com/token" },
		"Config.Issuer: fetch":                 func(c *Config) { c.TokenURL, c.Issuer = "", "https://auth.example.com/?x" },
		"Config.Params has scope":              func(c *Config) { c.Params = url.Values{"scope": {"a"}} },
		"Config.Params has client_secret":      func(c *Config) { c.Params = url.Values{"client_secret": {"a"}} },
		`Config.Resources: "orders"`:           func(c *Config) { c.Resources = []string{"orders"} },
		`Config.Resources: "https://a/#b"`:     func(c *Config) { c.Resources = []string{"https://a/#b"} },
		`Config.Scopes: "a b"`:                 func(c *Config) { c.Scopes = []string{"a b"} },
		`Config.Scopes: ""`:                    func(c *Config) { c.Scopes = []string{""} },
		`write "https://api.example.com"`:      func(c *Config) { c.Origins = []string{"https://api.example.com/v1"} },
		"Config.Origins: fetch: \"http://api.": func(c *Config) { c.Origins = []string{"http://api.example.com"} },
		"Config.Origins: fetch: \"api\"":       func(c *Config) { c.Origins = []string{"api"} },
	} {
		c := Config{TokenURL: testTokenURL, ClientID: "client", Secret: Secret("x")}
		change(&c)
		if s, err := New(c); s != nil || err == nil || !strings.HasPrefix(err.Error(), "outbound: ") || !strings.Contains(err.Error(), say) {
			t.Errorf("the error is %v, want one with %s", err, say)
		}
	}
}

func TestNewCopies(t *testing.T) {
	auth := &server{}
	scopes, params := []string{"a"}, url.Values{"audience": {"api"}}
	s := newSource(t, auth, func(c *Config) { c.Scopes, c.Params = scopes, params })
	scopes[0], params["audience"][0] = "b", "other"
	wantAny(t, s)
	if form := auth.requests[0]; form.Get("scope") != "a" || form.Get("audience") != "api" {
		t.Errorf("the request is %v", form)
	}
}

func TestOrigins(t *testing.T) {
	client := fetch.NewClient(nil, false)
	got := originsOf([]string{"https://API.example.com/v1?x", "urn:orders", "http://internal", "http://localhost:8080/x", "https://[::1]:9/"}, client)
	want := []string{"https://api.example.com", "http://localhost:8080", "https://[::1]:9"}
	var texts []string
	for _, o := range got {
		texts = append(texts, o.String())
	}
	if !slices.Equal(texts, want) {
		t.Errorf("the origins are %q, want %q", texts, want)
	}
	// Named origins count in For too.
	s := newSource(t, &server{}, func(c *Config) { c.Origins = []string{"https://gateway.example.com/"} })
	client2 := &http.Client{Transport: s.For("urn:stock").Transport(&api{})}
	if res, err := client2.Get("https://gateway.example.com/stock"); err != nil || res.StatusCode != 200 {
		t.Error(res, err)
	}
	if _, err := client2.Get(testAPI); err == nil {
		t.Error("a resource's origin counts beside those that are named")
	}
	bare := newSource(t, &server{}, func(c *Config) { c.Resources = nil })
	wantAny(t, bare)
	if _, err := bare.Client().Get(testAPI); err == nil || !strings.Contains(err.Error(), "no origin is allowed") {
		t.Errorf("the error is %v", err)
	}
}

// The client authenticates as RFC 6749, section 2.3.1 says, or as servers that do not
// decode want it.
func TestClientAuthentication(t *testing.T) {
	const id, secret = "my client:1", "a+b/c%= ~"
	for name, test := range map[string]struct {
		change           func(c *Config)
		user, pass, post string
	}{
		"default": {func(*Config) {}, "my+client%3A1", "a%2Bb%2Fc%25%3D+~", ""},
		"raw":     {func(c *Config) { c.RawBasic, c.ClientID = true, "my client" }, "my client", secret, ""},
		"post":    {func(c *Config) { c.Method = methodPost }, "", "", secret},
	} {
		var user, pass, post string
		auth := &server{answer: func(r *http.Request, form url.Values) *http.Response {
			user, pass, _ = r.BasicAuth()
			post = form.Get("client_secret")
			if got := form["resource"]; len(got) != 2 || got[0] != testAPI || got[1] != "urn:orders" {
				t.Errorf("%s: the resources are %q", name, got)
			}
			if r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Header.Get("Accept") != "application/json" || r.URL.RawQuery != "" {
				t.Errorf("%s: %v %v", name, r.URL, r.Header)
			}
			return answerOf(200, `{"access_token":"t","token_type":"Bearer","expires_in":60}`)
		}}
		s := newSource(t, auth, func(c *Config) {
			c.ClientID, c.Secret, c.Resources = id, Secret(secret), []string{testAPI, "urn:orders"}
			test.change(c)
		})
		wantToken(t, s, "t")
		if user != test.user || pass != test.pass || post != test.post {
			t.Errorf("%s: %q %q %q", name, user, pass, post)
		}
	}
}

func TestSecretFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	read := SecretFile(path)
	want := func(what, secret string) {
		t.Helper()
		if got, err := read(t.Context()); got != secret || (err == nil) != (secret != "") || err != nil && strings.Contains(err.Error(), "one") {
			t.Errorf("%s: %q, %v, want %q", what, got, err, secret)
		}
	}
	want("missing", "")
	write(t, path, "\n")
	want("empty", "")
	write(t, path, "one\r\n")
	want("first", "one")
	write(t, path, "  two \n")
	want("white space within", "  two ")
	for _, text := range []string{"three\n\n", "three\nfour\n", "three\x00", "\xff\xfet\x00h\x00"} {
		write(t, path, text)
		want("no secret", "  two ") // the last valid one
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	want("missing again", "  two ")
	for _, name := range []string{"..data1", "..data2"} { // as Kubernetes mounts secrets
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "secret"), "in "+name)
		link := filepath.Join(dir, "link")
		if err := os.Symlink(name, link); err != nil {
			t.Skip(err)
		}
		if err := os.Rename(link, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		if name == "..data1" {
			read = SecretFile(filepath.Join(dir, "..data", "secret"))
		}
		want("a swapped link", "in "+name)
	}
	write(t, filepath.Join(dir, "..data", "secret"), "")
	want("emptied", "in ..data2")
	two := filepath.Join(dir, "two")
	write(t, two, "one\ntwo\n")
	if got, err := SecretFile(two)(t.Context()); err == nil || !strings.Contains(err.Error(), "more than one line") || strings.Contains(err.Error(), "one\n") {
		t.Errorf("two lines: %q, %v", got, err)
	}
	if _, err := SecretFile(dir)(t.Context()); err == nil {
		t.Error("a folder is a secret")
	}
	large := filepath.Join(dir, "large")
	write(t, large, strings.Repeat("x", maxSecretFile+1))
	if _, err := SecretFile(large)(t.Context()); err == nil {
		t.Error("a file of any size is a secret")
	}
}

func TestSecretEnv(t *testing.T) {
	t.Setenv("OUTBOUND_TEST_SECRET", "one")
	read := SecretEnv("OUTBOUND_TEST_SECRET")
	if got, err := read(t.Context()); got != "one" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	t.Setenv("OUTBOUND_TEST_SECRET", "")
	if got, err := read(t.Context()); got != "" || err == nil {
		t.Errorf("%q, %v", got, err)
	}
}

// A secret that cannot be read sends no request, and is unavailable rather than refused.
func TestSecretThatCannotBeRead(t *testing.T) {
	fault := errors.New("vault is sealed")
	auth := &server{}
	for _, secret := range []SecretFunc{
		func(context.Context) (string, error) { return "", fault },
		func(context.Context) (string, error) { return "", nil },
		func(context.Context) (string, error) { return "two\nlines", nil },
	} {
		s := newSource(t, auth, func(c *Config) { c.Secret, c.Timeout = secret, time.Millisecond })
		_, err := s.Token(t.Context())
		wantUnavailable(t, err)
	}
	if auth.count() != 0 {
		t.Error("a token was asked for without a secret")
	}
}
