package registry

import (
	"context"
	"errors"
	"time"
)

// ErrNotFound is returned by a [Store] or [Manager] for a client or secret that does
// not exist.
var ErrNotFound = errors.New("registry: not found")

// ErrConflict is returned by a [Manager] for a change of an older version of the
// client, and for an id that is taken.
var ErrConflict = errors.New("registry: conflict")

// Store is what the issuer needs of storage. Many goroutines call its methods at once.
// They return when their context is done. An error other than [ErrNotFound] means that
// the store cannot tell; the issuer then answers 503. A context may mark the call of an
// operator; see [IsOperator].
//
// If the store has a clock of its own, that decides what has expired; see [Page].Now and
// [MaxClockSkew]. A store without one deletes late, and deletes nothing because a clock
// has jumped.
type Store interface {
	// Client returns the client with the id, or [ErrNotFound] when there is none.
	// Neither the issuer nor the store changes the result afterwards.
	Client(ctx context.Context, id string) (*Client, error)

	// Revoke adds a change to the feed and returns its sequence. When it returns nil
	// the change survives a crash.
	//
	// The sequence is greater than that of every earlier change, also of those that a
	// feed has lost because it was set back: it is at least the store's clock in
	// microseconds since 1970. Change.Sequence is ignored, and so is ExpiresAt of all
	// kinds but TokenRevoked.
	//
	// A TokenRevoked that does not expire later than the one in the feed may keep that
	// one's sequence, which is then returned. A later cut-off replaces an earlier one of
	// the same kind, client and secret. A store may drop each TokenRevoked of a client
	// that is older than the client's ClientCutOff.
	Revoke(ctx context.Context, c Change) (sequence int64, err error)

	// Changes returns the changes of the feed with a sequence greater than since,
	// in order of their sequences. It may leave out those that have expired by the
	// store's clock, and no others. The store chooses the size of a page; see
	// Page.More. Once a sequence has been returned, or is the Page.End of a page without
	// More, no change with a lower one may appear. A change of a client is visible in
	// Changes no later than in Client.
	Changes(ctx context.Context, since int64) (Page, error)

	// Once returns true for the first call with the scope and id, and false for every
	// other call until the given time, over all replicas, in one atomic step. The
	// record survives a crash. After until, Once may return true again.
	Once(ctx context.Context, scope, id string, until time.Time) (bool, error)
}

// UseRecorder is implemented by a [Store] that keeps when secrets were last used.
// The issuer passes uses in batches, at most a minute late, and no client waits for
// that. Uses of clients and secrets that do not exist are ignored.
type UseRecorder interface {
	// SecretsUsed records the latest use of each secret, given or stored. A time
	// ahead of the store's clock may count as now.
	SecretsUsed(ctx context.Context, uses []SecretUse) error
}

// SecretUse says when a secret last got a token.
type SecretUse struct {
	ClientID, SecretID string    // the client, and the secret it used
	At                 time.Time // when
}

// NetworkRecorder is implemented by a [Store] that keeps from which networks each
// client has authenticated. Guessing limits then know these networks after a restart.
// The issuer passes successes in batches, as to [UseRecorder].
type NetworkRecorder interface {
	// Succeeded records the latest success from each network, given or stored. It
	// keeps the [MaxNetworks] latest networks of a client, each for [NetworkLifetime].
	// Clients that do not exist are ignored.
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
