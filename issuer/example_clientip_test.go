package issuer_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
)

// Behind a proxy: Config.ClientIP returns the address that the proxy has appended to
// X-Forwarded-For. For a request that did not come through the proxy it returns the address of the connection.
// Use it as issuer.Config{ClientIP: behindProxy, …}.
func ExampleConfig_clientIP() {
	proxied := httptest.NewRequest(http.MethodPost, "/token", http.NoBody)
	proxied.RemoteAddr = "10.0.0.5:40000"
	proxied.Header.Set("X-Forwarded-For", "192.0.2.1, 203.0.113.9") // the caller made up the first one
	fmt.Println(behindProxy(proxied))

	direct := httptest.NewRequest(http.MethodPost, "/token", http.NoBody)
	direct.RemoteAddr = "198.51.100.7:40000"
	direct.Header.Set("X-Forwarded-For", "192.0.2.1")
	fmt.Println(behindProxy(direct))
	// Output:
	// 203.0.113.9
	// 198.51.100.7
}

// proxies are the addresses of the proxies in front of this program.
var proxies = netip.MustParsePrefix("10.0.0.0/8")

func behindProxy(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	from, err := netip.ParseAddr(host)
	if err != nil || !proxies.Contains(from.Unmap()) {
		return host
	}
	forwarded := r.Header.Values("X-Forwarded-For")
	if len(forwarded) == 0 {
		return ""
	}
	chain := strings.Split(forwarded[len(forwarded)-1], ",")
	return strings.TrimSpace(chain[len(chain)-1]) // the address that the proxy saw
}
