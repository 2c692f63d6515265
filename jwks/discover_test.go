package jwks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// site is an origin that serves documents by URL and keeps a log.
type site struct {
	origin
	documents map[string]string
	log       []string
}

func siteOf(documents map[string]string) *site {
	s := &site{documents: documents}
	s.handle(func(w http.ResponseWriter, req *http.Request) {
		url := req.URL.String()
		s.log = append(s.log, url)
		body, ok := s.documents[url]
		if !ok {
			http.NotFound(w, req)
			return
		}
		w.Header().Set("ETag", `"1"`) // the same for all: it must not be sent for another document
		if req.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, body)
	})
	return s
}

func metadataOf(issuer, uri string) string {
	return string(sure(json.Marshal(map[string]any{"issuer": issuer, "jwks_uri": uri, "token_endpoint": issuer + "/token"})))
}

func TestNewIssuerRemote(t *testing.T) {
	const keys = "https://keys.example.net/set"
	const oauth, openid = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
	for _, test := range []struct {
		name, issuer string
		documents    map[string]string
		log          []string
		says         string // "" for success
	}{
		{"RFC 8414", "https://auth.example.com", map[string]string{
			"https://auth.example.com" + oauth: metadataOf("https://auth.example.com", keys),
		}, []string{"https://auth.example.com" + oauth, keys}, ""},
		{"RFC 8414 with a path", "https://auth.example.com/tenant/a%20b", map[string]string{
			"https://auth.example.com" + oauth + "/tenant/a%20b": metadataOf("https://auth.example.com/tenant/a%20b", keys),
		}, []string{"https://auth.example.com" + oauth + "/tenant/a%20b", keys}, ""},
		{"RFC 8414 with a slash at the end", "https://auth.example.com/", map[string]string{
			"https://auth.example.com" + oauth: metadataOf("https://auth.example.com/", keys),
		}, []string{"https://auth.example.com" + oauth, keys}, ""},
		{"OpenID Connect", "https://auth.example.com/tenant", map[string]string{
			"https://auth.example.com/tenant" + openid: metadataOf("https://auth.example.com/tenant", keys),
		}, []string{"https://auth.example.com" + oauth + "/tenant", "https://auth.example.com/tenant" + openid, keys}, ""},
		{"a web page for every path", "https://auth.example.com", map[string]string{
			"https://auth.example.com" + oauth:  "<!doctype html>",
			"https://auth.example.com" + openid: metadataOf("https://auth.example.com", keys),
		}, []string{"https://auth.example.com" + oauth, "https://auth.example.com" + openid, keys}, ""},
		{"loopback", "http://localhost:8080", map[string]string{
			"http://localhost:8080" + oauth: metadataOf("http://localhost:8080", "http://localhost:8080/jwks"),
			"http://localhost:8080/jwks":    numbered(0),
		}, []string{"http://localhost:8080" + oauth, "http://localhost:8080/jwks"}, ""},

		{"nothing", "https://auth.example.com", nil, nil, "answered 404"},
		{"another issuer", "https://auth.example.com", map[string]string{
			"https://auth.example.com" + oauth: metadataOf("https://evil.example.com", keys),
		}, nil, `issuer "https://evil.example.com"`},
		{"another issuer by a slash", "https://auth.example.com", map[string]string{
			"https://auth.example.com" + oauth:  metadataOf("https://auth.example.com/", keys),
			"https://auth.example.com" + openid: metadataOf("https://AUTH.example.com", keys),
		}, nil, "not of"},
		{"two issuers", "https://auth.example.com", map[string]string{
			"https://auth.example.com" + oauth: `{"issuer":"https://evil.example.com","issuer":"https://auth.example.com","jwks_uri":"` + keys + `"}`,
		}, nil, "not issuer metadata"},
		{"issuer in another case", "https://auth.example.com", map[string]string{
			"https://auth.example.com" + oauth: `{"Issuer":"https://auth.example.com","jwks_uri":"` + keys + `"}`,
		}, nil, "not of"},
		{"jwks_uri missing", "https://auth.example.com", map[string]string{
			"https://auth.example.com" + oauth: `{"issuer":"https://auth.example.com"}`,
		}, nil, "no jwks_uri"},
		{"jwks_uri not a string", "https://auth.example.com", map[string]string{
			"https://auth.example.com" + oauth: `{"issuer":"https://auth.example.com","jwks_uri":["` + keys + `"]}`,
		}, nil, "no jwks_uri"},
		{"jwks_uri over http", "https://auth.example.com", map[string]string{
			"https://auth.example.com" + oauth: metadataOf("https://auth.example.com", "http://keys.example.net/set"),
		}, nil, "not https"},
		{"jwks_uri on our loopback", "https://auth.example.com", map[string]string{
			"https://auth.example.com" + oauth: metadataOf("https://auth.example.com", "http://127.0.0.1:6379/"),
		}, nil, "not https"},
		{"jwks_uri at a metadata address", "https://auth.example.com", map[string]string{
			"https://auth.example.com" + oauth: metadataOf("https://auth.example.com", "https://169.254.169.254/"),
		}, nil, "no issuer can be at"},
		{"jwks_uri a file", "https://auth.example.com", map[string]string{
			"https://auth.example.com" + oauth: metadataOf("https://auth.example.com", "file:///etc/passwd"),
		}, nil, "not an absolute URL"},
		{"endless", "https://auth.example.com", map[string]string{
			"https://auth.example.com" + oauth: strings.Repeat(" ", 1<<20+1),
		}, nil, "larger than"},

		{"http", "http://auth.example.com", nil, []string{}, "InsecureHTTP"},
		{"query", "https://auth.example.com?a=b", nil, []string{}, "write it without"},
		{"fragment", "https://auth.example.com#", nil, []string{}, "write it without"},
		{"not a URL", "auth.example.com", nil, []string{}, "write https://"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := siteOf(test.documents)
				if s.documents == nil {
					s.documents = map[string]string{}
				}
				s.documents[keys] = numbered(0)
				r := NewIssuerRemote(test.issuer, RemoteConfig{Client: &http.Client{Transport: s}})
				defer r.Close()
				if s.hits.Load() != 0 {
					t.Error("New sent a request")
				}
				_, err := r.Key(t.Context(), "k0", "")
				if test.says == "" && err != nil {
					t.Fatal(err)
				}
				if test.says != "" && (!errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), test.says)) {
					t.Fatalf("%v, want ErrUnavailable that says %q", err, test.says)
				}
				if test.log != nil && !slices.Equal(s.log, test.log) {
					t.Errorf("requests %q, want %q", s.log, test.log)
				}
				if test.says != "" && slices.Contains(s.log, keys) {
					t.Errorf("the keys were fetched: %q", s.log)
				}
			})
		})
	}
	t.Run("InsecureHTTP", func(t *testing.T) {
		s := siteOf(map[string]string{
			"http://auth" + oauth: metadataOf("http://auth", "http://keys/set"),
			"http://keys/set":     numbered(0),
		})
		r := NewIssuerRemote("http://auth", RemoteConfig{Client: &http.Client{Transport: s}, InsecureHTTP: true})
		defer r.Close()
		mustKey(t, r, "k0")
	})
}

