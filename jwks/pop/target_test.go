package pop

import (
	"net/url"
	"os"
	"strings"
	"testing"
)

// These spellings name the same resource.
func TestSameTarget(t *testing.T) {
	for _, c := range []struct{ htu, request string }{
		{"https://api.example.com/v1/orders", "https://api.example.com/v1/orders"},
		{"https://api.example.com/v1/orders?a=1", "https://api.example.com/v1/orders"},
		{"https://api.example.com/v1/orders#a", "https://api.example.com/v1/orders?b"},
		{"https://api.example.com", "https://api.example.com/"},
		{"https://api.example.com?a", "https://api.example.com/#b"},
		{"HTTPS://API.Example.COM/v1", "https://api.example.com/v1"},
		{"https://api.example.com:443/v1", "https://api.example.com/v1"},
		{"https://api.example.com/v1", "https://api.example.com:443/v1"},
		{"https://api.example.com:/v1", "https://api.example.com/v1"},
		{"http://api.example.com:80/v1", "http://api.example.com/v1"},
		{"http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"},
		{"https://[::1]:8443/v1", "https://[0:0:0:0:0:0:0:1]:8443/v1"},
		{"https://[2001:DB8::1]/", "https://[2001:db8::1]:443/"},
		{"https://xn--bcher-kva.example/", "https://XN--BCHER-KVA.example/"},
		{"https://a.example/%7euser", "https://a.example/~user"},
		{"https://a.example/%41%2d", "https://a.example/A-"},
		{"https://a.example/a%2fb", "https://a.example/a%2Fb"},
		{"https://a.example/a/./b/../c", "https://a.example/a/c"},
		{"https://a.example/a/%2e%2E/c", "https://a.example/c"},
		{"https://a.example/..", "https://a.example/"},
		{"https://a.example/a/..", "https://a.example/"},
		{"https://a.example/a/.", "https://a.example/a/"},
		{"https://a.example/a|b^c[d]", "https://a.example/a%7Cb%5Ec%5Bd%5D"}, // which the URL class of browsers leaves
		{"https://a.example/ü", "https://a.example/%C3%BC"},
		{"https://a.example/a;b,c@d:e=f&g!h", "https://a.example/a;b,c@d:e=f&g!h"},
	} {
		if !sameTarget(c.htu, c.request) || !sameTarget(c.request, c.htu) {
			t.Errorf("%s is not %s", c.htu, c.request)
		}
	}
}

// These name another resource, or nothing.
func TestOtherTarget(t *testing.T) {
	const request = "https://api.example.com/v1/orders"
	for _, htu := range []string{
		"", "/", "/v1/orders", "api.example.com/v1/orders", "//api.example.com/v1/orders", "https:/api.example.com/v1/orders", "https:///v1/orders", "https://", "://api.example.com/v1/orders",
		"http://api.example.com/v1/orders", "http://api.example.com:443/v1/orders", "ftp://api.example.com/v1/orders", "https:// api.example.com/v1/orders", " " + request, request + " ", request + "\n",
		"https://api.example.com:80/v1/orders", "https://api.example.com:8443/v1/orders", "https://api.example.com:0443/v1/orders", "https://api.example.com:443:443/v1/orders", "https://api.example.com:x/v1/orders", "https://api.example.com:4430000/v1/orders",
		"https://api.example.com./v1/orders", "https://xapi.example.com/v1/orders", "https://example.com/v1/orders", "https://api.example.com.attacker.example/v1/orders",
		"https://api.example.com@attacker.example/v1/orders", "https://user@api.example.com/v1/orders", "https://user:password@api.example.com/v1/orders", "https://@api.example.com/v1/orders",
		`https://attacker.example\@api.example.com/v1/orders`, `https://api.example.com\v1\orders`, `https://api.example.com/v1\orders`, "https://api.example.com%2Fv1/orders", "https://%61pi.example.com/v1/orders",
		"https://ａpi.example.com/v1/orders", "https://api。example.com/v1/orders", "https://api.example.com/V1/orders", "https://api.example.com/v1/orders/", "https://api.example.com//v1/orders", "https://api.example.com/v1%2Forders",
		"https://api.example.com/v1/orders%00", "https://api.example.com/v1/orders%", "https://api.example.com/v1/orders%2", "https://api.example.com/v1/orders%zz", "https://api.example.com/v1/order%u0073", "https://api.example.com/v1/orders\x00",
		"https://api.example.com/v1/orders/../../..", "https://api.example.com/v1/orders/x/..", "https://api.example.com/v1/orders;a", "https://api.example.com/v1/%2573", "https://[api.example.com]/v1/orders", "https://[::1/v1/orders", "https://[fe80::1%25eth0]/v1/orders", "https://[::1]x/v1/orders", "https://[127.0.0.1]/v1/orders",
	} {
		if sameTarget(htu, request) {
			t.Errorf("%q is %s", htu, request)
		}
	}
	// A request URL that makes no sense matches nothing, not even itself.
	for _, broken := range []string{"", "/v1/orders", "api.example.com/v1", "https://ü.example/", "https://a.example/ "} {
		if sameTarget(broken, broken) {
			t.Errorf("%q is a target", broken)
		}
	}
}

// FuzzTarget: a normalised URL is a URL of the same host, in ASCII, and stays as it is.
func FuzzTarget(f *testing.F) {
	seeded(f, "FuzzTarget")
	for _, seed := range []string{"https://api.example.com/v1/orders", "HTTP://[::1]:80/%7e/../ü?a#b", "https://a:443", "https://a/%2e%2e/./b//c", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, ok := normalize(raw)
		if !ok {
			if got != "" {
				t.Errorf("refused, and %q", got)
			}
			return
		}
		if again, ok := normalize(got); !ok || again != got {
			t.Errorf("%q becomes %q, then %q", raw, got, again)
		}
		parsed, err := url.Parse(got)
		if err != nil || parsed.Host == "" || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" || !strings.HasPrefix(parsed.Path, "/") {
			t.Fatalf("%q becomes %q: %+v, %v", raw, got, parsed, err)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r > '~' }) || strings.Contains(got, "/../") {
			t.Errorf("%q becomes %q", raw, got)
		}
		if theirs, err := url.Parse(raw); err == nil && !strings.EqualFold(theirs.Hostname(), parsed.Hostname()) && !strings.Contains(theirs.Host, "[") {
			t.Errorf("%q has the host %q, and for others %q", raw, parsed.Hostname(), theirs.Hostname())
		}
		if !sameTarget(raw, got) || sameTarget(raw, got+"x") {
			t.Errorf("%q and %q", raw, got)
		}
	})
}

// seeded fails a fuzz target whose stored corpus has been lost.
func seeded(f *testing.F, name string) {
	f.Helper()
	if entries, err := os.ReadDir("testdata/fuzz/" + name); err != nil || len(entries) == 0 {
		f.Fatalf("the seed corpus is empty: %v", err)
	}
}
