// Package service is what the example programs have in common: settings from
// the environment, the orders API, and serving until SIGTERM.
package service

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/echo-m2m/m2m/jwks"
)

// Env is an environment variable, or what it is when not set.
func Env(name, fallback string) string { return cmp.Or(os.Getenv(name), fallback) }

// Listen listens on ADDR and gives the URL under which this machine reaches it.
func Listen(fallback string) (net.Listener, string, error) {
	listener, err := net.Listen("tcp", Env("ADDR", fallback))
	if err != nil {
		return nil, "", fmt.Errorf("ADDR: %w", err)
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return nil, "", fmt.Errorf("listening on %v, which is not TCP", listener.Addr())
	}
	host := address.IP.String()
	if address.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return listener, "http://" + net.JoinHostPort(host, fmt.Sprint(address.Port)), nil
}

// KeyPolicy is the timetable of the issuer's keys, from KEY_ALGORITHM,
// KEY_ROTATE_EVERY, KEY_ANNOUNCE, KEY_RETAIN and KEY_MAX_AGE.
func KeyPolicy() (jwks.Policy, error) {
	p := jwks.Policy{Algorithm: os.Getenv("KEY_ALGORITHM")}
	err := errors.Join(
		duration("KEY_ROTATE_EVERY", &p.RotateEvery),
		duration("KEY_ANNOUNCE", &p.Announce),
		duration("KEY_RETAIN", &p.Retain),
		duration("KEY_MAX_AGE", &p.MaxAge),
	)
	return p, err
}

// Remote is how a resource server fetches keys, from JWKS_COOLDOWN and
// JWKS_MAX_STALE.
func Remote() (jwks.RemoteConfig, error) {
	var c jwks.RemoteConfig
	err := errors.Join(
		duration("JWKS_COOLDOWN", &c.Cooldown),
		duration("JWKS_MAX_STALE", &c.MaxStale),
	)
	return c, err
}

// TokenTTL is the lifetime of tokens, from TOKEN_TTL; 0 for the issuer's own.
func TokenTTL() (ttl time.Duration, err error) {
	err = duration("TOKEN_TTL", &ttl)
	return ttl, err
}

func duration(name string, d *time.Duration) error {
	value := os.Getenv(name)
	if value == "" {
		return nil
	}
	parsed, err := time.ParseDuration(value)
	if err != nil || parsed <= 0 {
		return fmt.Errorf("%s=%q: write a duration such as 90s, 15m or 24h", name, value)
	}
	*d = parsed
	return nil
}
