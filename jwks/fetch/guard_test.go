package fetch

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

func TestCheckURL(t *testing.T) {
	for url, says := range map[string]string{
		"":                                    "write https://",
		"auth.example.com/jwks.json":          "write https://",
		"ftp://auth.example.com/jwks.json":    "write https://",
		"file:///etc/passwd":                  "write https://",
		"https:///jwks.json":                  "write https://",
		"https://auth.example.com/%zz":        "invalid URL escape",
		"http://auth.example.com/jwks.json":   "InsecureHTTP",
		"http://10.0.0.1/":                    "InsecureHTTP",
		"https://me:secret@auth.example.com/": "without them",
		"https://169.254.169.254/":            "no issuer can be at",
		"https://[::ffff:169.254.169.254]/":   "no issuer can be at",
	} {
		if err := NewClient(nil, false).CheckURL(url); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want an error that says %q", url, err, says)
		}
	}
	for _, url := range []string{"https://auth.example.com/", "https://10.0.0.1:8443/a?b=c", "http://localhost:1/", "http://127.0.0.1:1/", "http://[::1]:1/"} {
		if err := NewClient(nil, false).CheckURL(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, host := range []string{ // legacy and other spellings of 169.254.169.254 and 127.0.0.1
		"2852039166", "0xa9fea9fe", "0XA9FEA9FE", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376", "169.254.43518", "169.16689662",
		"169.254.169.254.", "169.254.169.254..", "10.0.0.1.", "127.1", "0", "0x", "256.256.256.256", "1.2.3.4.5", "auth.example.0x7f", "auth.example.1",
		"１６９.254.169.254", "169。254。169。254", "169.254.169.２５４", "169.254.169.254\u00ad", "169.254.169.%EF%BC%92%EF%BC%95%EF%BC%94", "169.254.169.254\uff0e", "②.254", "169.254.169.②",
	} {
		for _, url := range []string{"https://" + host + "/", "http://" + host + ":8080/"} {
			if err := NewClient(nil, true).CheckURL(url); err == nil {
				t.Errorf("%s passes", url)
			}
		}
	}
	for _, host := range []string{"auth.example.com.", "1.example.com", "0x7f.example", "10.0.0.1", "auth1", "1auth", "0xg", "xn--p1ai", "bücher.example", "auth.рф", "auth.example-1", "[::1]", "0xa9fea9fe.nip.example"} {
		if err := NewClient(nil, false).CheckURL("https://" + host + "/"); err != nil {
			t.Error(err)
		}
	}
	if err := NewClient(nil, true).CheckURL("http://auth.example.com/"); err != nil {
		t.Error(err)
	}
}

func TestCheckAddress(t *testing.T) {
	for _, address := range []string{
		"169.254.169.254", "169.254.170.2", "169.254.0.1", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe",
		"fe80::1", "fe80::1%eth0", "febf::1", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
		"100.100.100.200", "::ffff:100.100.100.200", "168.63.129.16", "192.0.0.192", "100.88.222.5", "100.96.0.96",
		"fd00:c1::a9fe:a9fe", "fd00:42::42", "fd00:a9fe:a9fe::1", "fd00:a9fe:a9fe::2", "fd00:100::100:200",
		"fd12:3456::a9fe:a9fe", "fd12:a9fe:a9fe::1", "fd12:3456:0:a9fe:a9fe::", "fd12::6464:64c8", // unique local addresses that spell one
		"fec0::1", "fec0::a9fe:a9fe", "feff::1", // site-local
		"0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0", "255.255.255.255",
		"224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1", "::ffff:224.0.0.1",

		"64:ff9b::a9fe:a9fe", "64:ff9b::6464:64c8", "64:ff9b::e000:1", "64:ff9b::", // NAT64
		"64:ff9b:1::a9fe:a9fe", "64:ff9b:1::e000:1", "64:ff9b:1:7::a9fe:a9fe", // NAT64 by a local prefix of /96
		"64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:0:a9:fea9:fe00:0", // of /48, /56, /64
		"2002:a9fe:a9fe::1", "2002:a9fe:a9fe:7:1:2:3:4", "2002:6464:64c8::", "2002:0:0::1", // 6to4
		"::a9fe:a9fe", "::169.254.169.254", "::6464:64c8", "::e000:1", // IPv4-compatible
		"::ffff:0:a9fe:a9fe", "::ffff:0:169.254.169.254", "::ffff:0:a83f:8110", // IPv4-translated
		"2001:db8::5efe:a9fe:a9fe", "2001:db8::200:5efe:169.254.169.254", "fd00::5efe:a9fe:a9fe", "2001:db8::100:5efe:a9fe:a9fe", // ISATAP
		"2001:0:a9fe:a9fe::1", "2001:0:5db8:d822:8000:63bf:5601:5601", // Teredo: server, client
		"3ffe:831f:a9fe:a9fe::1", "3ffe:831f:5db8:d822:8000:63bf:5601:5601", // before RFC 4380
	} {
		if checkAddress(netip.MustParseAddr(address)) == nil {
			t.Errorf("%s is let through", address)
		}
	}
	if checkAddress(netip.Addr{}) == nil {
		t.Error("no address is let through")
	}
	for _, address := range []string{
		"127.0.0.1", "::1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "fd12:3456::1",
		"::ffff:10.0.0.1", "93.184.216.34", "2606:2800:220:1::1", "168.63.129.17",
		"64:ff9b::5db8:d822", "64:ff9b::a00:1", "64:ff9b:1::5db8:d822", "64:ff9b:1:5db8:d8:2200::", "64:ff9b:1:5d:b8:d822::", "64:ff9b:1:0:5d:b8d8:2200:0",
		"2002:5db8:d822::1", "::ffff:0:5db8:d822", "::5db8:d822", "2001:db8::5efe:5db8:d822", "2001:0:5db8:d822:8000:63bf:a247:27dd", "2001:db8::a9fe:a9fe",
		"3ffe:831f:5db8:d822:8000:63bf:a247:27dd", "fd00::1", "fd00:42::43", "fd12:3456:7890::e000:1", "fd12:3456:0:1::a00:1", "fd00:100::1",
	} {
		if err := checkAddress(netip.MustParseAddr(address)); err != nil {
			t.Error(err)
		}
	}
}

// A proxy reads hosts by rules of its own, so it is not asked for an address in a
// spelling that some read as a refused one.
func TestProxyIsNotAskedForAddresses(t *testing.T) {
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Host)
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	through, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(&http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(through), DisableKeepAlives: true}}, true)
	for _, host := range []string{"169.254.169.254", "2852039166", "0xa9fea9fe", "169.254.43518", "0251.0376.0251.0376", "169.254.169.254.", "１６９.254.169.254", "169。254。169。254", "[fd00:c1::a9fe:a9fe]"} {
		for _, scheme := range []string{"http", "https"} {
			if _, err := c.Get(t.Context(), Request{URL: scheme + "://" + host + "/"}); err == nil {
				t.Errorf("%s: no error", host)
			}
		}
	}
	if len(asked) > 0 {
		t.Errorf("it was asked for %q", asked)
	}
}

