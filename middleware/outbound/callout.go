package outbound

import (
	"context"
	"fmt"
	"sync/atomic"
)

// callout calls funcs of the app that may hang: its SecretFunc, its Assertion, its
// CertificateFunc, or a key in a KMS.
type callout struct {
	field   string // of the Config
	noun    string // what it returns
	mayHang int64  // this many calls that hang do not end further ones
	hung    atomic.Int64
}

// call returns what a func of the app returns, or an error as soon as the context ends.
// While more calls hang than may, it is not called.
func call[T any](ctx context.Context, c *callout, f func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	if c.hung.Load() > c.mayHang {
		return none, fmt.Errorf("outbound: the %s: an earlier call of %s has not returned yet", c.noun, c.field)
	}
	done := make(chan result, 1)
	go func() {
		r := result{err: errAborted}
		defer func() {
			caught(ctx, c.field, recover())
			done <- r
		}()
		r.value, r.err = f(ctx)
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		c.hung.Add(1)
		go func() {
			<-done
			c.hung.Add(-1)
		}()
		return none, fmt.Errorf("outbound: waiting for the %s: %w", c.noun, ctx.Err())
	}
}
