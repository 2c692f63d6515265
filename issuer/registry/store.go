package registry

import (
	"context"
	"errors"
	"time"
)

// ErrNotFound is the answer of a [Store] or [Manager] about a client or secret
// that does not exist.
var ErrNotFound = errors.New("registry: not found")

// ErrConflict is the answer of a [Manager] to a change that was made to an older
// version of the client, or that adds an id that is taken.
var ErrConflict = errors.New("registry: conflict")

// Store is what the issuer asks of storage. All methods are called by many
// goroutines at once. They return when their context is done. An error other
// than [ErrNotFound] means that the store cannot tell; the issuer answers 503.
// A context may say that the call is an operator's, see [IsOperator].
//
// The store's clock judges, if it has one: see [Page].Now and [MaxClockSkew]. A store
// without one deletes late, and nothing because a clock has jumped.
type Store interface {
	// Client returns the client with the id, and [ErrNotFound] when there is
	// none. The issuer does not change the result, nor may the store afterwards.
	Client(ctx context.Context, id string) (*Client, error)

	// Revoke adds a change to the feed and returns its sequence, which is greater
	// than that of every change before it, also of changes in a feed that was set
	// back: at least the store's clock in microseconds since 1970. Change.Sequence is
	// ignored, and so is ExpiresAt of all kinds but TokenRevoked. When Revoke returns
	// nil the change survives a crash. A TokenRevoked that adds nothing to one in the
	// feed may keep that one's place; its sequence is then the result. A later
	// cut-off replaces an earlier one of the same kind, client and secret. A store
	// may drop the TokenRevoked of a client before its ClientCutOff.
	Revoke(ctx context.Context, c Change) (sequence int64, err error)

	// Changes returns the changes of the feed with a sequence greater than since,
	// in order of their sequences. It may leave out those that have expired by the
	// store's clock, and no others. A page holds as many as the store likes; see
	// Page.More. Once a sequence has been returned, or is the Page.End of a page without
	// More, no change with a lower one may appear. A change of a client is visible in
	// Changes no later than in Client.
	Changes(ctx context.Context, since int64) (Page, error)

	// Once reports true at the first call with the scope and id, and false at
	// every other until the time given, over all replicas: one atomic step. What
	// it has reported survives a crash. It may report true again after until.
	Once(ctx context.Context, scope, id string, until time.Time) (bool, error)
}

// UseRecorder is implemented by a [Store] that keeps when secrets were last used.
// The issuer passes uses in batches, at most a minute late, never while a client
// waits. Uses of clients and secrets that are gone are ignored.
type UseRecorder interface {
	// SecretsUsed records the latest of the times given and those it has. A time ahead
	// of the store's clock may count as now.
	SecretsUsed(ctx context.Context, uses []SecretUse) error
}

// SecretUse says when a secret last got a token.
type SecretUse struct {
	ClientID, SecretID string    // the client, and the secret it used
	At                 time.Time // when
}

// NetworkRecorder is implemented by a [Store] that keeps from which networks
// clients have succeeded, so that guessing limits know them
// after a restart. The issuer passes successes in batches, as to [UseRecorder].
type NetworkRecorder interface {
	// Succeeded records the latest of the times given and those it has. It keeps the
	// [MaxNetworks] latest networks of a client, each for [NetworkLifetime]. Clients
	// that do not exist are ignored.
	Succeeded(ctx context.Context, successes []ClientNetwork) error

	// Networks returns the networks of the client, the latest first; none for a
	// client that does not exist.
	Networks(ctx context.Context, clientID string) ([]string, error)
}

// ClientNetwork says when a client last succeeded from a network.
type ClientNetwork struct {
	ClientID, Network string    // the client, and the network in any form of at most 64 bytes
	At                time.Time // when
}

const (
	// MaxNetworks is how many networks of a client a [NetworkRecorder] keeps.
	MaxNetworks = 16

	// NetworkLifetime is how long a [NetworkRecorder] keeps a network.
	NetworkLifetime = 30 * 24 * time.Hour
)
