package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipeTransport is a transport whose connections are pipes to a server of HTTP/2 with TLS.
func pipeTransport(t *testing.T, serve func(c net.Conn)) *http.Transport {
	t.Helper()
	web := httptest.NewUnstartedServer(http.NotFoundHandler())
	web.StartTLS()
	web.Close() // it has made the certificate, of example.com
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	transport := NewTransport(nil)
	transport.Proxy = nil // whatever the environment of the test is
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			c := tls.Server(there, &tls.Config{Certificates: web.TLS.Certificates, NextProtos: []string{"h2"}})
			defer there.Close()
			if c.Handshake() == nil {
				serve(c)
			}
		}()
		return here, nil
	}
	return transport
}

// A server that refuses each request of HTTP/2, so that net/http sends it again at once,
// gets few.
func TestRefusedStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int64
		client := NewClient(&http.Client{Transport: pipeTransport(t, func(c net.Conn) {
			_, _ = io.ReadFull(c, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
			frames := make(chan []byte, 10)
			defer close(frames)
			go func() { // a pipe has no buffer, so the client must be read meanwhile
				for frame := range frames {
					_, _ = c.Write(frame)
				}
			}()
			frames <- []byte{0, 0, 0, 4, 0, 0, 0, 0, 0} // SETTINGS
			for header := make([]byte, 9); ; {
				if _, err := io.ReadFull(c, header); err != nil {
					return
				}
				if _, err := io.CopyN(io.Discard, c, int64(header[1])<<8|int64(header[2])); err != nil {
					return
				}
				if header[3] == 1 { // HEADERS
					requests.Add(1)
					frames <- []byte{0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7} // RST_STREAM, REFUSED_STREAM
				}
			}
		})}, false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := client.Get(ctx, Request{URL: "https://example.com/jwks.json"})
		if !errors.Is(err, errManyConnections) {
			t.Errorf("the error is %v", err)
		}
		if got := requests.Load(); got == 0 || got > maxConnections+1 {
			t.Errorf("%d requests", got)
		}
		time.Sleep(2 * maxDial) // a connection that was made too late is idle
	})
}

// watched is a connection that tells when it is closed.
type watched struct {
	net.Conn
	closed *atomic.Bool
}

func (w watched) Close() error {
	w.closed.Store(true)
	return w.Conn.Close()
}

// A connection to a server of HTTP/2 that reads nothing is closed, though a write hangs.
func TestServerThatReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Bool
		end := make(chan struct{})
		defer close(end)
		transport := pipeTransport(t, func(net.Conn) { <-end })
		dial := transport.DialContext
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			return watched{c, &closed}, err
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		client := NewClient(&http.Client{Transport: transport}, false)
		if _, err := client.Get(ctx, Request{URL: "https://example.com/jwks.json"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
		time.Sleep(2 * maxDial)
		synctest.Wait()
		if !closed.Load() {
			t.Error("the connection is open")
		}
	})
}
