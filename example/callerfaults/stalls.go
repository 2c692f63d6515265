package main

import "time"

const (
	stallEvery = 10 * time.Millisecond
	stall      = 250 * time.Millisecond // findings are told by times of a second and more
)

// watchStalls returns a func that ends the watch, and reports whether this process could
// not run for a while.
func watchStalls() (stalled func() bool) {
	end, longest := make(chan struct{}), make(chan time.Duration)
	go func() {
		ticker := time.NewTicker(stallEvery)
		defer ticker.Stop()
		var most time.Duration
		for latest := time.Now(); ; {
			select {
			case <-end:
				longest <- max(most, time.Since(latest))
				return
			case <-ticker.C:
				most = max(most, time.Since(latest))
				latest = time.Now()
			}
		}
	}()
	return func() bool {
		close(end)
		return <-longest > stall
	}
}
