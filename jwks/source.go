package jwks

import (
	"context"
	"errors"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// ErrUnknownKey is a [Source]'s answer for a key that is not in its current set.
// The token is not valid.
var ErrUnknownKey = errors.New("jwks: unknown key")

// ErrUnavailable is the answer when there is no key set that can be trusted now,
// or no key that may sign. It says nothing about a token: answer 503, not 401.
var ErrUnavailable = errors.New("jwks: keys unavailable")

// Source finds the public key of a token. [Keyring] and [Remote] are Sources;
// so is anything with this one method.
type Source interface {
	Key(ctx context.Context, kid string) (*jose.Key, error)
}
