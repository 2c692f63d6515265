package jwks

import (
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Servers that are broken, slow or hostile, over real connections: each costs
// its requests, one fetch and no more than the timeout, and what was held
// before serves on.
func TestFetchFromHostileServers(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("a redirect to another host was followed")
		_, _ = io.WriteString(w, numbered(1))
	}))
	defer elsewhere.Close()
	endlessly := func(w http.ResponseWriter, out io.Writer, req *http.Request) {
		chunk := strings.Repeat(" ", 1<<16)
		for req.Context().Err() == nil {
			if _, err := io.WriteString(out, chunk); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, to, http.StatusFound) }
	}
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		hits    int64
		says    string
	}{
		{"hang", func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }, 1, "deadline exceeded"},
		{"slow drip", func(w http.ResponseWriter, req *http.Request) {
			for req.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		}, 1, "deadline exceeded"},
		{"endless body", func(w http.ResponseWriter, req *http.Request) { endlessly(w, w, req) }, 1, "larger than"},
		{"gzip bomb", func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			endlessly(w, gzip.NewWriter(w), req)
		}, 1, "larger than"},
		{"endless header", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", strings.Repeat("e", 2*maxHeader))
			_, _ = io.WriteString(w, numbered(1))
		}, 1, "header"},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			_, _ = io.WriteString(w, numbered(1))
		}, 1, "unexpected EOF"},
		{"500 with a set", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, numbered(1))
		}, 1, "answered 500"},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, 1, "answered 204"},
		{"206 with a set", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, numbered(1))
		}, 1, "answered 206"},
		{"200 with HTML", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<!doctype html><title>Sign in</title>")
		}, 1, "not a JWK set"},
		{"no HTTP", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH\r\n")
			_ = conn.Close()
		}, 1, "malformed HTTP"},
		{"redirect to another host", redirect(elsewhere.URL), 1, "another host"},
		{"redirect to a metadata address", redirect("http://169.254.169.254/latest/meta-data/"), 1, "another host"},
		{"redirect to another scheme", redirect("ftp://127.0.0.1/"), 1, "another host"},
		{"redirect to the same host by another scheme", func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Location", "https://"+req.Host+"/")
			w.WriteHeader(http.StatusFound)
		}, 1, "another host"},
		{"redirect to a file", redirect("file:///etc/passwd"), 1, "another host"},
		{"redirect in circles", redirect("/again"), 4, "more than 3 times"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var good atomic.Bool
			var hits atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if good.Load() {
					w.Header().Set("Cache-Control", "max-age=0")
					_, _ = io.WriteString(w, numbered(0))
					return
				}
				hits.Add(1)
				test.handler(w, req)
			}))
			defer server.Close()
			config := RemoteConfig{Timeout: 20 * time.Second}
			if test.says == "deadline exceeded" {
				config.Timeout = 500 * time.Millisecond
			}
			r := NewRemote(server.URL, config)
			defer r.Close()
			start := time.Now()
			_, err := r.Key(t.Context(), "k1")
			if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want ErrUnavailable that says %q", err, test.says)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
			if got := hits.Load(); got != test.hits {
				t.Errorf("%d requests, want %d", got, test.hits)
			}

			// The same to one that holds a set.
			good.Store(true)
			holds := NewRemote(server.URL, RemoteConfig{Timeout: 500 * time.Millisecond, Cooldown: time.Nanosecond})
			defer holds.Close()
			key := mustKey(t, holds, "k0")
			good.Store(false)
			wantErr(t, holds, "k1", ErrUnavailable)
			if mustKey(t, holds, "k0") != key {
				t.Error("another pointer for the same key")
			}
		})
	}
}

func TestFetchFollowsRedirectsOnTheSameHost(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if next, ok := map[string]string{"/": "/1", "/1": "/2", "/2": "/3"}[req.URL.Path]; ok {
			http.Redirect(w, req, next, http.StatusTemporaryRedirect)
			return
		}
		_, _ = io.WriteString(w, numbered(0))
	}))
	defer server.Close()
	r := NewRemote(server.URL+"/", RemoteConfig{})
	defer r.Close()
	mustKey(t, r, "k0")
}

// Of the client given, only the transport counts.
func TestFetchClient(t *testing.T) {
	o := originOf(numbered(0))
	r := NewRemote(setURL, RemoteConfig{Client: &http.Client{Transport: o, Timeout: 1}})
	defer r.Close()
	mustKey(t, r, "k0")
	for _, given := range []*http.Client{nil, {}} {
		if _, ok := newClient(given).Transport.(*http.Transport); !ok {
			t.Error("no transport of its own")
		}
	}
}

