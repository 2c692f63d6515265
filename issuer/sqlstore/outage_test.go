package sqlstore_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// wire is a relay between a store and its database. It can be cut or hang.
type wire struct {
	net.Listener
	server string
	mu     sync.Mutex
	cond   *sync.Cond
	hung   bool
	cut    bool
	conns  []net.Conn
	epoch  int // connections of an earlier epoch are dead, and neither side notices
	done   sync.WaitGroup
}

func newWire(t *testing.T, server string) *wire {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: listener, server: server}
	w.cond = sync.NewCond(&w.mu)
	w.done.Go(w.serve)
	t.Cleanup(func() {
		listener.Close()
		w.set(true, false)
		w.done.Wait()
	})
	return w
}

func (w *wire) set(cut, hung bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.hung = cut, hung
	if cut {
		for _, c := range w.conns {
			c.Close()
		}
		w.conns = nil
	}
	w.cond.Broadcast()
}

func (w *wire) serve() {
	for {
		near, err := w.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.server)
		w.mu.Lock()
		if err != nil || w.cut {
			near.Close()
			if err == nil {
				far.Close()
			}
			w.mu.Unlock()
			continue
		}
		w.conns = append(w.conns, near, far)
		epoch := w.epoch
		w.mu.Unlock()
		w.done.Go(func() { w.copy(near, far, epoch) })
		w.done.Go(func() { w.copy(far, near, epoch) })
	}
}

// lose makes the open connections drop everything, which neither side notices.
func (w *wire) lose() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.epoch++
}

func (w *wire) copy(to, from net.Conn, epoch int) {
	defer to.Close()
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		w.mu.Lock()
		for w.hung {
			w.cond.Wait()
		}
		lost := w.epoch != epoch
		w.mu.Unlock()
		if lost && n > 0 {
			continue
		}
		if _, errTo := to.Write(buffer[:n]); errTo != nil || (err != nil && !errors.Is(err, io.EOF)) || n == 0 {
			return
		}
	}
}

// When the database is down or hangs, every call returns an error within the caller's
// timeout. When it is back the store recovers without help.
func TestOutage(t *testing.T) {
	t.Parallel()
	d := postgres(t)
	source, err := url.Parse(d.source)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t, source.Host)
	source.Host = w.Addr().String()
	d.source = source.String()
	store := d.open(t)
	register(t, store, registry.Client{ID: "c"})

	for round, outage := range []struct {
		what      string
		cut, hung bool
	}{{"cut", true, false}, {"hung", false, true}, {"cut again", true, false}} {
		w.set(outage.cut, outage.hung)
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				begun := time.Now()
				for method, err := range everyCall(ctx, store) {
					if err == nil || errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrConflict) {
						t.Errorf("%s, %s: %v", outage.what, method, err)
					}
				}
				if took := time.Since(begun); took > 20*time.Second {
					t.Errorf("%s: calls of 0.3 s took %v", outage.what, took)
				}
			})
		}
		group.Wait()
		w.set(false, false)
		begun := time.Now()
		for {
			_, err := store.Client(t.Context(), "c")
			if err == nil {
				break
			}
			if errors.Is(err, registry.ErrNotFound) || time.Since(begun) > 30*time.Second {
				t.Fatalf("%s, and back for %v: %v", outage.what, time.Since(begun), err)
			}
		}
		if _, err := store.Revoke(t.Context(), token(string(rune('a'+round)), time.Now().Add(time.Hour))); err != nil {
			t.Errorf("%s, and back: %v", outage.what, err)
		}
	}
}
