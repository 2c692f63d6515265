package issuer

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
	"golang.org/x/crypto/bcrypt"
)

// An unknown id and a wrong secret get the same bytes and headers after the same work, with
// generated and with imported secrets.
func TestUnknownClientLikeWrongSecret(t *testing.T) {
	keyless := app()
	keyless.ID, keyless.Secrets = "keyless", nil
	s := newService(t, Config{ImportedSecrets: true}, app(), chosen(t, "chosen"), keyless)
	other, _ := registry.GenerateSecret()
	forged := withChecksum("m2m_" + appStored.ID + "_" + strings.Repeat("a", 52) + "_") // its id is that of the app's secret

	for name, tt := range map[string]struct {
		id, secret string
		hashes     int
		cause      error
	}{
		"wrong secret":                    {"chosen", "secret457", 1, errWrongSecret},
		"unknown client":                  {"nobody", "secret457", 1, errUnknownClient},
		"secret of another client":        {"nobody", "secret456", 1, errUnknownClient},
		"client with generated one":       {"app", "secret456", 1, errWrongSecret},
		"client without secret":           {"keyless", "secret456", 1, errWrongSecret},
		"generated, wrong":                {"app", other, 0, errWrongSecret},
		"generated, forged":               {"app", forged, 0, errWrongSecret},
		"generated, unknown":              {"nobody", appSecret, 0, errUnknownClient},
		"generated, client with imported": {"chosen", appSecret, 0, errWrongSecret},
		"generated, client without":       {"keyless", appSecret, 0, errWrongSecret},
	} {
		t.Run(name, func(t *testing.T) {
			var inForm, inHeader *httptest.ResponseRecorder
			hashes := s.slowHashesIn(func() {
				inForm = s.post(form("grant_type", "client_credentials", "client_id", tt.id, "client_secret", tt.secret))
			})
			s.wantUnauthorized(t, inForm, tt.cause)
			if e := s.lastEvent(t); e.ClientID != tt.id || !e.Claimed {
				t.Errorf("the event names client %q, claimed: %v", e.ClientID, e.Claimed)
			}
			if hashes != tt.hashes {
				t.Errorf("%d slow hashes, want %d", hashes, tt.hashes)
			}
			fast := s.fastHashesIn(func() {
				inHeader = s.post("grant_type=client_credentials", "Authorization", basic(tt.id, tt.secret))
			})
			if fast+tt.hashes != 1 {
				t.Errorf("%d fast hashes, want one hash of either kind", fast)
			}
			s.wantUnauthorized(t, inHeader, tt.cause)
			if inForm.Body.String() != inHeader.Body.String() {
				t.Error("the answer depends on where the secret was sent")
			}
		})
	}
}

// withChecksum appends the checksum of a generated secret.
func withChecksum(body string) string {
	lower := base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
	return body + lower.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(body))))
}

func TestImportedSecretsOff(t *testing.T) {
	keyless := app()
	keyless.ID, keyless.Secrets = "keyless", nil
	s := newService(t, Config{}, chosen(t, "app"), keyless)
	hashes := s.slowHashesIn(func() {
		for id, cause := range map[string]error{"app": errNotImported, "keyless": errWrongSecret, "nobody": errUnknownClient} {
			s.wantUnauthorized(t, s.post(form("grant_type", "client_credentials", "client_id", id, "client_secret", "secret456")), cause)
		}
	})
	if hashes != 0 {
		t.Errorf("%d slow hashes for secrets that are not taken", hashes)
	}
}

// bcrypt ignores what follows the first 72 bytes. A longer secret never matches
// (hydra#1438), not even while the right one is cached.
func TestBcryptSecret(t *testing.T) {
	for _, plain := range []string{"secret456", strings.Repeat("x", 72)} {
		hash, err := bcrypt.GenerateFromPassword([]byte(plain), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := registry.ImportSecret(string(hash))
		if err != nil {
			t.Fatal(err)
		}
		c := app()
		c.Secrets = []registry.Secret{stored}
		s := newService(t, Config{ImportedSecrets: true}, c)
		for range 2 {
			s.wantToken(t, s.post("grant_type=client_credentials", "Authorization", basic("app", plain)))
			s.wantUnauthorized(t, s.post("grant_type=client_credentials", "Authorization", basic("app", plain+"x")), errWrongSecret)
		}
	}
}

// A stored secret with a missing or damaged hash matches nothing (go-oauth2).
func TestDamagedHash(t *testing.T) {
	for _, hash := range []string{
		"", "x", "sha256:", "sha256:00", "sha256:" + strings.Repeat("g", 64), "sha256:" + strings.ToUpper(strings.TrimPrefix(appStored.Hash, "sha256:")), appStored.Hash + "00", strings.ToUpper(appStored.Hash), "$argon2id$", "$2b$10$", "$argon2id$v=19$m=0,t=0,p=0$$",
	} {
		c := app()
		c.Secrets = []registry.Secret{{ID: appStored.ID, Hash: hash}}
		s := newService(t, Config{ImportedSecrets: true, Store: storeFunc(func(context.Context, string) (*registry.Client, error) { return &c, nil })})
		for _, plain := range []string{appSecret, "x", "", hash, " "} {
			s.wantStatus(t, s.post("grant_type=client_credentials", "Authorization", basic("app", plain)), 401)
		}
	}
}

func FuzzBasic(f *testing.F) {
	type seed struct{ header, id, secret string }
	var seeds []seed
	for _, name := range hard() {
		seeds = append(seeds, seed{basic(name, name), name, "s" + name}, seed{raw(name), "s" + name, name})
	}
	seeds = append(seeds, seed{"Basic", "", ""}, seed{"Bearer x", "\x00", "\xff"}, seed{"", "ä", "%"}, seed{"basic  " + raw(":")[6:] + " ", ":", ":"})
	seeded(f, seeds, func(s seed) { f.Add(s.header, s.id, s.secret) })
	f.Fuzz(func(t *testing.T, header, id, secret string) {
		if gotID, gotSecret, err := readBasic(basic(id, secret)); err != nil || gotID != id || gotSecret != secret {
			t.Errorf("%q and %q are read as %q and %q, %v", id, secret, gotID, gotSecret, err)
		}
		gotID, gotSecret, err := readBasic(header)
		if err != nil {
			if gotID != "" || gotSecret != "" || err.Status != http.StatusUnauthorized {
				t.Errorf("an error and %q, %q", gotID, gotSecret)
			}
			return
		}
		if id, secret, err := readBasic(basic(gotID, gotSecret)); err != nil || id != gotID || secret != gotSecret {
			t.Errorf("%q and %q are read as %q and %q, %v", gotID, gotSecret, id, secret, err)
		}
	})
}
