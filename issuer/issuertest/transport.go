package issuertest

import (
	"context"
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

// transport returns a transport for requests to this issuer. If it does not listen, they
// go to ServeHTTP.
func (i *Issuer) transport(tb testing.TB) http.RoundTripper {
	if i.server == nil {
		return direct{i}
	}
	return newTransport(tb)
}

// direct is a transport without a network.
type direct struct{ issuer *Issuer }

// RoundTrip answers by ServeHTTP.
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	served := r.Clone(r.Context())
	if served.Body == nil {
		served.Body = http.NoBody
	}
	defer func() { _ = served.Body.Close() }()
	d.issuer.ServeHTTP(answer, served)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return answer.Result(), nil
}