func TestDiscoverAgain(t *testing.T) {
	const issuer, oauth = "https://auth.example.com", "https://auth.example.com/.well-known/oauth-authorization-server"
	const first, second = "https://keys.example.net/1", "https://keys.example.net/2"
	synctest.Test(t, func(t *testing.T) {
		s := siteOf(map[string]string{oauth: metadataOf(issuer, first), first: numbered(0), second: numbered(0, 1)})
		r := NewIssuerRemote(issuer, RemoteConfig{Client: &http.Client{Transport: s}})
		defer r.Close()
		key := mustKey(t, r, "k0")
		take := func() string {
			log := strings.NewReplacer(oauth, "M", first, "1", second, "2").Replace(fmt.Sprint(s.log))
			s.log = nil
			return log
		}
		if got := take(); got != "[M 1]" {
			t.Fatal(got)
		}
		// Refreshes use what was found, for a day.
		s.documents[oauth] = metadataOf(issuer, second)
		for range 23 {
			time.Sleep(time.Hour)
			mustKey(t, r, "k0")
			if got := take(); got != "[1]" {
				t.Fatal(got)
			}
		}
		time.Sleep(time.Hour)
		if mustKey(t, r, "k0") != key {
			t.Fatal("another pointer for the same key")
		}
		mustNotWait(t, r, "k1")
		if got := take(); got != "[M 2]" {
			t.Fatal(got)
		}
		// The next attempt reads the metadata again when the set is gone.
		s.documents[oauth] = metadataOf(issuer, first)
		delete(s.documents, second)
		time.Sleep(6 * time.Minute)
		mustKey(t, r, "k1") // stale, after one attempt
		if got := take(); got != "[2]" {
			t.Fatal(got)
		}
		time.Sleep(time.Until(r.Status().NextRefresh))
		mustNotWait(t, r, "k1")
		synctest.Wait()
		mustNotWait(t, r, "k0")
		wantErr(t, r, "k1", ErrUnknownKey)
		if got := take(); got != "[M 1 1]" { // the last one is for the key that the set lacks
			t.Fatal(got)
		}
	})
}
