package issuertest

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/jwks/event"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// guard is a guarded handler, and why it refused the latest token.
type guard struct {
	handler http.Handler
	reason  event.Reason
	cause   error
}

func newGuard(t *testing.T, c bearer.Config, scopes ...string) *guard {
	t.Helper()
	g := &guard{}
	c.Observe = func(_ context.Context, e bearer.Event) { g.reason, g.cause = e.Reason, e.Err }
	auth, err := bearer.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = auth.Close() })
	g.handler = auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }), scopes...)
	return g
}

func (g *guard) ask(token string) (status int, reason event.Reason) {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	return w.Code, g.reason
}

// Each bad token is refused for its fault. The same token without the fault passes, and
// differs from it in one point, or in what the attack consists of.
func TestFaults(t *testing.T) {
	t.Parallel()
	i := New(t)
	near, far := newGuard(t, i.Bearer("https://api.example.com"), "orders:read"), newGuard(t, i.Remote(t, ""), "orders:read")
	attacks := map[string][]string{
		"unknown key":               {"header kid", "signature"},
		"embedded jwk":              {"header jwk", "signature"},
		"embedded jku":              {"header jku", "signature"},
		"embedded x5u":              {"header x5u", "signature"},
		"embedded jwk, of its kid":  {"header kid", "header jwk", "signature"},
		"changed":                   {"sub", "signature"},
		"alg none":                  {"header alg", "signature"},
		"of another issuer":         {"header kid", "iss", "signature"},
		"expired and forged":        {"exp", "signature"},
		"embedded x5c":              {"header x5c", "signature"},
		"alg None":                  {"header alg", "signature"},
		"alg nOnE":                  {"header alg", "signature"},
		"alg unknown":               {"header alg", "signature"},
		"header of many members":    manyMembers(),
		"crit":                      {"header crit", "header https://extension.test"},
		"unencoded payload, crit":   {"header b64", "header crit"},
		"exp in capitals":           {"exp", "EXP"},
		"HS256 with the public key": {"header alg", "signature"},

		"HS256 with the public key, DER": {"header alg", "signature"},
		"HS256 with the public key, JWK": {"header alg", "signature"},
		"HS256 without a secret":         {"header alg", "signature"},
		"duplicate custom claim":         {"x"},
		"revoked":                        nil, // the text is the same
		"revoked, another signature":     nil, // it is valid
	}
	public := &i.serving.keys[0].PublicKey
	for _, fault := range Faults() {
		d, err := i.draft([]Option{Scopes("orders:read"), Claim("tenant", "acme")})
		if err != nil {
			t.Fatal(err)
		}
		if fault.prepare != nil {
			fault.prepare(d)
		}
		good, err := d.token()
		if err != nil {
			t.Fatal(err)
		}
		for name, g := range map[string]*guard{"Bearer": near, "Remote": far} {
			if status, reason := g.ask(good); status != http.StatusNoContent {
				t.Fatalf("%s: %s: status %d, %s without the fault", name, fault.Name, status, reason)
			}
		}
		if err := fault.apply(d, i); err != nil {
			t.Fatalf("%s: %v", fault.Name, err)
		}
		bad, err := d.token()
		if err != nil {
			t.Fatalf("%s: %v", fault.Name, err)
		}
		for name, g := range map[string]*guard{"Bearer": near, "Remote": far} {
			if status, reason := g.ask(bad); status != fault.Status || reason != fault.Reason {
				t.Errorf("%s: %s: status %d, %s, want %d, %s", name, fault.Name, status, reason, fault.Status, fault.Reason)
			}
			if cause := causeOf(fault.Name); cause == "" || g.cause == nil || !strings.Contains(g.cause.Error(), cause) {
				t.Errorf("%s: %s: the guard says %q, want %q", name, fault.Name, g.cause, cause)
			}
		}
		differ := difference(t, public, good, bad)
		if want, attack := attacks[fault.Name]; attack && !slices.Equal(differ, want) || !attack && len(differ) != 1 {
			t.Errorf("%s: differs in %q", fault.Name, differ)
		}
	}
}

func manyMembers() (names []string) {
	for n := range 500 {
		names = append(names, fmt.Sprint("header x", n))
	}
	return names
}

// difference returns in what a token differs from a good one: the names of members of
// its header and claims, "signature" if the key's is not there, or "form" and "payload"
// alone if there are no such members.
func difference(t *testing.T, public *ecdsa.PublicKey, good, bad string) (in []string) {
	t.Helper()
	want, ok := parts(good)
	if !ok {
		t.Fatalf("a good token is %s", good)
	}
	got, ok := parts(bad)
	if !ok {
		return []string{"form"}
	}
	in = append(in, changed(t, "header ", want[0], got[0])...)
	if !json.Valid([]byte(got[1])) || got[1][0] != '{' || strings.ContainsRune(got[1], '\ufffd') || strings.Contains(got[1], "\xff") {
		in = append(in, "payload")
	} else {
		in = append(in, changed(t, "", want[1], got[1])...)
	}
	sum := sha256.Sum256([]byte(bad[:strings.LastIndexByte(bad, '.')]))
	signature := []byte(got[2])
	if len(signature) != 64 || !ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		in = append(in, "signature")
	}
	return in
}

// parts decodes the three parts of a token that is spelled as it should be. A signature
// may be empty here.
func parts(token string) (decoded []string, ok bool) {
	unsigned := strings.HasSuffix(token, ".") && regexp.MustCompile(`(?i)"none"|"XX256"`).MatchString(header0(token))
	if strings.HasSuffix(token, ".") && !unsigned || strings.Contains(token, "\n") {
		return nil, false
	}
	for part := range strings.SplitSeq(token, ".") {
		text, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil {
			return nil, false
		}
		decoded = append(decoded, string(text))
	}
	return decoded, len(decoded) == 3 && len(token) <= 16<<10
}

func header0(token string) string {
	first, _, _ := strings.Cut(token, ".")
	text, _ := base64.RawURLEncoding.DecodeString(first)
	return string(text)
}

// changed returns the names of the members that only one of two objects has, or that
// differ.
func changed(t *testing.T, prefix, a, b string) (names []string) {
	t.Helper()
	one, other := read(t, a), read(t, b)
	for _, m := range slices.Concat(one, other) {
		if name := prefix + m.name; count(one, m) != count(other, m) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func count(all members, m member) (n int) {
	for _, have := range all {
		if have == m {
			n++
		}
	}
	return n
}

// read returns the members of a JSON object, also those that are there twice.
func read(t *testing.T, object string) (m members) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(object))
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		m.add(fmt.Sprint(name), string(value))
	}
	return m
}

// Names are unique, and the package documentation lists each.
func TestFaultNames(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(content), "These are their names:")
	list, _, _ = strings.Cut(list, "//\n// # Bad days")
	list = regexp.MustCompile(`\n// {3}- [a-z ]+:`).ReplaceAllString(list, ";")
	list = regexp.MustCompile(`\s*\n//\s*`).ReplaceAllString(list, " ")
	var listed, names []string
	for name := range strings.SplitSeq(list, ";") {
		if name = strings.TrimSpace(name); name != "" {
			listed = append(listed, name)
		}
	}
	seen := map[string]bool{}
	for _, f := range Faults() {
		if seen[f.Name] || f.Name == "" || !strings.HasSuffix(f.About, ".") {
			t.Errorf("%q, %q", f.Name, f.About)
		}
		seen[f.Name] = true
		names = append(names, f.Name)
	}
	if !slices.Equal(listed, names) {
		t.Errorf("the documentation lists\n%q, the faults are\n%q", listed, names)
	}
}
