package middleware

import (
	"net/http"
	"sync/atomic"
	"unsafe"
)

// counter counts requests on all cores. It has many parts, each with a cache line of its
// own: with one, the cores would wait for each other at every request.
type counter struct{ parts [64]part }

type part struct {
	n atomic.Uint64
	_ [56]byte // the rest of the cache line
}

// pageBits are those of an address within a page of Go's allocator.
const pageBits = 13

// add counts a request. Its address chooses the part: a page of memory serves the
// allocations of one core at a time, so cores seldom choose the same part.
func (c *counter) add(r *http.Request) {
	page := uintptr(unsafe.Pointer(r)) >> pageBits //nolint:gosec // read as a number only
	c.parts[page%uintptr(len(c.parts))].n.Add(1)
}

func (c *counter) total() (n uint64) {
	for i := range c.parts {
		n += c.parts[i].n.Load()
	}
	return n
}
