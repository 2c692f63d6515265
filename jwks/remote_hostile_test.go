package jwks

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Servers that are broken, slow or hostile, over real connections: each costs one fetch
// and no more than the timeout, and a set that is held still serves.
func TestRemoteOfHostileServers(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("a redirect to another host was followed")
		_, _ = io.WriteString(w, numbered(1))
	}))
	t.Cleanup(elsewhere.Close)
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
			w.Header().Set("ETag", strings.Repeat("e", 1<<17))
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
			t.Parallel()
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
			config := RemoteConfig{Timeout: time.Minute}
			if test.says == "deadline exceeded" {
				config.Timeout = 2 * time.Second
			}
			r := NewRemote(server.URL, config)
			defer r.Close()
			_, err := r.Key(t.Context(), "k1", "")
			if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want ErrUnavailable that says %q", err, test.says)
			}
			if got := hits.Load(); got != test.hits {
				t.Errorf("%d requests, want %d", got, test.hits)
			}

			// The same for a Remote that holds a set.
			good.Store(true)
			config.Cooldown = time.Nanosecond
			holds := NewRemote(server.URL, config)
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
