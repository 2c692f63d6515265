package outbound

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// The error of a request that gets no token says which origin was asked, which are
// allowed, and what to write.
func TestRefusedOriginsSayWhatToWrite(t *testing.T) {
	none := func(c *Config) { c.Resources = nil }
	many := func(c *Config) {
		for i := range 20 {
			c.Origins = append(c.Origins, fmt.Sprintf("https://api%d.example.com", i))
		}
	}
	for name, test := range map[string]struct {
		change func(c *Config)
		of     string // the resource of For
		to     string
		say    []string
	}{
		"nothing is set": {none, "", "https://api.example.com/orders?key=private",
			[]string{`to "https://api.example.com":`, "Config.Origins and Config.Resources are empty", `write Config.Origins: []string{"https://api.example.com"}`}},
		"resources that are no URLs": {func(c *Config) { c.Resources = []string{"urn:orders", "urn:stock"} }, "", testAPI,
			[]string{"Config.Origins is empty", `"urn:orders", "urn:stock"`, `write Config.Origins: []string{"https://api.example.com"}`}},
		"a resource of http": {func(c *Config) { c.Resources = []string{"http://api.example.com"} }, "", testAPI,
			[]string{`no resource of "http://api.example.com"`, `[]string{"https://api.example.com"}`}},
		"another origin than that of a resource": {nil, "", "https://stock.example.com/1",
			[]string{`to "https://stock.example.com"`, `allowed are "https://api.example.com"`, `write Config.Origins: []string{"https://api.example.com", "https://stock.example.com"}`}},
		"another origin than those that are named": {func(c *Config) { c.Origins = []string{"https://a.example.com"} }, "", "https://b.example.com:8443/1",
			[]string{`allowed are "https://a.example.com"`, `add "https://b.example.com:8443" to Config.Origins`}},
		"another origin than For's": {nil, "https://stock.example.com/v1", testAPI, []string{`allowed are "https://stock.example.com"`, `[]string{"https://stock.example.com", "https://api.example.com"}`}},
		"For of a urn":              {nil, "urn:stock", testAPI, []string{`no resource of "urn:stock"`, `[]string{"https://api.example.com"}`}},
		"http instead of https":     {nil, "", "http://api.example.com/", []string{`to "http://api.example.com"`, `allowed are "https://api.example.com"`, "write https in the URL"}},
		"http of a resource, in a cluster": {func(c *Config) { c.Resources = []string{"http://orders.default.svc"} }, "", "http://orders.default.svc/1",
			[]string{`write https in the URL, and write Config.Origins: []string{"https://orders.default.svc"}; or set Config.InsecureHTTP, which lets the network path read tokens`}},
		"http that is no resource": {nil, "", "http://stock.default.svc/1",
			[]string{`or set Config.InsecureHTTP, which lets the network path read tokens, and write Config.Origins: []string{"https://api.example.com", "http://stock.default.svc"}`}},
		"http with a port":           {nil, "", "http://api.example.com:8080/", []string{"write https in the URL, and write Config.Origins", `"https://api.example.com:8080"`}},
		"http that could be allowed": {func(c *Config) { c.InsecureHTTP = true }, "", "http://stock/", []string{`[]string{"https://api.example.com", "http://stock"}`}},
		"loopback":                   {nil, "", "http://localhost:8080/", []string{`[]string{"https://api.example.com", "http://localhost:8080"}`}},
		"another scheme":             {nil, "", "ftp://api.example.com/", []string{`to "ftp://api.example.com`, "write a URL with https"}},
		"no host":                    {nil, "", "https:///orders", []string{"no host"}},
		"a path":                     {nil, "", "/orders", []string{"no host"}},
		"a host that is not ASCII":   {nil, "", "https://\u00fcber.example.com/", []string{"xn--"}},
		"cloud metadata":             {nil, "", "https://169.254.169.254/", []string{"write another host"}},
		"IPv6":                       {nil, "", "https://[2001:db8::1]:8443/", []string{`"https://[2001:db8::1]:8443"`}},
		"many":                       {many, "", testAPI, []string{"https://api4.example.com", "and 15 more", `add "https://api.example.com"`}},
	} {
		s := newSource(t, &server{}, test.change)
		if test.of != "" {
			s = s.For(test.of)
		}
		u, err := url.Parse(test.to)
		if err != nil {
			t.Fatal(err)
		}
		_, sent := s.Transport(&api{}).RoundTrip(&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}})
		_, called := s.PerRPC().GetRequestMetadata(t.Context(), test.to)
		if called == nil && u.Scheme == "https" {
			t.Errorf("%s: gRPC gets a token", name)
		}
		for _, err := range []error{sent, called} {
			if err == nil && u.Scheme != "https" { // gRPC does not tell the scheme
				continue
			}
			for _, say := range test.say {
				if err == nil || !strings.HasPrefix(err.Error(), "outbound: no token is sent") || !strings.Contains(err.Error(), say) {
					t.Errorf("%s: the error is %v, want one with %s", name, err, say)
				}
			}
			if err != nil && (strings.Contains(err.Error(), "private") || len(err.Error()) > 1000) {
				t.Errorf("%s: the error is %v", name, err)
			}
		}
	}
}

// What an error says to write is right: with it the request is sent.
func TestRemediesWork(t *testing.T) {
	for name, test := range map[string]struct {
		change func(c *Config)
		to     string
	}{
		"nothing is set":     {func(c *Config) { c.Resources = nil }, testAPI},
		"a resource":         {nil, "https://stock.example.com"},
		"a port":             {nil, "https://stock.example.com:8443"},
		"loopback":           {nil, "http://[::1]:8080"},
		"http in a cluster":  {nil, "http://stock.default.svc"},
		"http of a resource": {func(c *Config) { c.Resources = []string{"http://orders.default.svc"} }, "http://orders.default.svc"},
	} {
		_, err := newSource(t, &server{}, test.change).Client().Get(test.to)
		if err == nil {
			t.Fatal("it is sent")
		}
		_, advice, insecure := strings.Cut(err.Error(), "or set Config.InsecureHTTP")
		if !insecure {
			advice = err.Error()
		}
		_, list, named := strings.Cut(advice, "write Config.Origins: []string{")
		list, _, _ = strings.Cut(list, "}")
		s := newSource(t, &server{}, func(c *Config) {
			c.InsecureHTTP = insecure
			if test.change != nil {
				test.change(c)
			}
			if !named {
				return
			}
			for one := range strings.SplitSeq(list, ", ") {
				c.Origins = append(c.Origins, strings.Trim(one, `"`))
			}
		})
		for _, to := range append(s.family.config.Resources, test.to) {
			if res, err := (&http.Client{Transport: s.Transport(&api{})}).Get(to); err != nil || res.StatusCode != 200 {
				t.Errorf("%s: %v, %v", name, res, err)
			}
		}
	}
}
