//go:build rehearsal

package issuer

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// A flood of made-up ids, several times as many as are counted, takes bounded memory. No
// client is refused because of it. It evicts no count of a client, nor of an unknown id with
// failed attempts: otherwise the answers would show which of the two an id is.
func TestLockoutFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no attempt becomes available while it runs
		const flood = 8 * maxBuckets
		s := newService(t, Config{ImportedSecrets: true, FailedAttempts: 5, Observe: func(context.Context, Event) {}}, chosen(t, "app"), chosen(t, "other"))
		for range 6 {
			s.from(address(1), "app", "wrong")
			s.from(address(2), "nobody", "wrong")
		}
		generated, _ := registry.GenerateSecret()
		try := func(n int, address string) {
			c := secretCredential{s.issuer.secrets, "made-up " + strconv.Itoa(n), generated, registry.ClientSecretBasic, address}
			if _, err := c.verify(t.Context()); err == nil {
				t.Fatal("let in")
			}
		}
		for n := range flood / 2 {
			try(n, "203.0.113.1:1")
		}
		for _, id := range []string{"app", "nobody"} {
			if got := s.from(address(3), id, "wrong").Code; got != 429 {
				t.Errorf("the count of %s is evicted in a flood from one network: status %d", id, got)
			}
		}
		for n := range flood / 2 { // and from many
			try(n, address(10+n))
		}
		if got := s.from(address(4), "app", "wrong").Code; got != 429 {
			t.Errorf("the count of a client is evicted in a flood: status %d", got)
		}
		if got := s.from(address(5), "other", "secret456").Code; got != 200 {
			t.Errorf("a client is refused in a flood: status %d", got)
		}
		l := s.issuer.secrets.lockout
		for name, n := range map[string]int{"clients": l.clients.clients.all.len(), "unknown": l.unknown.clients.all.len(), "turns": l.unknown.given.len(), "networks": l.networks.all.len(), "queries": l.queries.all.len()} {
			if n > maxBuckets {
				t.Errorf("%d %s are kept", n, name)
			}
		}
		if n := l.clients.clients.all.len(); n != 1 {
			t.Errorf("%d clients are kept, want the one that failed", n)
		}
	})
}

// A flood of unknown ids takes bounded memory and evicts no client.
func TestClientCacheFlood(t *testing.T) {
	const floods = 4 * maxCached
	mine, reads := app(), 0
	r := newCache(t, storeFunc(func(_ context.Context, id string) (*registry.Client, error) {
		if id == "app" {
			reads++
			return &mine, nil
		}
		return nil, registry.ErrNotFound
	}))
	begun := time.Now()
	for n := range floods {
		if n%1000 == 0 {
			if c, err := r.client(t.Context(), "app", address(1)); err != nil || c.client != &mine {
				t.Fatal(c, err)
			}
		}
		if c, err := r.client(t.Context(), strconv.Itoa(n), address(1)); c.client != nil || err != nil {
			t.Fatal(c, err)
		}
	}
	if most := 1 + int(time.Since(begun)/clientFresh); reads > most {
		t.Errorf("%d reads of a warm client, want %d", reads, most)
	}
	if n := r.unknown.len(); n > maxUnknown || n < 1000 {
		t.Errorf("%d ids are cached", n)
	}
	if n := r.clients.len(); n != 1 {
		t.Errorf("%d clients are cached", n)
	}
}

// While the store is away, each of 120 000 recently active clients is found.
func TestLookupManyClients(t *testing.T) {
	const clients = 120_000
	synctest.Test(t, func(t *testing.T) {
		away := false
		c := newCache(t, storeFunc(func(_ context.Context, id string) (*registry.Client, error) {
			if away {
				return nil, errDown
			}
			return &registry.Client{ID: id}, nil
		}))
		for n := range clients {
			if _, err := c.client(t.Context(), strconv.Itoa(n), address(n)); err != nil {
				t.Fatal(err)
			}
		}
		away = true
		time.Sleep(clientFresh)
		refused := 0
		for n := range clients {
			if got, err := c.client(t.Context(), strconv.Itoa(n), address(n)); err != nil || got.client == nil {
				refused++
			}
		}
		if refused > 0 {
			t.Errorf("%d of %d clients are refused", refused, clients)
		}
	})
}

// A flood of unknown ids, more than are counted, evicts no count in use. So the status does
// not show which ids are clients.
func TestGuessFloodEvictsNoCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, Config{}) // without ImportedSecrets, attempts are counted but not compared
		try := func(id string) int {
			c := secretCredential{s.issuer.secrets, id, "wrong", registry.ClientSecretBasic, ""}
			_, err := c.verify(t.Context())
			return err.Status
		}
		probe := func(id string) (tried int) {
			for range 40 {
				if try(id) == 401 {
					tried++
				}
			}
			return tried
		}
		for _, id := range []string{"app", "nobody"} {
			if got := probe(id); got != 30 {
				t.Errorf("%s: %d attempts", id, got)
			}
		}
		for n := range maxBuckets * 5 / 4 {
			try("flood" + strconv.Itoa(n))
		}
		time.Sleep(2 * attemptEvery)
		if known, unknown := probe("app"), probe("nobody"); known != unknown {
			t.Errorf("after a flood %d attempts at a client, %d at an unknown id", known, unknown)
		}
	})
}
