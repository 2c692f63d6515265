package service

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"strings"
	"testing"
)

func TestKeyEncryptionKeys(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://m2m@db/m2m")
	one, two := strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	for name, tt := range map[string]struct {
		value, says string
		keys        int
	}{
		"not set":   {"", "openssl rand -hex 32", 0},
		"one":       {one, "", 1},
		"two":       {two + "," + one, "", 2},
		"spaces":    {two + ", " + one, "", 2},
		"too short": {"abcd", "number 1 of the list", 0},
		"no hex":    {one + "," + strings.Repeat("xy", 32), "number 2 of the list", 0},
		"a comma":   {one + ",", "number 2 of the list", 0},
		"twice":     {one + "," + one, "twice", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KEY_ENCRYPTION_KEY", tt.value)
			keys, err := KeyEncryptionKeys()
			if len(keys) != tt.keys || (err == nil) != (tt.says == "") {
				t.Fatalf("%d keys, error %v", len(keys), err)
			}
			if err != nil && (!strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "xy")) {
				t.Errorf("the error %q does not say %q, or quotes the key", err, tt.says)
			}
		})
	}
}

// TestLimits reads FAILED_ATTEMPTS and MAX_GRANT_RATE. 0 is no limit.
func TestLimits(t *testing.T) {
	for text, want := range map[string]int{"": 0, "5": 5, "0": -1} {
		t.Setenv("FAILED_ATTEMPTS", text)
		t.Setenv("MAX_GRANT_RATE", text)
		set, err := Load("http://127.0.0.1:8080")
		if err != nil || set.FailedAttempts != want || set.MaxGrantRate != want {
			t.Errorf("%q: %d and %d, %v, want %d", text, set.FailedAttempts, set.MaxGrantRate, err, want)
		}
	}
	for _, name := range []string{"FAILED_ATTEMPTS", "MAX_GRANT_RATE"} {
		for _, text := range []string{"-1", "many", "1.5"} {
			t.Run(name+"="+text, func(t *testing.T) {
				t.Setenv(name, text)
				if _, err := Load("http://127.0.0.1:8080"); err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("error %v", err)
				}
			})
		}
	}
}

// TestKeyEncryptionKeyIsNotDerived plays an attacker with a copy of the database and
// its URL: nothing computed from them opens the signing keys.
func TestKeyEncryptionKeyIsNotDerived(t *testing.T) {
	const url = "postgres://m2m@db/m2m"
	t.Setenv("DATABASE_URL", url)
	t.Setenv("KEY_ENCRYPTION_KEY", "")
	guessed, err := hkdf.Key(sha256.New, []byte(url), nil, "m2m example key-encryption key", 32)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := KeyEncryptionKeys()
	if err == nil || len(keys) > 0 && bytes.Equal(keys[0], guessed) {
		t.Errorf("a copy of the database and its URL are the signing keys: %x, %v", keys, err)
	}
}
