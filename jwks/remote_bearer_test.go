package jwks

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// cluster answers with a key set to requests with its token.
func clusterOf(t *testing.T, token string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(numbered(0)))
	}))
	t.Cleanup(s.Close)
	return s
}

// The file is read for each request, through links as Kubernetes mounts them.
func TestBearerFile(t *testing.T) {
	s := clusterOf(t, "one")
	dir := t.TempDir()
	path, target := filepath.Join(dir, "token"), filepath.Join(dir, "target")
	if err := os.Symlink(target, path); err != nil {
		t.Skip("no links here:", err)
	}
	for _, content := range []string{"one", "one\n", "one\r\n"} {
		if err := os.WriteFile(target, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		r := NewRemote(s.URL, RemoteConfig{BearerFile: path, Quiet: true})
		mustKey(t, r, "k0")
		r.Close()
	}
	for name, content := range map[string]string{"empty": "", "two lines": "one\ntwo\n", "spaces": "on e", "not ASCII": "öne", "another": "secret", "large": strings.Repeat("x", maxBearer+1)} {
		if err := os.WriteFile(target, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		r := NewRemote(s.URL, RemoteConfig{BearerFile: path, Quiet: true})
		err := r.Ready(t.Context())
		if !errors.Is(err, ErrUnavailable) || content != "" && strings.Contains(err.Error(), content) {
			t.Errorf("%s: %v", name, err)
		}
		r.Close()
	}
	if err := os.Remove(target); err != nil {
		t.Fatal(err)
	}
	r := NewRemote(s.URL, RemoteConfig{BearerFile: path, Quiet: true})
	defer r.Close()
	if err := r.Ready(t.Context()); !errors.Is(err, ErrUnavailable) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
}

func TestRemoteRefusesItsFields(t *testing.T) {
	for says, r := range map[string]*Remote{
		"RemoteConfig.BearerFile": NewRemote("http://cluster.example.com", RemoteConfig{BearerFile: "token", InsecureHTTP: true}),
		"plain text":              NewIssuerRemote("http://cluster.example.com", RemoteConfig{BearerFile: "token", InsecureHTTP: true}),
		"RemoteConfig.MaxBytes":   NewRemote(setURL, RemoteConfig{MaxBytes: -1}),
		"8388608":                 NewRemote(setURL, RemoteConfig{MaxBytes: maxSetBytes + 1}),
	} {
		if _, err := r.Key(t.Context(), "k0", ""); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
		r.Close()
	}
}

func TestRemoteMaxBytes(t *testing.T) {
	set := numbered(0)
	for more, want := range map[int]bool{0: true, -1: false} {
		o := originOf(set)
		r := NewRemote(setURL, RemoteConfig{Client: &http.Client{Transport: o}, MaxBytes: len(set) + more, Quiet: true})
		if err := r.Ready(t.Context()); (err == nil) != want {
			t.Errorf("a set of %d bytes with a bound of %d: %v", len(set), len(set)+more, err)
		}
		r.Close()
	}
}

// Keys fetches as Key does, and causes no fetch of its own.
func TestRemoteKeys(t *testing.T) {
	o := originOf(numbered(0, 1))
	r := NewRemote(setURL, RemoteConfig{Client: &http.Client{Transport: o}, Quiet: true})
	for range 5 {
		keys, err := r.Keys(t.Context())
		if err != nil || len(keys) != 2 || keys[0].ID() != "k0" || keys[0] != mustKey(t, r, "k0") {
			t.Fatalf("%v, %v", keys, err)
		}
	}
	o.wantHits(t, 1)
	r.Close()
	for _, r := range []*Remote{r, nil, {}} {
		if keys, err := r.Keys(t.Context()); !errors.Is(err, ErrUnavailable) || keys != nil {
			t.Errorf("%v, %v", keys, err)
		}
	}
}
