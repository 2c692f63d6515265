package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

// diary prints what the program does. Of calls it prints changes only.
type diary struct {
	mu   sync.Mutex
	out  io.Writer
	err  error  // of writing
	call string // what was printed of the latest calls
}

func (d *diary) sayf(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writef(format, args...)
}

// writef is called with the lock.
func (d *diary) writef(format string, args ...any) {
	_, err := fmt.Fprintf(d.out, time.Now().Format("15:04:05.000 ")+format+"\n", args...)
	d.err = errors.Join(d.err, err)
}

// changedf prints how a call went, unless the one before went the same way.
func (d *diary) changedf(call, format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if call != d.call {
		d.writef(format, args...)
	}
	d.call = call
}

// ok is called after each call that succeeded.
func (d *diary) ok(api string, status int, took time.Duration) {
	d.changedf("ok", "GET %s is answered %d, after %v", api, status, took.Round(time.Millisecond))
}

// trouble is called before a request is sent again.
func (d *diary) trouble(err error) {
	d.changedf("trouble", "no answer yet, trying again: %v", err)
}

// failed is called after each call that failed.
func (d *diary) failed(err error) {
	d.changedf(err.Error(), "FAILED: %v", err)
}

// event is the Observe of the source.
func (d *diary) event(_ context.Context, e outbound.Event) {
	took := e.Duration.Round(time.Millisecond)
	switch {
	case e.Op == event.OpReplay:
		d.sayf("the API refused the token: the request was sent again with another one")
	case e.Err == nil:
		d.sayf("got a token from %s, in %v", e.URL, took)
	case e.Reason == event.FetchFailed:
		d.sayf("no new token (%s), the one in hand is used: %v", e.Reason, e.Err)
	default:
		d.sayf("no token was granted (%s): %v", e.Reason, e.Err)
	}
}

// end prints the last line.
func (d *diary) end(c counts) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(d.err, json.NewEncoder(d.out).Encode(c))
}
