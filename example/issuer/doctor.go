package main

import (
	"context"
	"io"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/example/doctor"
	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
)

// examine checks the configuration for -doctor, and returns the exit status.
func examine(ctx context.Context, out io.Writer) int {
	set, ok := service.LoadToCheck(out, service.URL(address))
	if !ok {
		return doctor.StatusUnchecked
	}
	report := doctor.Check(ctx, doctor.Setup{
		Issuer:          set.Issuer,
		Audiences:       []string{set.Issuer + "/admin", set.Audience},
		ImportedSecrets: true,
		Policy:          set.Policy,
		Public:          []string{"/healthz", "/readyz"},
		Open: func(ctx context.Context) (registry.Manager, jwks.KeyStore, error) {
			return service.OpenToRead(ctx, set)
		},
		App: func(keys *jwks.Keyring, store *registry.Memory) (*echo.Echo, func() error, error) {
			one, err := newApp(set, keys, store)
			if err != nil {
				return nil, nil, err
			}
			return one.e, one.iss.Close, nil
		},
	})
	if _, err := report.WriteTo(out); err != nil {
		return doctor.StatusUnchecked
	}
	return report.Status()
}
