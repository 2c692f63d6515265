// Package service is what the example programs have in common beside the library:
// settings from the environment, and serving until SIGTERM. It links no web
// framework.
package service

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// Settings are the environment variables of .github/docs/settings.md.
type Settings struct {
	Issuer   string // ISSUER
	Audience string // AUDIENCE

	DataDir     string // DATA_DIR
	DatabaseURL string // DATABASE_URL; "" for files in DataDir
	Name        string // ISSUER_NAME; which of the issuers in the database this is
	NoMigrate   bool   // NO_MIGRATE; an older schema is refused instead of migrated

	Policy         jwks.Policy   // KEY_ALGORITHM, KEY_ROTATE_EVERY, KEY_ANNOUNCE, KEY_RETAIN, KEY_MAX_AGE
	TokenTTL       time.Duration // TOKEN_TTL; 0 for the issuer's default
	FailedAttempts int           // FAILED_ATTEMPTS; 0 for the issuer's default, negative for no limit
	MaxGrantRate   int           // MAX_GRANT_RATE; the same

	ClientIP func(*http.Request) string // TRUSTED_PROXIES; nil when it is not set

	DPoP pop.Config // DPOP_NONCES, DPOP_NONCE_SECRET

	TLSAddr            string         // TLS_ADDR; "" for no listener with TLS
	TLSOrigin          string         // TLS_URL, or that of the listener; set by ListenTLS
	ClientCAs          *x509.CertPool // TLS_CLIENT_CA; set by ListenTLS
	CertificateProxies []netip.Prefix // TRUSTED_PROXY: whose Client-Cert header counts
	certificate        tls.Certificate

	Observe func(context.Context, event.Event) // the log; no variable sets it

	JWKSURL string            // JWKS_URL; "" to find it through the issuer's metadata
	Remote  jwks.RemoteConfig // JWKS_COOLDOWN, JWKS_MAX_STALE

	IntrospectionURL    string        // INTROSPECTION_URL; "" for no introspection
	IntrospectionID     string        // INTROSPECTION_ID: the API's own client at the issuer
	IntrospectionSecret string        // INTROSPECTION_SECRET
	IntrospectionCache  time.Duration // INTROSPECTION_CACHE; 0 for the default
}

// Load reads the settings. The error names every variable that is wrong. issuer
// is the default of ISSUER.
func Load(issuer string) (Settings, error) {
	s := Settings{
		Observe:     Observe,
		Issuer:      env("ISSUER", issuer),
		DataDir:     env("DATA_DIR", "data"),
		DatabaseURL: os.Getenv("DATABASE_URL"),
		Name:        os.Getenv("ISSUER_NAME"),
		JWKSURL:     os.Getenv("JWKS_URL"),
		TLSAddr:     os.Getenv("TLS_ADDR"),

		IntrospectionURL:    os.Getenv("INTROSPECTION_URL"),
		IntrospectionID:     os.Getenv("INTROSPECTION_ID"),
		IntrospectionSecret: os.Getenv("INTROSPECTION_SECRET"),
	}
	s.Audience = env("AUDIENCE", strings.TrimSuffix(s.Issuer, "/")+"/v1")
	s.Policy.Algorithm, s.Policy.Observe = os.Getenv("KEY_ALGORITHM"), Observe
	err := errors.Join(
		duration("KEY_ROTATE_EVERY", &s.Policy.RotateEvery),
		duration("KEY_ANNOUNCE", &s.Policy.Announce),
		duration("KEY_RETAIN", &s.Policy.Retain),
		duration("KEY_MAX_AGE", &s.Policy.MaxAge),
		duration("TOKEN_TTL", &s.TokenTTL),
		limit("FAILED_ATTEMPTS", &s.FailedAttempts),
		limit("MAX_GRANT_RATE", &s.MaxGrantRate),
		clientIP(&s.ClientIP),
		dpop(&s.DPoP),
		addresses("TRUSTED_PROXY", &s.CertificateProxies),
		flag("NO_MIGRATE", &s.NoMigrate),
		duration("JWKS_COOLDOWN", &s.Remote.Cooldown),
		duration("JWKS_MAX_STALE", &s.Remote.MaxStale),
		duration("INTROSPECTION_CACHE", &s.IntrospectionCache),
		shutdown(new(time.Duration), new(time.Duration)), // Serve wants them later
	)
	return s, errors.Join(err, s.checkTLS())
}

