package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"
)

// streamUpstream answers in the ways that a gateway must not break. Each answer begins with
// the identity that the upstream sees.
func streamUpstream(t *testing.T) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "data: %s %d\n\n", r.Header["X-Client-Id"], i)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done() // an endless stream
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		_, _ = fmt.Fprintln(w, r.Header["X-Client-Id"])
		_ = control.Flush()
		for in := bufio.NewScanner(r.Body); in.Scan(); {
			_, _ = fmt.Fprintln(w, in.Text())
			_ = control.Flush()
		}
	})
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = fmt.Fprint(w, r.Header["X-Client-Id"], r.Header["Te"])
		_ = http.NewResponseController(w).Flush() // with a Content-Length, HTTP/1.1 has no trailers
		w.Header().Set("X-Sum", "1")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	})
	mux.HandleFunc("/continue", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = fmt.Fprint(w, r.Header["X-Client-Id"], len(body))
	})
	mux.HandleFunc("/hints", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = fmt.Fprint(w, r.Header["X-Client-Id"])
	})
	return mux
}

// A stream passes in both directions as it would without the Forwarder, with HTTP/1.1 and
// HTTP/2 on both sides.
func TestStreamsPass(t *testing.T) {
	c := newCallers(t)
	token := c.token(t, nil)
	for _, face := range faces {
		for _, upstreamProtocol := range []*http.Protocols{nil, onlyHTTP2()} {
			for _, clientProtocol := range []*http.Protocols{nil, onlyHTTP2()} {
				t.Run(fmt.Sprintf("%s, client %v, upstream %v", face, clientProtocol, upstreamProtocol), func(t *testing.T) {
					upstream := serve(t, streamUpstream(t))
					transport := &http.Transport{Protocols: upstreamProtocol, ExpectContinueTimeout: 10 * time.Second}
					defer transport.CloseIdleConnections()
					front := serve(t, newFront(t, face, c, newTestForwarder(t, ForwardConfig{}), upstream.URL, transport))
					own := &http.Transport{Protocols: clientProtocol, ExpectContinueTimeout: 10 * time.Second}
					defer own.CloseIdleConnections()
					s := &stream{t, &http.Client{Transport: own}, front.URL, token}
					s.events()
					s.bothWays(face, clientProtocol != nil)
					s.trailers()
					s.expectContinue()
					s.hints()
				})
			}
		}
	}
}

// stream is a client of the gateway.
type stream struct {
	t           *testing.T
	client      *http.Client
	base, token string
}

func (s *stream) do(ctx context.Context, method, path string, body io.Reader, header ...string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, s.base+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := s.client.Do(r)
	if err != nil {
		s.t.Fatalf("%s: %v", path, err)
	}
	if answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: status %d", path, answer.StatusCode)
	}
	return answer
}

func (s *stream) events() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	answer := s.do(ctx, "GET", "/events", nil)
	defer answer.Body.Close()
	in := bufio.NewReader(answer.Body)
	for i := range 3 { // while the upstream has not ended
		line, err := in.ReadString('\n')
		if want := fmt.Sprintf("data: [app1] %d\n", i); err != nil || line != want {
			s.t.Fatalf("event %q, %v, want %q", line, err, want)
		}
		_, _ = in.ReadString('\n')
	}
	cancel() // reaches the upstream, whose handler ends: the test server waits for it
}

func (s *stream) bothWays(face string, http2 bool) {
	s.t.Helper()
	if !http2 {
		return // a proxy over HTTP/1.1 reads the body before it answers, with or without us
	}
	body, feed := io.Pipe()
	defer feed.Close()
	answer := s.do(s.t.Context(), "POST", "/echo", body)
	defer answer.Body.Close()
	in := bufio.NewReader(answer.Body)
	if line, err := in.ReadString('\n'); err != nil || line != "[app1]\n" {
		s.t.Fatalf("%s: identity %q, %v", face, line, err)
	}
	for i := range 3 {
		_, _ = fmt.Fprintln(feed, "line", i)
		if line, err := in.ReadString('\n'); err != nil || line != fmt.Sprintln("line", i) {
			s.t.Fatalf("line %q, %v", line, err)
		}
	}
}

func (s *stream) trailers() {
	s.t.Helper()
	answer := s.do(s.t.Context(), "GET", "/trailers", nil, "TE", "trailers")
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || string(body) != "[app1] [trailers]" {
		s.t.Errorf("body %q, %v", body, err)
	}
	if got := answer.Trailer.Get("X-Sum") + answer.Trailer.Get("Grpc-Status"); got != "10" {
		s.t.Errorf("trailers %v", answer.Trailer)
	}
}

