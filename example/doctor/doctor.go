// Package doctor checks the configuration of an issuer, an API, or both, before
// callers find what is wrong. [Check] is the only entry point. Each program of example
// calls it for the flag -doctor.
//
// It serves nothing and changes nothing. It reads the store of clients and that of
// keys, fetches the issuer's published documents as a verifier does, and calls the
// routes of the app on a key and a store of its own, in memory.
package doctor

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
)

// Setup says what to check. Issuer is required. What is left out is not checked.
type Setup struct {
	// Issuer is the issuer identifier, as in issuer.Config and bearer.Config.
	Issuer string

	// JWKSURL is the address of the key set, for an API that is given one. Default:
	// the jwks_uri of the issuer's metadata.
	JWKSURL string

	// Audiences are the APIs that are known here: those of each guard's Config.
	Audiences []string

	// Resources and ImportedSecrets are those of issuer.Config.
	Resources       map[string][]string
	ImportedSecrets bool

	// Open opens the store of clients and that of keys, without changing them: with
	// sqlstore.Config.NoMigrate, and without a list of key-encryption keys. A store
	// with a Close is closed at the end. Nil for an API, which has neither.
	Open func(ctx context.Context) (registry.Manager, jwks.KeyStore, error)

	// Policy is the timetable of the keys.
	Policy jwks.Policy

	// App makes the app on the key and the store given, which are the doctor's and are
	// thrown away. All of its routes are called, with and without a token, so it
	// must use nothing else that lasts. It has a guard for the first of Audiences. end
	// stops it, and may be nil.
	App func(keys *jwks.Keyring, store *registry.Memory) (app *echo.Echo, end func() error, err error)

	// Public are the paths of routes that want no token on purpose, such as "/healthz".
	// The issuer's own endpoints are known.
	Public []string

	// Client is whose Transport to fetch through, and InsecureHTTP allows http beyond
	// the loopback, as in jwks.RemoteConfig.
	Client       *http.Client
	InsecureHTTP bool

	// Leeway is that of the APIs' guards, bearer.Config.Leeway. Default 30 s.
	Leeway time.Duration

	// UnusedFor is how long a secret may be unused. Default 90 days.
	UnusedFor time.Duration

	// Ahead is how far ahead to look, for secrets that expire and keys that rotate.
	// Default 7 days.
	Ahead time.Duration
}

const (
	day          = 24 * time.Hour
	fetchTimeout = 10 * time.Second // of a fetch
	storeTimeout = 10 * time.Second // of opening the stores, and of a read
)

// Check checks the setup. It takes at most a minute when nothing answers, and ends
// sooner when ctx does.
func Check(ctx context.Context, s Setup) Report {
	s.Leeway = cmp.Or(s.Leeway, 30*time.Second)
	s.UnusedFor = cmp.Or(s.UnusedFor, 90*day)
	s.Ahead = cmp.Or(s.Ahead, 7*day)
	c := &check{Setup: s}
	c.issuer(ctx)
	wanted := c.routes(ctx)
	c.stores(ctx, wanted)
	return c.report
}

// check is one run of Check.
type check struct {
	Setup
	report Report
}