// LoadToCheck is Load for -doctor. It writes to out which settings are wrong. Observe of
// the result logs nothing.
func LoadToCheck(out io.Writer, issuer string) (Settings, bool) {
	s, err := Load(issuer)
	if err == nil {
		err = readTLS(&s)
	}
	if err != nil {
		fmt.Fprintf(out, "Nothing was checked, as the settings cannot be read:\n%v\n", err)
		return s, false
	}
	s.Observe = func(context.Context, event.Event) {}
	return s, true
}

// shutdown reads SHUTDOWN_DELAY and SHUTDOWN_TIMEOUT.
func shutdown(delay, timeout *time.Duration) error {
	return errors.Join(durationOrZero("SHUTDOWN_DELAY", delay), duration("SHUTDOWN_TIMEOUT", timeout))
}

func env(name, fallback string) string { return cmp.Or(os.Getenv(name), fallback) }

func duration(name string, d *time.Duration) error {
	err := durationOrZero(name, d)
	if err == nil && os.Getenv(name) != "" && *d == 0 {
		err = fmt.Errorf("%s=%q: write a duration above zero, such as 90s, 15m or 24h", name, os.Getenv(name))
	}
	return err
}

func durationOrZero(name string, d *time.Duration) error {
	value := os.Getenv(name)
	if value == "" {
		return nil
	}
	parsed, err := time.ParseDuration(value)
	if err != nil || parsed < 0 {
		return fmt.Errorf("%s=%q: write a duration such as 90s, 15m or 24h", name, value)
	}
	*d = parsed
	return nil
}

func flag(name string, on *bool) (err error) {
	if text := os.Getenv(name); text != "" {
		if *on, err = strconv.ParseBool(text); err != nil {
			return fmt.Errorf("%s=%q: write 1 or 0", name, text)
		}
	}
	return nil
}

// limit reads a number; 0 is no limit, which the fields have as a negative one.
func limit(name string, n *int) error {
	text := os.Getenv(name)
	if text == "" {
		return nil
	}
	parsed, err := strconv.Atoi(text)
	if err != nil || parsed < 0 {
		return fmt.Errorf("%s=%q: write a number, 0 for no limit", name, text)
	}
	if parsed == 0 {
		parsed = -1
	}
	*n = parsed
	return nil
}

// KeyEncryptionKeys reads KEY_ENCRYPTION_KEY: the keys that seal the signing keys
// in the database, so that a copy of the database cannot sign. It is a list
// separated by commas, of which the first seals and each opens; replicas need the
// same one. The keys are never derived from anything else, least of all from
// DATABASE_URL, which an attacker with a copy of the database knows or can guess.
func KeyEncryptionKeys() ([][]byte, error) {
	text := os.Getenv("KEY_ENCRYPTION_KEY")
	if text == "" {
		return nil, errors.New("KEY_ENCRYPTION_KEY is not set, and DATABASE_URL is: make a key once with `openssl rand -hex 32`, keep it elsewhere than the database, and give it to every replica")
	}
	var keys [][]byte
	for i, digits := range strings.Split(text, ",") {
		key, err := hex.DecodeString(strings.TrimSpace(digits))
		if err != nil || len(key) != 32 { // the cause would quote digits of a key
			return nil, fmt.Errorf("KEY_ENCRYPTION_KEY: number %d of the list is no key: write 64 hex digits, such as `openssl rand -hex 32` prints, and commas between keys", i+1)
		}
		if slices.ContainsFunc(keys, func(other []byte) bool { return bytes.Equal(other, key) }) {
			return nil, fmt.Errorf("KEY_ENCRYPTION_KEY: number %d of the list is there twice: remove one", i+1)
		}
		keys = append(keys, key)
	}
	return keys, nil
}
