package issuer

import (
	"context"
	"sync"
	"time"
)

const (
	sweepEvery = time.Minute
	flushEvery = 30 * time.Second
)

// background owns the goroutines of an issuer. Its loops start at the issuer's first
// use. What begin starts ends by itself.
type background struct {
	loops    []func(context.Context)
	starting sync.Once
	running  context.Context
	stop     context.CancelFunc
	done     sync.WaitGroup
}

func newBackground(loops ...func(context.Context)) *background {
	b := &background{loops: loops}
	b.running, b.stop = context.WithCancel(context.Background())
	return b
}

// add adds a loop. It must be called before start.
func (b *background) add(loop func(context.Context)) { b.loops = append(b.loops, loop) }

// begin starts f, which ends soon, right away.
func (b *background) begin(f func(context.Context)) {
	b.done.Go(func() { f(b.running) })
}

// start starts the loops, once. It does nothing after close.
func (b *background) start() {
	b.starting.Do(func() {
		for _, loop := range b.loops {
			b.done.Go(func() { loop(b.running) })
		}
	})
}

// close stops the loops, and waits until they have ended.
func (b *background) close() {
	b.starting.Do(func() {})
	b.stop()
	b.done.Wait()
}

// background starts the loops: the cache of clients depends on the follower.
func (i *Issuer) background() {
	i.loops.start()
}

// housekeep sweeps and flushes. It is apart from the follower because it may take long.
func (i *Issuer) housekeep(ctx context.Context) {
	sweep, flush := time.NewTicker(sweepEvery), time.NewTicker(flushEvery)
	defer sweep.Stop()
	defer flush.Stop()
	for {
		select {
		case <-sweep.C:
			i.revoked.sweep()
			i.ledger.sweep()
			i.sweep()
		case <-flush.C:
			if err := i.uses.flush(ctx); err == nil || ctx.Err() == nil { // not because the issuer was closed
				i.recorded(&i.usesState, err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// sweep drops what has expired.
func (i *Issuer) sweep() {
	i.clients.sweep()
	i.secrets.sweep()
	i.assertions.sweep()
	i.grants.sweep()
}
