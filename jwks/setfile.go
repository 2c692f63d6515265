package jwks

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

const (
	setFileFresh = 5 * time.Second // how long a set is used until the file is read again
	setFileStale = time.Hour       // the same, while the file cannot be read
)

// SetFile is a [Source] of a JWK set in a local file, for an issuer that cannot be
// reached. The file is read again 5 s after it was last read, by the next call, so a new
// set counts within 5 s of use and needs no restart. Make one with [NewSetFile]. The
// methods of the zero SetFile and of nil return [ErrUnavailable].
//
// While the file is missing, cannot be read, or has no usable key, as in the middle of a
// change, the last set is used for up to an hour. [SetFile.Ready] says so at once.
//
// Not checked: the permissions of the file. Its keys are public, but a user who can
// write it decides which tokens are valid.
type SetFile struct {
	path string

	current atomic.Pointer[setFileRead]
	reading sync.Mutex
}

// setFileRead is what was read of the file.
type setFileRead struct {
	content []byte
	set     *jose.Set // nil: none was ever usable
	skipped []jose.Skipped
	at      time.Time // when the file was last read
	usable  time.Time // when it last had a usable set
	err     error     // of the last read
}

// NewSetFile returns a Source of the set in a file of at most 8 MiB, which need not exist
// yet. Links are followed.
func NewSetFile(path string) *SetFile { return &SetFile{path: path} }

// Key returns the key with this kid for this alg. See [Source] for the errors.
func (f *SetFile) Key(_ context.Context, kid, alg string) (*jose.Key, error) {
	r := f.read(false)
	if r.set == nil || reached(time.Now(), r.usable.Add(setFileStale)) {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, r.err)
	}
	if key := r.set.Find(kid, alg); key != nil {
		return key, nil
	}
	if r.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, r.err) // the file may have the key
	}
	return nil, unknownKey(kid, r.skipped)
}

// Ready reads the file, and returns why it cannot be used, or nil.
func (f *SetFile) Ready(context.Context) error {
	if r := f.read(true); r.err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, r.err)
	}
	return nil
}

var errZeroSetFile = fmt.Errorf("a SetFile without a path: make it with jwks.NewSetFile")

// read returns what was read, not longer than setFileFresh ago. One caller reads the file.
// The others use what there is, and wait only if there is nothing usable.
func (f *SetFile) read(now bool) *setFileRead {
	if f == nil || f.path == "" {
		return &setFileRead{err: errZeroSetFile}
	}
	last := f.current.Load()
	if !now && last != nil && !reached(time.Now(), last.at.Add(setFileFresh)) {
		return last
	}
	if now || last == nil || last.set == nil {
		f.reading.Lock()
	} else if !f.reading.TryLock() {
		return last
	}
	defer f.reading.Unlock()
	if newer := f.current.Load(); !now && newer != last {
		return newer
	}
	next := f.next(f.current.Load())
	f.current.Store(next)
	return next
}

// next reads the file.
func (f *SetFile) next(last *setFileRead) *setFileRead {
	next := setFileRead{}
	if last != nil {
		next = *last
	}
	content, err := readSmall(f.path, maxSetBytes)
	next.at = time.Now()
	if err == nil && next.set != nil && bytes.Equal(content, next.content) {
		next.usable, next.err = next.at, nil
		return &next
	}
	var set *jose.Set
	if err == nil {
		set, err = jose.ParseSet(content, next.set)
	}
	if err == nil && set.Len() == 0 {
		err = &unusableError{set.Skipped()}
	}
	if err != nil {
		next.err = fmt.Errorf("jwks: set file %s: %w", f.path, err)
		return &next
	}
	return &setFileRead{content: content, set: set, skipped: set.Skipped(), at: next.at, usable: next.at}
}
