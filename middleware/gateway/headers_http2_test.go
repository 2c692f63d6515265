package gateway

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// smuggledFrames are attempts to bring an identity to the upstream over HTTP/2.
var smuggledFrames = []struct {
	name    string
	fields  []hpack.HeaderField // behind the pseudo headers and authorization
	trailer []hpack.HeaderField
	want    int // 0: the stream or the connection is ended without an answer
}{
	{"nothing", nil, nil, clean},
	{"the name itself", pairs("x-client-id", "admin"), nil, clean},
	{"twice", pairs("x-client-id", "admin", "x-client-id", "admin"), nil, clean},
	{"underscores", pairs("x_client_id", "admin", "x-client_id", "admin"), nil, clean},
	{"dots", pairs("x.client.id", "admin"), nil, clean},
	{"all names", pairs("x-client-id", "admin", "x-client-scopes", "admin", "x-token-issuer", "admin"), nil, clean},
	{"other credentials", pairs("proxy-authorization", "Bearer admin", "client-cert", ":admin:", "dpop", "admin"), nil, clean},
	{"another method", pairs("x-http-method-override", "DELETE", "x_http_method", "DELETE", "x-method-override", "DELETE"), nil, clean},
	{"another path", pairs("x-original-url", "/admin", "x_rewrite_url", "/admin"), nil, clean},
	{"mixed case", pairs("X-Client-Id", "admin"), nil, 0},
	{"one capital", pairs("x-client-iD", "admin"), nil, 0},
	{"unknown pseudo header", pairs(":x-client-id", "admin"), nil, 0},
	{"pseudo header behind a field", pairs("x-note", "a", ":authority", "x-client-id"), nil, 0},
	{"extended CONNECT", pairs(":protocol", "websocket"), nil, 0},
	{"CR LF in a value", pairs("x-note", "a\r\nX-Client-Id: admin"), nil, 0},
	{"LF in a value", pairs("x-note", "a\nX-Client-Id: admin"), nil, 0},
	{"CR in a value", pairs("x-note", "a\rX-Client-Id: admin"), nil, 0},
	{"NUL in a value", pairs("x-note", "a\x00b"), nil, 0},
	{"CR LF in a name", pairs("x-note\r\nx-client-id", "admin"), nil, 0},
	{"colon in a name", pairs("x-client-id: admin\r\nx", "a"), nil, 0},
	{"space in a name", pairs("x-client-id ", "admin"), nil, 0},
	{"empty name", pairs("", "admin"), nil, 0},
	{"connection", pairs("connection", "x-client-id"), nil, refused},
	{"connection twice", pairs("connection", "x-note", "connection", "x-client-id"), nil, refused},
	{"upgrade", pairs("upgrade", "websocket"), nil, refused},
	{"keep-alive", pairs("keep-alive", "x-client-id"), nil, refused},
	{"te", pairs("te", "trailers"), nil, clean},
	{"te, more", pairs("te", "trailers, x-client-id"), nil, refused},
	{"trailer", pairs("trailer", "x-client-id"), pairs("x-client-id", "admin"), clean},
	{"trailer, twin", pairs("trailer", "x_client_id"), pairs("x_client_id", "admin"), clean},
	{"trailer that is not announced", nil, pairs("x-client-id", "admin"), clean},
}

func pairs(texts ...string) (list []hpack.HeaderField) {
	for i := 0; i < len(texts); i += 2 {
		list = append(list, hpack.HeaderField{Name: texts[i], Value: texts[i+1]})
	}
	return list
}

// A client over HTTP/2, frame by frame, cannot change what the upstream reads of it.
func TestNothingIsSmuggledOverHTTP2(t *testing.T) {
	c := newCallers(t)
	token := c.token(t, nil)
	for _, face := range faces {
		t.Run(face, func(t *testing.T) {
			one, two := newRawUpstream(t), newHTTP2Upstream(t)
			transport := &http.Transport{DisableKeepAlives: true}
			front := serve(t, newFront(t, face, c, newTestForwarder(t, ForwardConfig{}), one.url(), transport))
			front2 := serve(t, newFront(t, face, c, newTestForwarder(t, ForwardConfig{}), two.url, two.transport))
			for _, attempt := range smuggledFrames {
				t.Run(attempt.name, func(t *testing.T) {
					status := exchangeFrames(t, front.Listener.Addr().String(), token, attempt.fields, attempt.trailer)
					seen := one.take()
					if status != attempt.want {
						t.Fatalf("status %d, want %d", status, attempt.want)
					}
					if attempt.want != clean {
						if len(seen) > 0 {
							t.Errorf("the upstream sees %q", seen)
						}
						return
					}
					if len(seen) != 1 {
						t.Fatalf("the upstream sees %d requests: %q", len(seen), seen)
					}
					wantIdentity(t, fieldLines(seen[0]))
					if status := exchangeFrames(t, front2.Listener.Addr().String(), token, attempt.fields, attempt.trailer); status != clean {
						t.Fatalf("upstream over HTTP/2: status %d, want 200", status)
					}
					wantIdentity(t, two.take(t))
				})
			}
		})
	}
}

// exchangeFrames sends one request in frames. It returns the status of the answer, 0 if the
// server ends the stream or the connection without one.
func exchangeFrames(t *testing.T, address, token string, more, trailer []hpack.HeaderField) int {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.AllowIllegalWrites = true
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encoded := func(list []hpack.HeaderField) []byte {
		block.Reset()
		for _, field := range list {
			if err := encoder.WriteField(field); err != nil {
				t.Fatal(err)
			}
		}
		return bytes.Clone(block.Bytes())
	}
	head := append(pairs(":method", "POST", ":scheme", "http", ":authority", "gateway.example.com", ":path", "/", "authorization", "Bearer "+token), more...)
	err = errors.Join(
		framer.WriteSettings(),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encoded(head), EndHeaders: true}),
		framer.WriteData(1, trailer == nil, []byte("hi")),
	)
	if trailer != nil {
		err = errors.Join(err, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encoded(trailer), EndHeaders: true, EndStream: true}))
	}
	if err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return 0
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			status, err := strconv.Atoi(f.PseudoValue("status"))
			if err != nil {
				t.Fatal(err)
			}
			return status
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return 0
		}
	}
}
