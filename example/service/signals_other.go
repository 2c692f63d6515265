//go:build !unix

package service

import (
	"context"

	"github.com/echo-m2m/m2m/jwks"
)

// KeysOnSignal does nothing where there is no SIGUSR1.
func KeysOnSignal(context.Context, *jwks.Keyring) func() { return func() {} }
