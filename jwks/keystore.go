package jwks

import (
	"context"
	"errors"
)

// KeyStore keeps the state of a [Keyring], one blob of a few kilobytes, for all
// the replicas that share it. Both methods must be safe for concurrent use, by
// other processes too, and must return when their context ends.
type KeyStore interface {
	// Load returns the blob last saved, or nil when none ever was.
	Load(ctx context.Context) ([]byte, error)

	// Save replaces old by blob in one atomic step, and reports false, changing
	// nothing, when what is stored is not old (nil: nothing is stored). Once it
	// has returned true the blob survives a crash. old and blob may be the same:
	// that proves that the store can be written.
	Save(ctx context.Context, old, blob []byte) (bool, error)
}

// lenient is a KeyStore that can read what Load refuses, for a keyring that runs
// already. exposed says why Load refuses it.
type lenient interface {
	loadLenient(ctx context.Context) (blob []byte, exposed, err error)
}

// ErrOutcomeUnknown is the error of a [Keyring.Rotate], Adopt or Reclaim whose write
// failed in such a way that it may have been made: the store could not be read
// afterwards.
var ErrOutcomeUnknown = errors.New("jwks: it is unknown whether the key store was written")
