package registry

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

func TestGenerateSecret(t *testing.T) {
	form := regexp.MustCompile(`^m2m_[a-z2-7]{16}_[a-z2-7]{52}_[a-z2-7]{7}$`)
	seen := map[string]bool{}
	for range 100 {
		plain, stored := GenerateSecret()
		if !form.MatchString(plain) || len(plain) != secretLen {
			t.Fatalf("%s has not the form %s", plain, form)
		}
		if seen[plain] || seen[stored.ID] {
			t.Fatal("the same secret was generated twice")
		}
		seen[plain], seen[stored.ID] = true, true
		id, ok := SecretID(plain)
		if !ok || id != stored.ID || id != strings.Split(plain, "_")[1] {
			t.Errorf("id %q, stored %q", id, stored.ID)
		}
		if stored.Hash != fastHash(plain) || !stored.matchesFast(plain) || stored.Validate() != nil || !stored.Generated() {
			t.Errorf("%+v does not match the secret", stored)
		}
		if strings.Contains(stored.Hash, plain) || stored.matchesFast(plain+"x") || stored.matchesFast("") {
			t.Errorf("%+v matches other secrets", stored)
		}
	}
}

// The checksum finds a mistyped secret: one character changed, left out or added, or two
// neighbours swapped.
func TestSecretChecksum(t *testing.T) {
	plain, _ := GenerateSecret()
	wrong := func(s string) {
		t.Helper()
		if id, ok := SecretID(s); s != plain && (ok || id != "") {
			t.Errorf("%s has a valid checksum, as %s has", s, plain)
		}
	}
	for n := range len(plain) {
		for c := range 256 {
			wrong(plain[:n] + string([]byte{byte(c)}) + plain[n+1:])
		}
		wrong(plain[:n] + plain[n+1:])
		wrong(plain[:n] + "a" + plain[n:])
		if n > 0 {
			wrong(plain[:n-1] + plain[n:n+1] + plain[n-1:n] + plain[n+1:])
		}
	}
	wrong("")
	wrong(strings.ToUpper(plain))
	wrong(" " + plain)
}

func TestHashSecret(t *testing.T) {
	for _, plain := range []string{"secret456", " ", "a:b%+&=\"\\", strings.Repeat("x", 1024)} {
		s, err := HashSecret(plain)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(s.Hash, "$argon2id$v=19$m=19456,t=2,p=1$") || len(s.ID) != idLen || s.Validate() != nil || s.Generated() {
			t.Errorf("%+v", s)
		}
		if !s.matchesSlow(plain) || s.matchesSlow(plain+"x") || s.matchesSlow("") || s.matchesFast(plain) {
			t.Errorf("the hash of %q must match it alone", plain)
		}
		if again, err := ImportSecret(s.Hash); err != nil || again.Hash != s.Hash {
			t.Errorf("its own hash is refused: %v", err)
		}
	}
	for _, plain := range []string{"", "tab\t", "ä", "\x00", "line\n", strings.Repeat("x", 1025)} {
		if s, err := HashSecret(plain); err == nil || s != (Secret{}) {
			t.Errorf("%q gives %+v, %v", plain, s, err)
		} else if plain != "" && strings.Contains(err.Error(), plain) {
			t.Errorf("the error holds the secret: %v", err)
		}
	}

	// A generated secret keeps its id, and needs no slow hash.
	hashes := slowHashesIn(func() {
		if s, err := HashSecret(appSecret); err != nil || s != appStored {
			t.Errorf("%+v, %v, want %+v", s, err, appStored)
		}
	})
	if hashes != 0 {
		t.Errorf("%d slow hashes for a generated secret", hashes)
	}
}

