package issuer

import (
	"context"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// bcrypt reads 72 bytes of a secret, so a client with a longer one never gets a
// token (hydra#1438).
func TestBcryptSecret(t *testing.T) {
	for _, plain := range []string{strings.Repeat("x", 72), "secret456"} {
		hash, err := bcrypt.GenerateFromPassword([]byte(plain), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		imported, err := registry.ImportSecret(string(hash))
		if err != nil {
			t.Fatal(err)
		}
		c := app()
		c.Secrets = []registry.Secret{imported}
		s := newService(t, Config{ImportedSecrets: true}, c)
		for range 2 { // not when cached either
			s.wantToken(t, s.post("grant_type=client_credentials", "Authorization", basic("app", plain)))
			s.wantUnauthorized(t, s.post("grant_type=client_credentials", "Authorization", basic("app", plain+"x")), errWrongSecret)
		}
	}
}

// A secret without a hash, or with a damaged one, accepts nothing (go-oauth2), if
// a store did not refuse it.
func TestDamagedHashAcceptsNothing(t *testing.T) {
	hex := strings.TrimPrefix(appStored.Hash, "sha256:")
	for _, hash := range []string{
		"", "x", "sha256:", "sha256:00", "sha256:" + strings.Repeat("g", 64), appStored.Hash + "00", strings.ToUpper(appStored.Hash),
		"sha256:" + strings.ToUpper(hex), "$argon2id$", "$2b$10$", "$argon2id$v=19$m=0,t=0,p=0$$",
	} {
		c := app()
		c.Secrets = []registry.Secret{{ID: appStored.ID, Hash: hash}}
		s := newService(t, Config{ImportedSecrets: true, Store: storeFunc(func(context.Context, string) (*registry.Client, error) { return &c, nil })})
		for _, plain := range []string{appSecret, "x", "", hash, " "} {
			s.wantStatus(t, s.post("grant_type=client_credentials", "Authorization", basic("app", plain)), 401)
		}
	}
}

// For the race detector: clients are replaced while tokens are granted.
func TestPutWhileGranting(t *testing.T) {
	m := newStore(t, app())
	s := newService(t, Config{Store: m})
	var both sync.WaitGroup
	both.Go(func() {
		for range 100 {
			if err := m.Put(app()); err != nil {
				t.Error(err)
			}
		}
	})
	both.Go(func() {
		for range 100 {
			s.wantStatus(t, s.post(appForm), 200)
			if err := s.issuer.Sync(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	both.Wait()
}

// What the app keeps with a client is there when it adds claims.
func TestMetadataInGrant(t *testing.T) {
	c := app()
	c.Metadata = map[string]string{"tenant": "t1"}
	s := newService(t, Config{Claims: func(_ context.Context, g Grant) (map[string]any, error) {
		return map[string]any{"tenant": g.Client.Metadata["tenant"]}, nil
	}}, c)
	if g := s.wantToken(t, s.post(appForm)); !strings.Contains(g.payload, `"tenant":"t1"`) {
		t.Errorf("%s", g.payload)
	}
}
