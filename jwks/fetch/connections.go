package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// maxConnections bounds the connections of one Get, with its redirects.
const maxConnections = 8

// maxResends bounds the calls of GetBody of one request. net/http makes two each time.
const maxResends = 4

var errManyConnections = errors.New("the server has refused the request on too many connections")

// limitConnections bounds the connections that a transport may use for a request. net/http
// sends a GET anew, without end and at once, while an HTTP/2 server refuses the stream or
// says GOAWAY. limited releases the context of the request, and returns the reason for an
// error.
func limitConnections(r *http.Request) (traced *http.Request, limited func(err error) error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	var connections atomic.Int64
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		if connections.Add(1) > maxConnections {
			cancel(errManyConnections)
		}
	}})
	return r.WithContext(ctx), func(err error) error {
		defer cancel(nil)
		if err != nil && errors.Is(context.Cause(ctx), errManyConnections) {
			return errManyConnections
		}
		return err
	}
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