func TestImportSecret(t *testing.T) {
	const (
		salt = "c29tZXNhbHRzb21l"
		sum  = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI"
		tail = "$" + salt + "$" + sum
		body = "N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy" // of bcrypt
	)
	for _, hash := range []string{
		"$argon2id$v=19$m=19456,t=2,p=1" + tail,
		"$argon2id$v=19$m=8,t=1,p=1" + tail,
		"$argon2id$v=19$m=262144,t=16,p=16" + tail,
		"$2a$10$" + body, "$2b$04$" + body, "$2y$14$" + body,
	} {
		s, err := ImportSecret(hash)
		if err != nil || s.Hash != hash || len(s.ID) != idLen || s.Generated() {
			t.Errorf("%s gives %+v, %v", hash, s, err)
		}
	}
	for name, hash := range map[string]string{
		"empty":                "",
		"a plain secret":       "secret456",
		"a generated secret":   appSecret,
		"sha256":               fastHash("secret456"),
		"sha256 alone":         "sha256:",
		"bare hex":             fastHash("secret456")[len(fastPrefix):],
		"md5-crypt":            "$1$12345678$" + body,
		"sha512-crypt":         "$6$rounds=5000$" + body + body,
		"argon2i":              "$argon2i$v=19$m=19456,t=2,p=1" + tail,
		"argon2d":              "$argon2d$v=19$m=19456,t=2,p=1" + tail,
		"old version":          "$argon2id$v=16$m=19456,t=2,p=1" + tail,
		"no version":           "$argon2id$m=19456,t=2,p=1" + tail,
		"no salt":              "$argon2id$v=19$m=19456,t=2,p=1$$" + sum,
		"no hash":              "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$",
		"short hash":           "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$MTIz",
		"bad base64":           "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$!" + sum,
		"one part more":        "$argon2id$v=19$m=19456,t=2,p=1" + tail + "$",
		"one part less":        "$argon2id$v=19$m=19456,t=2,p=1$" + salt,
		"other order":          "$argon2id$v=19$t=2,m=19456,p=1" + tail,
		"more parameters":      "$argon2id$v=19$m=19456,t=2,p=1,x=1" + tail,
		"memory":               "$argon2id$v=19$m=262145,t=1,p=1" + tail,
		"all memory":           "$argon2id$v=19$m=4294967295,t=1,p=1" + tail,
		"memory over 32 bits":  "$argon2id$v=19$m=4294967297,t=1,p=1" + tail,
		"no memory":            "$argon2id$v=19$m=7,t=1,p=1" + tail,
		"too little for lanes": "$argon2id$v=19$m=15,t=1,p=2" + tail,
		"negative memory":      "$argon2id$v=19$m=-1,t=1,p=1" + tail,
		"passes":               "$argon2id$v=19$m=64,t=17,p=1" + tail,
		"no passes":            "$argon2id$v=19$m=64,t=0,p=1" + tail,
		"lanes":                "$argon2id$v=19$m=262144,t=1,p=17" + tail,
		"no lanes":             "$argon2id$v=19$m=64,t=1,p=0" + tail,
		"more lanes":           "$argon2id$v=19$m=64,t=1,p=257" + tail,
		"bcrypt cost":          "$2b$15$" + body,
		"bcrypt cost 31":       "$2b$31$" + body,
		"bcrypt cost 3":        "$2b$03$" + body,
		"bcrypt cost letter":   "$2b$xx$" + body,
		"bcrypt short":         "$2b$10$" + body[1:],
		"bcrypt long":          "$2b$10$" + body + "x",
		"bcrypt junk":          "$2b$10$" + strings.Repeat(" ", 53),
		"bcrypt $2x$":          "$2x$10$" + body,
		"bcrypt $2$":           "$2$10$" + body + "x",
		"space before":         " $2b$10$" + body,
		"line end":             "$argon2id$v=19$m=19456,t=2,p=1" + tail + "\n",
		"spaced parameter":     "$argon2id$v=19$m= 19456,t=2,p=1" + tail,
	} {
		s, err := ImportSecret(hash)
		if err == nil || s != (Secret{}) {
			t.Errorf("%s: gives %+v, %v", name, s, err)
			continue
		}
		if !strings.HasPrefix(err.Error(), "registry: ") || strings.Contains(err.Error(), body) || strings.Contains(err.Error(), sum) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// bcrypt reads 72 bytes. The rest would not count, so a longer secret never matches
// (hydra#1438).
func TestBcrypt(t *testing.T) {
	long := strings.Repeat("x", 72)
	for plain, matches := range map[string]bool{long: true, "secret456": true} {
		hash, err := bcrypt.GenerateFromPassword([]byte(plain), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ImportSecret(string(hash))
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []string{plain + "x", plain + plain, plain[1:], ""} {
			if s.matchesSlow(other) {
				t.Errorf("%q matches the hash of %q", other, plain)
			}
		}
		if s.matchesSlow(plain) != matches {
			t.Errorf("%q does not match itself", plain)
		}
	}
}

// A secret without a hash, or with a damaged one, matches nothing (go-oauth2), and a store
// refuses it.
func TestDamagedHash(t *testing.T) {
	for _, hash := range []string{
		"", "x", "sha256:", "sha256:00", fastPrefix + strings.Repeat("g", 64), appStored.Hash + "00", strings.ToUpper(appStored.Hash),
		fastPrefix + strings.ToUpper(appStored.Hash[len(fastPrefix):]), "$argon2id$", "$2b$10$", "$argon2id$v=19$m=0,t=0,p=0$$",
	} {
		s := Secret{ID: appStored.ID, Hash: hash}
		c := app()
		c.Secrets = []Secret{s}
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), "registry: Client.Secrets[0].Hash: ") {
			t.Errorf("%q: Validate gives %v", hash, err)
		}
		if _, err := NewMemory(c); err == nil {
			t.Errorf("%q: the memory store accepts it", hash)
		}
	}
	if err := (&Secret{Hash: appStored.Hash}).Validate(); err == nil {
		t.Error("a secret without an ID is accepted")
	}
}

// A client survives being written to JSON, as example keeps its clients.
func TestSecretJSON(t *testing.T) {
	c := app()
	c.Secrets[0].Label = "ci"
	c.Secrets[0].ExpiresAt = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"client_id":"app","secrets":[{"secret_id":"` + appStored.ID + `","hash":"` + appStored.Hash +
		`","label":"ci","expires_at":"2030-01-02T03:04:05Z"}],"scopes":["orders:read","orders:write"],"audiences":["` + ordersAPI + `"]}`
	if string(text) != want {
		t.Errorf("%s, want %s", text, want)
	}
	var back Client
	if err := json.Unmarshal(text, &back); err != nil || back.Secrets[0] != c.Secrets[0] {
		t.Errorf("%+v, %v", back, err)
	}
}

func FuzzSecret(f *testing.F) {
	seeds := []string{appSecret, "", "m2m_", "secret456", appSecret[1:], appSecret + "a", strings.ToUpper(appSecret), strings.Repeat("_", secretLen)}
	for range 4 {
		plain, _ := GenerateSecret()
		seeds = append(seeds, plain)
	}
	seeded(f, seeds, func(s string) { f.Add(s, uint8(len(s)/2), byte('a')) })
	f.Fuzz(func(t *testing.T, secret string, at, changed byte) {
		id, ok := SecretID(secret)
		if !ok {
			if id != "" {
				t.Errorf("%q is refused, and has the id %q", secret, id)
			}
			return
		}
		body := secret[:secretLen-checksumLen]
		if secret != body+checksum(body) || secret[len(secretPrefix):][:idLen] != id {
			t.Errorf("%q is accepted, with the id %q", secret, id)
		}
		if s, err := HashSecret(secret); isVSChar(secret, maxSecret) && (err != nil || s.ID != id || !s.matchesFast(secret) || s.Validate() != nil) {
			t.Errorf("%q: %+v, %v", secret, s, err)
		}
		n := int(at) % len(secret)
		if other := secret[:n] + string([]byte{changed}) + secret[n+1:]; other != secret {
			if _, ok := SecretID(other); ok {
				t.Errorf("%q and %q are both accepted", secret, other)
			}
		}
	})
}

// The checksum is CRC-32 (IEEE), so scanners of repositories can recognise a secret.
func TestChecksum(t *testing.T) {
	for _, s := range append(hard(), "", "a", "123456789", strings.Repeat("x", 100)) {
		want := lowerBase32.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(s))))
		if got := checksum(s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}

// A damaged hash matches nothing, and does not panic.
func TestMatchesDamagedHash(t *testing.T) {
	plain, stored := GenerateSecret()
	for _, hash := range []string{stored.Hash + "00", stored.Hash[:len(stored.Hash)-2], stored.Hash[:len(stored.Hash)-1] + "g", fastPrefix + strings.ToUpper(stored.Hash[len(fastPrefix):]), fastPrefix, ""} {
		if s := (Secret{ID: stored.ID, Hash: hash}); s.Matches(plain) {
			t.Errorf("%q matches", hash)
		}
	}
	if !stored.Matches(plain) || stored.Matches(plain+"x") {
		t.Error("the hash of one secret matches another")
	}
}
