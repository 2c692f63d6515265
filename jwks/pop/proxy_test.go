package pop_test

import (
	"net/netip"
	"testing"

	"github.com/echo-m2m/m2m/jwks/pop"
)

func TestIsTrustedProxy(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fe80::1/128")}
	for remote, want := range map[string]bool{
		"10.0.0.5:443": true, "[::ffff:10.0.0.5]:443": true, "[fe80::1%eth0]:443": true,
		"10.0.1.5:443": false, "[fe80::2]:443": false, "10.0.0.5": false, "": false, "10.0.0.5:443, 1.2.3.4:1": false,
		"[::10.0.0.5]:443": false, "[64:ff9b::a00:5]:443": false, "[2002:a00:5::]:443": false,
	} {
		if got := pop.IsTrustedProxy(proxies, remote); got != want {
			t.Errorf("%q: %v, want %v", remote, got, want)
		}
	}
	if pop.IsTrustedProxy(nil, "10.0.0.5:443") {
		t.Error("a proxy is trusted, and none is named")
	}
}
