package tool

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// TestAPIAborted cuts apply off after each of its changes in turn, as a kill does. The
// client that it leaves has secrets of the file only, with their labels and expiries. A
// second run adds the rest.
func TestAPIAborted(t *testing.T) {
	t.Parallel()
	secrets := map[string]registry.Secret{}
	c := registry.Client{ID: "a", Audiences: []string{apiURL}}
	for n := range 3 {
		_, secret := registry.GenerateSecret()
		secret.Label, secret.ExpiresAt = fmt.Sprint("label ", n), time.Now().Add(time.Hour).Truncate(time.Second).UTC()
		secrets[secret.ID] = secret
		c.Secrets = append(c.Secrets, secret)
	}
	exported := newBench(t, c).do("export", "-hashes")
	finished := false
	for changes := 0; !finished; changes++ {
		if changes > 10 {
			t.Fatal("apply does not finish")
		}
		b := newAPIBench(t)
		file, direct := b.file("clients.json", exported), b.env["ADMIN_URL"]
		b.env["ADMIN_URL"] = abortingProxy(t, direct, changes)
		status, _, _ := b.run("apply", file)
		finished = status == Done
		listed, err := b.clients.List(t.Context(), registry.Query{Search: "a"})
		if err != nil {
			t.Fatal(err)
		}
		left := 0
		for _, client := range listed {
			if client.ID == c.ID {
				left = len(client.Secrets)
				checkSecrets(t, client.Secrets, secrets)
			}
		}
		if want := min(changes, len(secrets)); left != want {
			t.Errorf("after %d changes the client has %d secrets, want %d", changes, left, want)
		}
		b.env["ADMIN_URL"] = direct
		b.do("apply", file)
		if got := b.client("a").Secrets; len(got) != len(secrets) {
			t.Errorf("cut off after %d changes, then run again: %d secrets, want %d", changes, len(got), len(secrets))
		} else {
			checkSecrets(t, got, secrets)
		}
	}
}

// checkSecrets wants each secret to be one of the file.
func checkSecrets(t *testing.T, got []registry.Secret, file map[string]registry.Secret) {
	t.Helper()
	for _, s := range got {
		if want, ok := file[s.ID]; !ok || s.Hash != want.Hash || s.Label != want.Label || !s.ExpiresAt.Equal(want.ExpiresAt) {
			t.Errorf("the client has the secret %+v, want one of the file", s)
		}
	}
}

// abortingProxy passes requests on to an admin API. It drops the connection of every
// request for a change after the first changes.
func abortingProxy(t *testing.T, to string, changes int) string {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			if changes--; changes < 0 {
				panic(http.ErrAbortHandler)
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}