func (s *stream) expectContinue() {
	s.t.Helper()
	continued := make(chan struct{}, 4)
	ctx := httptrace.WithClientTrace(s.t.Context(), &httptrace.ClientTrace{Got100Continue: func() { continued <- struct{}{} }})
	answer := s.do(ctx, "POST", "/continue", strings.NewReader(strings.Repeat("a", 100_000)), "Expect", "100-continue")
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "[app1] 100000" {
		s.t.Errorf("body %q, %v", body, err)
	}
	if len(continued) == 0 {
		s.t.Error("there was no 100 Continue")
	}
}

func (s *stream) hints() {
	s.t.Helper()
	var hints []int
	ctx := httptrace.WithClientTrace(s.t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		hints = append(hints, code)
		return nil
	}})
	answer := s.do(ctx, "GET", "/hints", nil)
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "[app1]" {
		s.t.Errorf("body %q, %v", body, err)
	}
	if !slices.Equal(hints, []int{http.StatusEarlyHints}) {
		s.t.Errorf("1xx answers %d", hints)
	}
}

// webSocketUpstream switches protocols if asked to, and then echoes lines. It answers "no" to
// /no, and to what else it gets on the same connection.
func webSocketUpstream(t *testing.T, seen chan<- map[string][]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lines := map[string][]string{}
		for name, values := range r.Header {
			for _, value := range values {
				lines[foldedName(name)] = append(lines[foldedName(name)], name+": "+value)
			}
		}
		seen <- lines
		if r.URL.Path == "/no" || r.Header.Get("Upgrade") == "" {
			_, _ = io.WriteString(w, "no")
			return
		}
		conn, both, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = both.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = both.Flush()
		for {
			line, err := both.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = both.WriteString(line)
			_ = both.Flush()
		}
	})
}

// A WebSocket passes, and the rules for headers are those of any other request. A client
// whose upstream does not switch cannot send it another request past the gateway.
func TestWebSocketPasses(t *testing.T) {
	c := newCallers(t)
	token := c.token(t, nil)
	for _, face := range faces {
		t.Run(face, func(t *testing.T) {
			seen := make(chan map[string][]string, 8)
			upstream := serve(t, webSocketUpstream(t, seen))
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			front := serve(t, newFront(t, face, c, newTestForwarder(t, ForwardConfig{}), upstream.URL, transport))
			open := func(path string) (net.Conn, *bufio.Reader) {
				conn, err := net.Dial("tcp", front.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				_, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: a\r\n"+bearerLine(token)+
					"Connection: Upgrade, X-Client-Id\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX_Client_Id: admin\r\nx-client-id: admin\r\n\r\n")
				return conn, bufio.NewReader(conn)
			}

			conn, in := open("/")
			defer conn.Close()
			answer, err := http.ReadResponse(in, nil)
			if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("answer %v, %v", answer, err)
			}
			lines := <-seen
			wantIdentity(t, lines)
			if got := lines["connection"]; !slices.Equal(got, []string{"Connection: Upgrade"}) || !slices.Equal(lines["upgrade"], []string{"Upgrade: websocket"}) {
				t.Errorf("the upstream sees %q and %q", got, lines["upgrade"])
			}
			if lines["sec-websocket-key"] == nil {
				t.Error("the key of the WebSocket is missing")
			}
			for i := range 3 {
				_, _ = fmt.Fprintln(conn, "message", i)
				if line, err := in.ReadString('\n'); err != nil || line != fmt.Sprintln("message", i) {
					t.Fatalf("message %q, %v", line, err)
				}
			}

			conn, in = open("/no")
			defer conn.Close()
			answer, err = http.ReadResponse(in, nil)
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Fatalf("answer %v, %v", answer, err)
			}
			if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "no" {
				t.Fatalf("body %q, %v", body, err)
			}
			wantIdentity(t, <-seen)
			_, _ = io.WriteString(conn, "GET /no HTTP/1.1\r\nHost: a\r\nX-Client-Id: admin\r\n\r\n")
			answer, err = http.ReadResponse(in, nil) // by the gateway
			if err != nil || answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("answer %v, %v", answer, err)
			}
			if len(seen) > 0 {
				t.Errorf("the upstream sees %q", <-seen)
			}
		})
	}
}
