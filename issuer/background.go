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

// background owns the goroutines of an issuer. They start at its first use, but for
// those that begin starts, which end by themselves.
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

// add adds a loop, before the first use.
func (b *background) add(loop func(context.Context)) { b.loops = append(b.loops, loop) }

// begin starts what ends soon, now.
func (b *background) begin(f func(context.Context)) {
	b.done.Go(func() { f(b.running) })
}

// start starts the loops, once, unless close was called before.
func (b *background) start() {
	b.starting.Do(func() {
		for _, loop := range b.loops {
			b.done.Go(func() { loop(b.running) })
		}
	})
}

// close stops the loops and waits for their end.
func (b *background) close() {
	b.starting.Do(func() {})
	b.stop()
	b.done.Wait()
}

// background starts to follow the feed, on which the cache of clients depends, and
// to keep house.
func (i *Issuer) background() {
	i.loops.start()
}

// housekeep does what may take long, apart from the follower.
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
			if err := i.uses.flush(ctx); err == nil || ctx.Err() == nil { // and not because the issuer is closed
				i.recorded(&i.usesState, err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// sweep gives back the memory of what has expired.
func (i *Issuer) sweep() {
	i.clients.sweep()
	i.secrets.sweep()
	i.grants.sweep()
}
