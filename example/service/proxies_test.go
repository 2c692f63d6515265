package service

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestTrustedProxies(t *testing.T) {
	for name, tt := range map[string]struct {
		setting, remote string
		forwarded       []string
		want            string
	}{
		"a proxy":                {"10.0.0.0/8", "10.1.2.3:4711", []string{"203.0.113.7"}, "203.0.113.7"},
		"what a caller wrote":    {"10.0.0.0/8", "10.1.2.3:4711", []string{"8.8.8.8, 203.0.113.7"}, "203.0.113.7"},
		"in two headers":         {"10.0.0.0/8", "10.1.2.3:4711", []string{"8.8.8.8", "203.0.113.7"}, "203.0.113.7"},
		"two proxies":            {"10.0.0.0/8, 192.0.2.7", "192.0.2.7:1", []string{"8.8.8.8, 203.0.113.7, 10.0.0.9"}, "203.0.113.7"},
		"no proxy":               {"10.0.0.0/8", "203.0.113.9:4711", []string{"8.8.8.8"}, "203.0.113.9"},
		"a proxy without header": {"10.0.0.0/8", "10.1.2.3:4711", nil, "10.1.2.3"},
		"no address":             {"10.0.0.0/8", "10.1.2.3:4711", []string{"10.0.0.1, unknown"}, "unknown"},
		"an IPv6 proxy":          {"2001:db8::/32", "[2001:db8::1]:4711", []string{"2001:db9::7"}, "2001:db9::7"},
		"IPv4 in IPv6":           {"10.0.0.0/8", "[::ffff:10.0.0.1]:4711", []string{"203.0.113.7"}, "203.0.113.7"},
		"none":                   {"none", "10.1.2.3:4711", []string{"8.8.8.8"}, "10.1.2.3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TRUSTED_PROXIES", tt.setting)
			var from func(*http.Request) string
			if err := clientIP(&from); err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr, r.Header["X-Forwarded-For"] = tt.remote, tt.forwarded
			if got := from(r); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	for _, wrong := range []string{"ten", "10.0.0.0/8,", "none, 10.0.0.0/8", "10.0.0.0/33"} {
		t.Setenv("TRUSTED_PROXIES", wrong)
		if err := clientIP(new(func(*http.Request) string)); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
	t.Setenv("TRUSTED_PROXIES", "")
	var from func(*http.Request) string
	if err := clientIP(&from); err != nil || from != nil {
		t.Errorf("not set: %v", err)
	}
}