func TestCheckAddress(t *testing.T) {
	for _, address := range []string{
		"169.254.169.254", "169.254.170.2", "169.254.0.1", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe",
		"fe80::1", "fe80::1%eth0", "febf::1", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
		"100.100.100.200", "::ffff:100.100.100.200", "168.63.129.16", "192.0.0.192",
		"0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0", "255.255.255.255",
		"224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1", "::ffff:224.0.0.1",
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
	} {
		if err := checkAddress(netip.MustParseAddr(address)); err != nil {
			t.Error(err)
		}
	}
}

// A name that resolves to a good address first, and then to a bad one.
func TestFetchChecksTheAddressItDials(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, numbered(0))
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
		transport := newTransport(dialer)
		transport.Proxy = nil // whatever the environment of the test is
		r := NewRemote(url, RemoteConfig{Client: &http.Client{Transport: transport}, InsecureHTTP: true, Cooldown: time.Nanosecond})
		mustKey(t, r, "k0")
		address.Store(bad)
		_, err := r.Key(t.Context(), "k1")
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "no issuer can be at "+bad) {
			t.Errorf("%s: %v", bad, err)
		}
		_ = r.Close()
	}
}

// answerDNS answers the A questions on a connection with one address, and the
// others with nothing (RFC 1035 §4).
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

func TestRemoteETag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r := remoteOf(t, "", RemoteConfig{})
		etag, full := `"1"`, 0
		o.handle(func(w http.ResponseWriter, req *http.Request) {
			if req.Header.Get("If-None-Match") == etag {
				w.WriteHeader(http.StatusNotModified) // without Cache-Control: what was stated stands
				return
			}
			full++
			w.Header().Set("ETag", etag)
			w.Header().Set("Cache-Control", "max-age=120")
			_, _ = io.WriteString(w, numbered(full-1))
		})
		key := mustKey(t, r, "k0")
		for i := range 5 {
			time.Sleep(120 * time.Second)
			if mustKey(t, r, "k0") != key {
				t.Fatal("another pointer for the same key")
			}
			o.wantHits(t, uint64(i)+2)
			if status := r.Status(); status.ExpiresAt.Sub(status.FetchedAt) != 120*time.Second || time.Since(status.FetchedAt) != 0 {
				t.Fatalf("status %+v", status)
			}
		}
		if full != 1 {
			t.Fatalf("%d full answers", full)
		}
		etag = `"2"`
		time.Sleep(120 * time.Second)
		wantErr(t, r, "k0", ErrUnknownKey)
		mustNotWait(t, r, "k1")
	})
	t.Run("304 to a plain request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, "", RemoteConfig{})
			o.status(http.StatusNotModified, "")
			wantErr(t, r, "k0", ErrUnavailable)
		})
	})
}

func TestRemoteLifetime(t *testing.T) {
	for _, test := range []struct {
		cacheControl, age string
		delay, cooldown   time.Duration
		want              time.Duration
	}{
		{"", "", 0, 0, 5 * time.Minute},
		{"public", "", 0, 0, 5 * time.Minute},
		{"public, max-age=600", "", 0, 0, 10 * time.Minute},
		{"MAX-AGE = 600", "", 0, 0, 5 * time.Minute}, // no space is allowed there: not the directive
		{`Max-Age="600"`, "", 0, 0, 10 * time.Minute},
		{"max-age=600, max-age=900", "", 0, 0, 10 * time.Minute},
		{"s-maxage=900, max-age=600", "", 0, 0, 10 * time.Minute},
		{"max-age=600", "100", 0, 0, 500 * time.Second},
		{"max-age=600", "-100", 0, 0, 600 * time.Second},
		{"max-age=600", "nonsense", 0, 0, 600 * time.Second},
		{"max-age=600", "100", 3 * time.Second, 0, 497 * time.Second},
		{"max-age=600", "100000000000000000000000000000", 0, 0, time.Minute},
		{"max-age=1", "", 0, 0, time.Minute},
		{"max-age=0", "", 0, 0, time.Minute},
		{"max-age=-1", "", 0, 0, time.Minute},
		{"max-age=ten", "", 0, 0, time.Minute},
		{"max-age", "", 0, 0, time.Minute},
		{"no-store", "", 0, 0, time.Minute},
		{"max-age=600, no-cache", "", 0, 0, time.Minute},
		{"max-age=1", "", 0, 5 * time.Second, 10 * time.Second},
		{"max-age=90", "", 0, time.Minute, 2 * time.Minute},
		{"max-age=86401", "", 0, 0, 24 * time.Hour},
		{"max-age=99999999999999999999999999999", "", 0, 0, 24 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, "", RemoteConfig{Cooldown: test.cooldown})
			o.serve(numbered(0), "Cache-Control", test.cacheControl, "Age", test.age)
			o.delay.Store(int64(test.delay))
			mustKey(t, r, "k0")
			status := r.Status()
			if got := status.ExpiresAt.Sub(status.FetchedAt); got != test.want {
				t.Errorf("Cache-Control %q, Age %q: lives %v, want %v", test.cacheControl, test.age, got, test.want)
			}
			ahead := status.NextRefresh.Sub(status.FetchedAt)
			if ahead < test.want*8/10 || ahead > test.want*9/10 {
				t.Errorf("a set that lives %v is refreshed after %v", test.want, ahead)
			}
		})
	}
}

func TestRemoteRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r := remoteOf(t, "", RemoteConfig{})
		o.down.Store(true)
		for i, seconds := range []int{1, 2, 4, 5, 5, 5, 5} { // there is nothing to serve meanwhile
			most := time.Duration(seconds) * time.Second
			wantErr(t, r, "k0", ErrUnavailable)
			o.wantHits(t, uint64(i)+1)
			wait := time.Until(r.Status().NextRefresh)
			if wait <= most/2 || wait > most {
				t.Fatalf("failure %d: next attempt after %v, want up to %v", i+1, wait, most)
			}
			time.Sleep(wait - time.Nanosecond)
			for range 100 {
				wantErr(t, r, "k0", ErrUnavailable)
			}
			o.wantHits(t, uint64(i)+1)
			time.Sleep(time.Nanosecond)
		}
		o.down.Store(false)
		o.serve(numbered(0))
		mustKey(t, r, "k0")

		o.down.Store(true) // after a success the delays start anew
		time.Sleep(5 * time.Minute)
		mustKey(t, r, "k0")
		if wait := time.Until(r.Status().NextRefresh); wait > time.Second {
			t.Fatalf("next attempt after %v", wait)
		}
	})
	delays := map[time.Duration]bool{}
	for range 10 {
		delays[retryDelay(1, longestRetry, nil)] = true
	}
	if len(delays) < 2 {
		t.Error("verifiers that failed together try again together")
	}
	for value, want := range map[string]time.Duration{
		"20": 20 * time.Second, "3600": time.Minute, "99999999999999999999": time.Minute,
		"0": time.Second, "-5": time.Second, "soon": time.Second, "date": 40 * time.Second,
	} {
		t.Run("Retry-After "+value, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, r := remoteOf(t, "", RemoteConfig{})
				if value == "date" {
					value = time.Now().Add(want).UTC().Format(http.TimeFormat)
				}
				o.status(http.StatusServiceUnavailable, "", "Retry-After", value)
				wantErr(t, r, "k0", ErrUnavailable)
				if wait := time.Until(r.Status().NextRefresh); wait > want || wait <= want/2 {
					t.Fatalf("next attempt after %v, want %v", wait, want)
				}
			})
		})
	}
}

func TestRemoteKeysOfAllKinds(t *testing.T) {
	symmetric := map[string]any{"kty": "oct", "kid": "k1", "alg": "HS256", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmU"}
	unknown := map[string]any{"kty": "LATTICE", "kid": "k2"}
	tooMany := make([]any, 10_000)
	for i := range tooMany {
		tooMany[i] = map[string]any{"kty": "LATTICE", "kid": fmt.Sprint(i)}
	}
	mixed := setOf(
		symmetric, unknown, "nonsense", 7, nil,
		jwkOf(0, map[string]any{"kid": "k0"}), // without alg
		jwkOf(3, map[string]any{"kid": "k3", "use": "enc"}),
		jwkOf(4, map[string]any{"kid": "k4", "alg": "HS256"}),
		jwkOf(5, nil), // without kid
	)
	synctest.Test(t, func(t *testing.T) {
		o, r := remoteOf(t, mixed, RemoteConfig{})
		if alg := mustKey(t, r, "k0").Algorithm(); alg != "ES256" {
			t.Errorf("algorithm %s", alg)
		}
		mustKey(t, r, thumbprint(jwkPool()[5]))
		for i := 1; i <= 4; i++ {
			wantErr(t, r, fmt.Sprint("k", i), ErrUnknownKey)
		}
		o.wantHits(t, 2)
		if status := r.Status(); status.Keys != 2 || status.Skipped != 7 {
			t.Errorf("status %+v", status)
		}
	})
	for name, set := range map[string]string{
		"10 000 keys": setOf(tooMany...), "no keys": "{}", "null": `{"keys":null}`, "array": "[]", "empty": "",
		"html": "<!doctype html><title>Sign in</title>", "two documents": numbered(0) + numbered(0),
		"half": numbered(0)[:100], "endless": `{"keys":[` + strings.Repeat(" ", maxDocument) + "]}",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, r := remoteOf(t, set, RemoteConfig{})
				wantErr(t, r, "k0", ErrUnavailable)
				o.wantHits(t, 1)
				if status := r.Status(); status.LastError == nil || status.Failures != 1 {
					t.Errorf("status %+v", status)
				}
			})
		})
	}
}
