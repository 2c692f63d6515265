package service

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks"
)

// Gateway is the settings of example/gateway.
type Gateway struct {
	Issuer   string   // ISSUER; "" for an issuer of its own
	Audience string   // AUDIENCE
	Orders   *url.URL // UPSTREAM_ORDERS; nil for one of its own
	Invoices *url.URL // UPSTREAM_INVOICES; the same
	Policy   string   // POLICY: a path; "" for the built-in policy
	Shadow   string   // SHADOW: a path; "" for none

	JWKSURL string            // JWKS_URL; "" to find it through the issuer's metadata
	Remote  jwks.RemoteConfig // JWKS_COOLDOWN, JWKS_MAX_STALE
}

// LoadGateway reads the settings of example/gateway. The error names every variable that is
// wrong. own is where clients reach the gateway.
func LoadGateway(own string) (Gateway, error) {
	g := Gateway{
		Issuer:  os.Getenv("ISSUER"),
		JWKSURL: os.Getenv("JWKS_URL"),
		Policy:  os.Getenv("POLICY"),
		Shadow:  os.Getenv("SHADOW"),
	}
	g.Audience = env("AUDIENCE", strings.TrimSuffix(env("ISSUER", own), "/")+"/v1")
	var err error
	if g.JWKSURL != "" && g.Issuer == "" {
		err = errors.New("JWKS_URL is set, and ISSUER is not: set ISSUER to the issuer whose keys these are")
	}
	if g.Issuer != "" {
		err = errors.Join(err, plainURL("ISSUER", g.Issuer, "https://auth.example.com"))
	}
	return g, errors.Join(
		err,
		upstream("UPSTREAM_ORDERS", &g.Orders),
		upstream("UPSTREAM_INVOICES", &g.Invoices),
		duration("JWKS_COOLDOWN", &g.Remote.Cooldown),
		duration("JWKS_MAX_STALE", &g.Remote.MaxStale),
		shutdown(new(time.Duration), new(time.Duration)), // Serve wants them later
	)
}

// upstream reads the URL of an upstream.
func upstream(name string, u **url.URL) error {
	value := os.Getenv(name)
	if value == "" {
		return nil
	}
	if err := plainURL(name, value, "http://127.0.0.1:9000"); err != nil {
		return err
	}
	parsed, err := url.Parse(value)
	if err != nil || parsed.RawQuery != "" || parsed.ForceQuery || parsed.Fragment != "" {
		return fmt.Errorf("%s=%q: write a URL without a query and a fragment", name, value)
	}
	*u = parsed
	return nil
}
