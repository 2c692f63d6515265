package fetch_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

// The token endpoint of an issuer, from its metadata.
func ExampleClient_Metadata() {
	var issuer string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q}`, issuer, issuer+"/token")
	}))
	defer server.Close()
	issuer = server.URL

	metadata, err := fetch.NewClient(nil, false).Metadata(context.Background(), issuer, "token_endpoint")
	if err != nil {
		log.Fatal(err)
	}
	endpoint, err := metadata.Endpoint("token_endpoint")
	fmt.Println(endpoint == issuer+"/token", err)
	// Output: true <nil>
}

// A bounded GET, and the check that the document has not changed since.
func ExampleClient_Get() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Cache-Control", "max-age=300")
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprint(w, `{"keys":[]}`)
	}))
	defer server.Close()
	client := fetch.NewClient(nil, false)
	got, err := client.Get(context.Background(), fetch.Request{URL: server.URL})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(got.Body), got.MaxAge)
	got, err = client.Get(context.Background(), fetch.Request{URL: server.URL, ETag: got.ETag})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(got.Unchanged)
	// Output:
	// {"keys":[]} 5m0s
	// true
}

// An address at which clouds give credentials to any program is refused.
func ExampleClient_CheckURL() {
	err := fetch.NewClient(nil, false).CheckURL("https://[64:ff9b::169.254.169.254]/jwks.json")
	fmt.Println(err)
	// Output: fetch: no issuer can be at 64:ff9b::a9fe:a9fe, which leads to 169.254.169.254 (link-local, site-local, multicast, unspecified and cloud metadata addresses are refused)
}

// All callers of one network share its bounds.
func ExampleNetworkOf() {
	for _, address := range []string{"203.0.113.7:4711", "[2001:db8:1:2ff::9]:443", "64:ff9b::203.0.113.9"} {
		if host, ok := fetch.HostOf(address); ok {
			fmt.Println(fetch.NetworkOf(host))
		}
	}
	// Output:
	// 203.0.113.0/24
	// 2001:db8:1:200::/56
	// 203.0.113.0/24
}
