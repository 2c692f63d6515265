package jwks

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Key stores in memory, each with one fault.

// shelf is a KeyStore in memory that can be out of reach.
type shelf struct {
	mu    sync.Mutex
	blob  []byte
	err   error // the answer to each call, if set
	full  error // the answer to Save, if set
	loads int
	saves int
}

func (s *shelf) Load(ctx context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	if s.err != nil {
		return nil, s.err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return bytes.Clone(s.blob), nil
}

func (s *shelf) Save(ctx context.Context, old, blob []byte) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return false, s.err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if s.full != nil {
		return false, s.full
	}
	if !bytes.Equal(s.blob, old) || (s.blob == nil) != (old == nil) {
		return false, nil
	}
	s.saves++
	s.blob = bytes.Clone(blob)
	return true, nil
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

var errReadOnly = errors.New("the store is read-only")

// refuse makes the store one that can be read and not written, until err is nil.
func (s *shelf) refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = err
}

func (s *shelf) put(blob []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blob = blob
}

func (s *shelf) get() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.blob)
}

// timedShelf is a shelf with a clock.
type timedShelf struct {
	*shelf
	err error
}

func (s timedShelf) Now(context.Context) (time.Time, error) { return time.Now(), s.err }

// jumpy is a timedShelf that calls a func in the middle of its next Now or Load. With
// it a test moves a clock within an update.
type jumpy struct {
	timedShelf
	now, load atomic.Pointer[func()]
}

func (j *jumpy) Now(ctx context.Context) (time.Time, error) {
	callOnce(&j.now)
	return j.timedShelf.Now(ctx)
}

func (j *jumpy) Load(ctx context.Context) ([]byte, error) {
	callOnce(&j.load)
	return j.shelf.Load(ctx)
}

func callOnce(f *atomic.Pointer[func()]) {
	if call := f.Swap(nil); call != nil {
		(*call)()
	}
}

// hostShelf is a store on the host of the replica, with the same clock.
type hostShelf struct {
	*shelf
	skew *atomic.Int64
}

func (s hostShelf) Now(context.Context) (time.Time, error) {
	return time.Now().Add(time.Duration(s.skew.Load())), nil
}

// hanging is a shelf whose Load can hang.
type hanging struct {
	*shelf
	hang atomic.Bool
}

func (h *hanging) Load(ctx context.Context) ([]byte, error) {
	if h.hang.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.shelf.Load(ctx)
}

// hangingSave is a shelf whose Save can hang.
type hangingSave struct {
	*shelf
	hang atomic.Bool
}

func (h *hangingSave) Save(ctx context.Context, old, blob []byte) (bool, error) {
	if h.hang.Load() {
		<-ctx.Done()
		return false, ctx.Err()
	}
	return h.shelf.Save(ctx, old, blob)
}

// interrupted is a shelf that calls a func after its next Save.
type interrupted struct {
	*shelf
	saved func()
}

func (i *interrupted) Save(ctx context.Context, old, blob []byte) (bool, error) {
	saved, err := i.shelf.Save(ctx, old, blob)
	if f := i.saved; saved && f != nil {
		i.saved = nil
		f()
	}
	return saved, err
}

// cutOff is a store that one replica cannot reach at times.
type cutOff struct {
	*shelf
	away atomic.Bool
}

var errNoRoute = errors.New("no route")

func (c *cutOff) Load(ctx context.Context) ([]byte, error) {
	if c.away.Load() {
		return nil, errNoRoute
	}
	return c.shelf.Load(ctx)
}

func (c *cutOff) Save(ctx context.Context, old, blob []byte) (bool, error) {
	if c.away.Load() {
		return false, errNoRoute
	}
	return c.shelf.Save(ctx, old, blob)
}

// savesAndFails saves, and then returns an error.
type savesAndFails struct {
	*shelf
	fails, blind bool
}

func (s *savesAndFails) Save(ctx context.Context, old, blob []byte) (bool, error) {
	done, err := s.shelf.Save(ctx, old, blob)
	if s.fails {
		if s.blind {
			s.fail(errNoRoute)
		}
		return false, errNoRoute
	}
	return done, err
}

// readOnly is a store that refuses each Save.
type readOnly struct{ KeyStore }

func (readOnly) Save(context.Context, []byte, []byte) (bool, error) { return false, os.ErrPermission }

// movable is a store whose content moves to another shelf.
type movable struct{ at atomic.Pointer[shelf] }

func (m *movable) Load(ctx context.Context) ([]byte, error) { return m.at.Load().Load(ctx) }

func (m *movable) Save(ctx context.Context, old, blob []byte) (bool, error) {
	return m.at.Load().Save(ctx, old, blob)
}