// A name that resolves to a good address first, and then to a bad one.
func TestClientChecksTheAddressItDials(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "{}")
	}))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	url := "http://issuer.invalid.:" + port
	for _, bad := range []string{"169.254.169.254", "100.100.100.200", "0.0.0.0", "224.0.0.1"} {
		var address atomic.Value
		address.Store("127.0.0.1")
		dialer := &net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go answerDNS(server, netip.MustParseAddr(address.Load().(string)))
			return client, nil
		}}}
		transport := newTransport(dialer, nil)
		transport.Proxy = nil // whatever the environment of the test is
		c := NewClient(&http.Client{Transport: transport}, true)
		if _, err := c.Get(t.Context(), Request{URL: url}); err != nil {
			t.Fatal(err)
		}
		address.Store(bad)
		if _, err := c.Get(t.Context(), Request{URL: url}); err == nil || !strings.Contains(err.Error(), "no issuer can be at "+bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// answerDNS answers the A questions on a connection with one address, and the
// others with nothing (RFC 1035, section 4).
func answerDNS(conn net.Conn, addr netip.Addr) {
	defer func() { _ = conn.Close() }()
	for {
		var size uint16
		if binary.Read(conn, binary.BigEndian, &size) != nil {
			return
		}
		query := make([]byte, size)
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		end := 12
		for query[end] != 0 {
			end += int(query[end]) + 1
		}
		question := query[12 : end+5]
		answer := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
		if question[len(question)-3] == 1 { // type A
			answer[7] = 1
			answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
			answer = append(answer, addr.AsSlice()...)
		}
		framed := append([]byte{0, byte(len(answer))}, answer...)
		if _, err := conn.Write(framed); err != nil {
			return
		}
	}
}
