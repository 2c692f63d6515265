package fetch

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A server that accepts connections and never answers the TLS handshake leaves nothing
// behind: net/http lets handshakes run on after their requests. The bubble fails if a
// goroutine is left.
func TestHandshakesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		transport := NewTransport(nil)
		transport.Proxy = nil // whatever the environment of the test is
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			here, there := net.Pipe()
			go func() {
				for buffer := make([]byte, 1024); ; {
					if _, err := there.Read(buffer); err != nil {
						return
					}
				}
			}()
			return here, nil
		}
		client := NewClient(nil, false)
		client.http.Transport = transport
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := client.Get(ctx, Request{URL: "https://auth.example.com/jwks.json"}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the error is %v", err)
			}
			cancel()
		}
		if got := dials.Load(); got != 3 {
			t.Errorf("%d dials", got)
		}
		time.Sleep(maxDial)
	})
}
