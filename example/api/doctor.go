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
	set, ok := service.LoadToCheck(out, issuer)
	if !ok {
		return doctor.StatusUnchecked
	}
	report := doctor.Check(ctx, doctor.Setup{
		Issuer:    set.Issuer,
		Audiences: []string{set.Audience},
		Public:    []string{"/healthz", "/readyz"},
		JWKSURL:   set.JWKSURL,
		App: func(keys *jwks.Keyring, _ *registry.Memory) (*echo.Echo, func() error, error) {
			alone := set
			alone.IntrospectionURL = "" // its tokens are not the issuer's
			e, _, err := newApp(alone, service.URL(address), keys)
			return e, nil, err
		},
	})
	if _, err := report.WriteTo(out); err != nil {
		return doctor.StatusUnchecked
	}
	return report.Status()
}
