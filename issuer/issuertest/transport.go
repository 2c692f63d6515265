package issuertest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// ending is a transport whose requests end with the test, also when their answers were not
// closed.
type ending struct {
	base *http.Transport
	life context.Context //nolint:containedctx // the test's
}

func newTransport(tb testing.TB) ending {
	tb.Helper()
	life, end := context.WithCancel(context.Background())
	t := ending{&http.Transport{Proxy: http.ProxyFromEnvironment}, life}
	tb.Cleanup(func() {
		end()
		t.base.CloseIdleConnections()
	})
	return t
}

// RoundTrip sends a request.
func (t ending) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	context.AfterFunc(t.life, cancel) // not sooner: the answer's body belongs to the context
	return t.base.RoundTrip(r.WithContext(ctx))
}

// Transport returns a transport for requests to this issuer, such as those of the program
// under test that asks for tokens. If the issuer does not listen, they go to
// [Issuer.ServeHTTP], whatever their host. Connections end with the test.
func (i *Issuer) Transport(tb testing.TB) http.RoundTripper {
	if !i.made(tb) {
		return http.DefaultTransport
	}
	tb.Helper()
	if i.server == nil {
		return direct{i}
	}
	return newTransport(tb)
}

// direct is a transport without a network.
type direct struct{ server http.Handler }

// RoundTrip answers by ServeHTTP. A handler that gives up, and an answer that is cut off,
// look as they do over a network.
func (d direct) RoundTrip(r *http.Request) (response *http.Response, err error) {
	answer := httptest.NewRecorder()
	served := r.Clone(r.Context())
	if served.Body == nil {
		served.Body = http.NoBody
	}
	defer func() { _ = served.Body.Close() }()
	defer func() {
		if fault := recover(); fault == http.ErrAbortHandler { //nolint:errorlint // the server of net/http compares so
			response, err = nil, io.EOF
		} else if fault != nil {
			response, err = nil, fmt.Errorf("issuertest: the handler of %s panicked: %v: %w", r.URL.Path, fault, io.EOF)
		}
	}()
	d.server.ServeHTTP(answer, served)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	response = answer.Result()
	response.Request = r
	if response.ContentLength > int64(answer.Body.Len()) && r.Method != http.MethodHead {
		response.Body = io.NopCloser(io.MultiReader(response.Body, cut{}))
	}
	return response, nil
}

// cut is the end of a body that was cut off.
type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
