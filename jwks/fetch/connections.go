package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// maxConnections bounds the requests of one Get, each on a connection of its own.
const maxConnections = 8

// maxResends bounds the calls of GetBody of one request. net/http makes two each time.
const maxResends = 4

var errManyConnections = errors.New("the server has refused the request on too many connections")

// limitConnections bounds how often a transport sends a request, with its redirects. net/http
// sends a GET anew, without end and at once, while an HTTP/2 server refuses the stream or says
// GOAWAY. Call end to release the context of the request. reason returns what an error is
// about.
func limitConnections(r *http.Request) (traced *http.Request, reason func(err error) error, end func()) {
	ctx, cancel := context.WithCancelCause(r.Context())
	var sent atomic.Int64
	// Not GotConn: a connection of HTTP/2 that sent nothing yet would stay open.
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() {
		if sent.Add(1) > maxConnections {
			cancel(errManyConnections)
		}
	}})
	reason = func(err error) error {
		if errors.Is(context.Cause(ctx), errManyConnections) {
			return errManyConnections
		}
		return err
	}
	return r.WithContext(ctx), reason, func() { cancel(nil) }
}

// LimitResends bounds how often a transport sends a request with a body anew by itself, to
// twice. Package net/http does so without end and at once while an HTTP/2 server refuses the
// stream or says GOAWAY. It is for requests with a secret, made by [http.NewRequest].
func LimitResends(r *http.Request) {
	body, left := r.GetBody, maxResends
	if body == nil {
		return
	}
	r.GetBody = func() (io.ReadCloser, error) {
		if left--; left < 0 {
			return nil, errManyConnections
		}
		return body()
	}
}
