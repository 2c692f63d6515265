package issuer

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// arriving counts the bodies that the issuer has begun to read.
type arriving struct {
	io.ReadCloser
	begun func()
}

func (a *arriving) Read(p []byte) (int, error) {
	if a.begun != nil {
		a.begun()
		a.begun = nil
	}
	return a.ReadCloser.Read(p)
}

// While a body does not arrive, its connection holds no more memory than one with a short
// body, whatever length was announced.
func TestSlowBody(t *testing.T) {
	handler := newService(t, Config{}).issuer.Handler()
	var reading atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = &arriving{r.Body, func() { reading.Add(1) }}
		handler.ServeHTTP(w, r)
	}))
	defer s.Close()
	each := map[int]int64{}
	var open []net.Conn // until the end, so that nothing is freed in between
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	for _, length := range []int{200, 200, 64 << 10} { // the first round warms up
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		const connections = 200
		for range connections {
			c, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(c, "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n", length)
			open = append(open, c)
		}
		for reading.Load() < int64(len(open)) {
			time.Sleep(time.Millisecond)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		each[length] = (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / connections
	}
	if each[64<<10] > each[200]+4<<10 {
		t.Errorf("a connection that has sent no body holds %d B if it announces 64 KiB, and %d B if it announces 200 B", each[64<<10], each[200])
	}
}
