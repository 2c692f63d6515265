package registry

import (
	"context"
	"errors"
	"time"
)

// MaxClockSkew is how far the clock of a replica may be off the store's, see
// [Page].Now. Beyond that the replica's clock is wrong: a store refuses its writes
// with [ErrClockSkew].
const MaxClockSkew = time.Minute

// ErrClockSkew is the answer of a [Store] or [Manager] that refuses a write, because
// this machine's clock is off the store's by more than [MaxClockSkew]. Writes that
// only take access away are not refused: revocations, cut-offs, disabling, deleting,
// removing a secret, rotating with Revoke.
var ErrClockSkew = errors.New("registry: this machine's clock is off the store's by more than a minute")

// Checker is implemented by a [Store] that can tell whether it works. A store that
// does not implement it counts as ready.
type Checker interface {
	// Ready returns nil when the store can be read and written now. Its error is for
	// operators.
	Ready(ctx context.Context) error
}
