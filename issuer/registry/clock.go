package registry

import (
	"context"
	"errors"
	"time"
)

// MaxClockSkew is how much the clock of a replica may differ from the store's; see
// [Page].Now. With a greater difference a store refuses the replica's writes with
// [ErrClockSkew].
const MaxClockSkew = time.Minute

// ErrClockSkew is returned by a [Store] or [Manager] that refuses a write because this
// machine's clock differs from the store's by more than [MaxClockSkew]. Writes that
// only take access away are accepted: revocations, cut-offs, disabling, deleting,
// removing a secret, rotating with Revoke.
var ErrClockSkew = errors.New("registry: this machine's clock is off the store's by more than a minute")

// Checker is implemented by a [Store] that can tell whether it works. A store that
// does not implement it counts as ready.
type Checker interface {
	// Ready returns nil when the store can be read and written now. Its error is for
	// operators.
	Ready(ctx context.Context) error
}
