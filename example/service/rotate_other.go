//go:build !unix

package service

import (
	"context"

	"github.com/echo-m2m/m2m/jwks"
)

// RotateOnSignal does nothing where there is no SIGUSR1.
func RotateOnSignal(context.Context, *jwks.Keyring) func() { return func() {} }
