package fetch_test

import (
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

// What an address counts as, in the forms that requests bring.
func TestNetworkOfAnAddress(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1":                            "192.0.2.0/24",
		"192.0.2.255:1234":                     "192.0.2.0/24",
		"0.0.0.0:0":                            "0.0.0.0/24",
		"2001:db8:1:2ff:4::5":                  "2001:db8:1:200::/56",
		"[2001:db8:1:2ff:4::5]:443":            "2001:db8:1:200::/56",
		"2001:db8:1:300::":                     "2001:db8:1:300::/56",
		"::ffff:192.0.2.9":                     "192.0.2.0/24",
		"[::ffff:192.0.2.9]:1":                 "192.0.2.0/24",
		"::ffff:c000:209":                      "192.0.2.0/24",
		"::ffff:192.0.2.9%eth0":                "192.0.2.0/24",
		"fe80::1%eth0":                         "fe80::/56",
		"[fe80::1%eth0]:1":                     "fe80::/56",
		"fe80::2%x y":                          "fe80::/56",
		"::1":                                  "::/56",
		"64:ff9b::192.0.2.9":                   "192.0.2.0/24",
		"[64:ff9b::c000:209]:443":              "192.0.2.0/24",
		"64:ff9b:1::c000:209":                  "192.0.2.0/24",
		"64:ff9b:1:fffe::192.0.2.9":            "192.0.2.0/24",
		"64:ff9b:1:c000:2:900::":               "64:ff9b:1:c000::/56", // its owner decides where the address is
		"64:ff9b:1::":                          "64:ff9b:1::/56",
		"64:ff9b:2::192.0.2.9":                 "64:ff9b:2::/56",
		"::ffff:0:192.0.2.9":                   "192.0.2.0/24",
		"2002:c000:209::1":                     "192.0.2.0/24",
		"2002:c000:209:ff00::1":                "192.0.2.0/24",
		"2001:0:4136:e378:8000:63bf:3fff:fdf6": "192.0.2.0/24", // Teredo: the client is 192.0.2.9, inverted
		"2001:0:4136:e378:8000:1:3fff:fd01":    "192.0.2.0/24",
		"2001:1:4136:e378:8000:63bf:3fff:fdf6": "2001:1:4136:e300::/56",
		"2001:db8::5efe:192.0.2.9":             "2001:db8::/56", // ISATAP: any host can choose it
		"2001:db8::200:5efe:192.0.2.9":         "2001:db8::/56",
		"fe80::5efe:192.0.2.9":                 "fe80::/56",
		"::192.0.2.9":                          "::/56", // compatible, obsolete
		"::":                                   "::/56",
		"[64:ff9b::192.0.2.9%eth0]:1":          "192.0.2.0/24",
		"2003:c000:209:ff00::1":                "2003:c000:209:ff00::/56",
		"":                                     "",
		"@":                                    "",
		"unix":                                 "",
		"192.0.2":                              "",
		"192.0.2.1.1":                          "",
		"192.0.2.01":                           "",
		"192.0.2.1, 192.0.2.2":                 "",
		"localhost:80":                         "",
		"192.0.2.1/24":                         "",
		" 192.0.2.1":                           "",
		"[2001:db8::1]":                        "",
		"192.0.2.1:http":                       "",
		"2001:db8:1:2ff:4::5:1:2:3:4:5":        "",
		"2001:0db8:0001:02ff:0004:0:0:0%1:1":   "2001:db8:1:200::/56",
	} {
		host, ok := fetch.HostOf(address)
		var got string
		if ok {
			got = fetch.NetworkOf(host).String()
		}
		if got != want || ok == (want == "") {
			t.Errorf("%q is of %q (%v), want %q", address, got, ok, want)
		}
	}
}

func TestNetworkOfNothing(t *testing.T) {
	if got := fetch.NetworkOf(netip.Addr{}); got.IsValid() {
		t.Errorf("%v", got)
	}
}

func TestForwarded(t *testing.T) {
	for header, want := range map[string]bool{"X-Forwarded-For": true, "Forwarded": true, "X-Real-IP": true, "Via": false, "True-Client-IP": false} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set(header, "203.0.113.1")
		if got := fetch.Forwarded(r); got != want {
			t.Errorf("%s: %v", header, got)
		}
	}
}
