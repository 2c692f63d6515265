package issuer

import (
	"context"
	"sync"
)

// sharedCalls makes concurrent callers with the same key share one call. The call goes
// on when the first caller leaves. Its context ends when the last one has left.
type sharedCalls[V any] struct {
	stay bool // a caller of a call whose work has begun waits for its end
	mu   sync.Mutex
	all  map[string]*sharedCall[V]
}

type sharedCall[V any] struct {
	callers int
	begun   bool
	cancel  context.CancelFunc
	done    chan struct{} // closed when value and err are set
	value   V
	err     error
}

// do returns what f returns, or the cause of the context's end. begun is whether the work
// has begun. f runs in a goroutine of its own, with the values of the first caller's
// context. It calls begin before the part that counts as work, and skips that part if
// begin returns false, because all callers have left.
func (g *sharedCalls[V]) do(ctx context.Context, key string, f func(ctx context.Context, begin func() bool) (V, error)) (value V, begun bool, err error) {
	g.mu.Lock()
	call := g.all[key]
	if call == nil {
		call = g.start(ctx, key, f)
	}
	call.callers++
	g.mu.Unlock()
	select {
	case <-call.done:
		return call.value, call.begun, call.err
	case <-ctx.Done():
	}
	if begun = g.leave(key, call); begun && g.stay {
		<-call.done
		return call.value, true, call.err
	}
	return value, begun, context.Cause(ctx)
}

// leave removes a caller, unless it must stay, and reports whether the work has begun.
func (g *sharedCalls[V]) leave(key string, call *sharedCall[V]) (begun bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if call.begun && g.stay {
		return true
	}
	if call.callers--; call.callers == 0 {
		call.cancel()
		g.remove(key, call) // the next caller starts anew
	}
	return call.begun
}

func (g *sharedCalls[V]) start(ctx context.Context, key string, f func(context.Context, func() bool) (V, error)) *sharedCall[V] {
	shared, cancel := context.WithCancel(context.WithoutCancel(ctx))
	call := &sharedCall[V]{cancel: cancel, done: make(chan struct{})}
	if g.all == nil {
		g.all = map[string]*sharedCall[V]{}
	}
	g.all[key] = call
	begin := func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		call.begun = call.callers > 0
		return call.begun
	}
	go func() {
		defer cancel()
		call.value, call.err = f(shared, begin)
		g.mu.Lock()
		g.remove(key, call)
		g.mu.Unlock()
		close(call.done)
	}()
	return call
}

// remove drops a call that no new caller may join. The last one drops the map too,
// because a Go map does not shrink.
func (g *sharedCalls[V]) remove(key string, call *sharedCall[V]) {
	if g.all[key] != call {
		return
	}
	if delete(g.all, key); len(g.all) == 0 {
		g.all = nil
	}
}
