package jwks

import (
	"context"
	"errors"
)

// KeyStore keeps the state of a [Keyring] for all replicas that share it: one blob of
// a few kilobytes. Both methods must be safe for concurrent use, by other processes
// too, and must return when their context ends.
type KeyStore interface {
	// Load returns the blob that was saved last, or nil if none ever was.
	Load(ctx context.Context) ([]byte, error)

	// Save replaces old with blob in one atomic step. If the store does not hold old,
	// it changes nothing and returns false. A nil old means that the store must be
	// empty. Once Save has returned true, the blob survives a crash. old and blob may
	// be equal: that proves that the store can be written.
	Save(ctx context.Context, old, blob []byte) (bool, error)
}

// lenient is a KeyStore that can read what its Load refuses, for a keyring that is
// running. exposed says why Load refuses it.
type lenient interface {
	loadLenient(ctx context.Context) (blob []byte, exposed, err error)
}

// ErrOutcomeUnknown is the error of a [Keyring.Rotate], Adopt or Reclaim whose write
// may have been made or not: it failed, and then the store could not be read.
var ErrOutcomeUnknown = errors.New("jwks: it is unknown whether the key store was written")
