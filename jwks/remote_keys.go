package jwks

import (
	"context"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// Keys returns all keys of the set, in its order, for a signature that does not name its
// key. Like [Remote.Ready] it fetches if a call to Key would. A set without the key that
// is sought causes no fetch, unlike a kid that is not in the set. The error is
// [ErrUnavailable] or the context's.
func (r *Remote) Keys(ctx context.Context) ([]*jose.Key, error) {
	if err := r.Ready(ctx); err != nil {
		return nil, err
	}
	held := r.current.Load()
	if held == nil { // closed meanwhile
		return nil, ErrUnavailable
	}
	return held.set.Keys(), nil
}
