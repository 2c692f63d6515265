package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/middleware/outbound"
)

// The gateway calls an upstream with a token of its own, which package outbound fetches: the
// caller's token stays behind, and plain headers say who called. A WebSocket passes too.
func TestGatewaysOwnToken(t *testing.T) {
	c := newCallers(t)
	token := c.token(t, nil)
	issuer := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"access_token":"the-gateways-own","token_type":"Bearer","expires_in":900}`)
	}))
	for _, face := range faces {
		t.Run(face, func(t *testing.T) {
			seen := make(chan map[string][]string, 8)
			upstream := serve(t, webSocketUpstream(t, seen))
			source, err := outbound.New(outbound.Config{TokenURL: issuer.URL, ClientID: "gateway", Secret: outbound.Secret("secret"), Resources: []string{upstream.URL}})
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			base := &http.Transport{}
			defer base.CloseIdleConnections()
			front := serve(t, newFront(t, face, c, newTestForwarder(t, ForwardConfig{UpstreamHost: true}), upstream.URL, source.Transport(base)))
			for _, upgrade := range []string{"", "Connection: Upgrade, Authorization\r\nUpgrade: websocket\r\n"} {
				conn, err := net.Dial("tcp", front.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n"+bearerLine(token)+upgrade+"X-Client-Id: admin\r\n\r\n")
				in := bufio.NewReader(conn)
				answer, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				if answer.StatusCode >= 400 {
					body, _ := io.ReadAll(answer.Body)
					t.Fatalf("status %d: %s", answer.StatusCode, body)
				}
				lines := <-seen
				if got := lines["authorization"]; !slices.Equal(got, []string{"Authorization: Bearer the-gateways-own"}) {
					t.Errorf("the upstream sees %q", got)
				}
				delete(lines, "authorization")
				wantIdentity(t, lines)
				if upgrade == "" {
					continue
				}
				if answer.StatusCode != http.StatusSwitchingProtocols {
					t.Fatalf("status %d, want 101", answer.StatusCode)
				}
				_, _ = io.WriteString(conn, "message\n")
				if line, err := in.ReadString('\n'); err != nil || line != "message\n" {
					t.Errorf("message %q, %v", line, err)
				}
			}
		})
	}
}
