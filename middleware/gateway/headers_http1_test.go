package gateway

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	clean   = 200 // the upstream sees what the gateway sets, and nothing of the client's
	refused = 400 // the server of the gateway refuses the request; the upstream sees nothing
)

const webSocketAttempt = "WebSocket that is not granted"

// smuggled are attempts to bring an identity to the upstream over HTTP/1.1. Each says
// "admin" where the upstream would read a client id.
var smuggled = []struct {
	name string
	head string // lines between the Authorization header and the end of the head
	body string // with a body the request is a POST
	want int
}{
	{"nothing", "", "", clean},
	{"the name itself", "X-Client-Id: admin\r\n", "", clean},
	{"lower case", "x-client-id: admin\r\n", "", clean},
	{"mixed case", "x-ClIeNt-iD: admin\r\n", "", clean},
	{"underscores", "X_Client_Id: admin\r\n", "", clean},
	{"one underscore", "X-Client_Id: admin\r\n", "", clean},
	{"underscores in lower case", "x_client_id: admin\r\n", "", clean},
	{"dots", "X.Client.Id: admin\r\n", "", clean},
	{"other punctuation", "X~Client!Id: admin\r\nX|Client*Id: admin\r\nX'Client`Id: admin\r\n", "", clean},
	{"twice", "X-Client-Id: admin\r\nX-Client-Id: admin\r\n", "", clean},
	{"name and twin", "X-Client-Id: admin\r\nX_Client_Id: admin\r\nx-client_id: admin\r\n", "", clean},
	{"all names", "X-Client-Id: admin\r\nX-Client-Scopes: admin\r\nX-Token-Issuer: admin\r\n", "", clean},
	{"all twins", "X_Client_Id: admin\r\nX_Client_Scopes: admin\r\nX_Token_Issuer: admin\r\n", "", clean},
	{"empty value", "X-Client-Id:\r\n", "", clean},
	{"other credentials", "Proxy-Authorization: Bearer admin\r\nProxy_Authorization: Bearer admin\r\nClient-Cert: :admin:\r\nClient_Cert: :admin:\r\nClient-Cert-Chain: :admin:\r\nDPoP: admin\r\n", "", clean},
	{"another method", "X-HTTP-Method-Override: DELETE\r\nX_HTTP_Method_Override: DELETE\r\nX-HTTP-Method: DELETE\r\nx-method-override: DELETE\r\n", "", clean},
	{"another path", "X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nX_Original_Url: /admin\r\nx.rewrite.url: /admin\r\n", "", clean},
	{"space before the colon", "X-Client-Id : admin\r\n", "", refused},
	{"tab before the colon", "X-Client-Id\t: admin\r\n", "", refused},
	{"no name", ": admin\r\n", "", refused},
	{"space in the name", "X Client Id: admin\r\n", "", refused},
	{"NUL in the name", "X-Client-Id\x00: admin\r\n", "", refused},
	{"NUL in a value", "X-Note: a\x00X-Client-Id: admin\r\n", "", refused},
	{"bytes above ASCII in the name", "X-Client\xadId: admin\r\n", "", refused},
	{"LF alone", "X-Note: a\nX-Client-Id: admin\r\n", "", clean},
	{"CR alone", "X-Note: a\rX-Client-Id: admin\r\n", "", refused},
	{"CR LF CR", "X-Note: a\r\n\rX-Client-Id: admin\r\n", "", refused},
	{"folded value", "X-Client-Id:\r\n admin\r\n", "", clean},
	{"folded into another", "X-Note: a\r\n X-Client-Id: admin\r\n", "", clean},
	{"folded with a tab", "X-Note: a\r\n\tX-Client-Id: admin\r\n", "", clean},
	{"Connection", "Connection: X-Client-Id\r\n", "", clean},
	{"Connection, more", "Connection: keep-alive, X-Client-Id, x-client-scopes,X-TOKEN-ISSUER\r\n", "", clean},
	{"Connection twice", "Connection: keep-alive\r\nConnection: X-Client-Id\r\nConnection: X-Token-Issuer\r\n", "", clean},
	{"Connection with the header", "Connection: X-Client-Id\r\nX-Client-Id: admin\r\n", "", clean},
	{"Connection with a twin", "Connection: X_Client_Id, X-Client_Scopes\r\nX_Client_Id: admin\r\n", "", clean},
	{"Connection with Authorization", "Connection: Authorization, Host\r\n", "", clean},
	{"Connection folded", "Connection: keep-alive,\r\n X-Client-Id\r\n", "", clean},
	{"Connection with empty items", "Connection: ,, ,X-Client-Id,\t\r\n", "", clean},
	{"Proxy-Connection", "Proxy-Connection: X-Client-Id\r\nKeep-Alive: X-Client-Id\r\n", "", clean},
	{"h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n", "", clean},
	{"another protocol", "Connection: Upgrade, X-Client-Id\r\nUpgrade: admin\r\n", "", clean},
	{"two protocols", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", "", clean},
	{"two protocols in two lines", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n", "", clean},
	{"WebSocket without Connection", "Upgrade: websocket\r\n", "", clean},
	{webSocketAttempt, "Connection: Upgrade, X-Client-Id\r\nUpgrade: websocket\r\nX_Client_Id: admin\r\n", "", clean},
	{"TE", "TE: trailers, X-Client-Id\r\nConnection: TE, X-Client-Id\r\n", "", clean},
	{"trailer", "Transfer-Encoding: chunked\r\nTrailer: X-Client-Id\r\n", "2\r\nhi\r\n0\r\nX-Client-Id: admin\r\n\r\n", clean},
	{"trailer, twin", "Transfer-Encoding: chunked\r\nTrailer: X_Client_Id, X-Note\r\n", "2\r\nhi\r\n0\r\nX_Client_Id: admin\r\nX-Note: a\r\n\r\n", clean},
	{"trailer that is not announced", "Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\nX-Client-Id: admin\r\n\r\n", clean},
	{"trailer and Connection", "Transfer-Encoding: chunked\r\nConnection: Trailer, X-Client-Id\r\nTrailer: X-Client-Id\r\n", "2\r\nhi\r\n0\r\nX-Client-Id: admin\r\n\r\n", clean},
	{"two lengths", "Content-Length: 2\r\nContent-Length: 40\r\n", "hiGET / HTTP/1.1\r\nX-Client-Id: admin\r\n\r\n", refused},
	{"length and chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nX-Client-Id: admin\r\n\r\n", clean},
	{"a second request in the body", "Content-Length: 47\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX-Client-Id: admin\r\n\r\n", clean},
}

// identityWanted are the lines that the upstream is to see, by folded name. No other line
// may have a protected name or a twin of one.
var identityWanted = map[string]string{
	"x-client-id":     "X-Client-Id: app1",
	"x-client-scopes": "X-Client-Scopes: orders:read orders:write",
	"x-token-issuer":  "X-Token-Issuer: " + callerIssuer,
}

var neverForwarded = []string{
	"authorization", "dpop", "client-cert", "client-cert-chain", "proxy-authorization", "proxy-connection", "keep-alive", "http2-settings",
	"x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url",
}

func wantIdentity(t *testing.T, lines map[string][]string) {
	t.Helper()
	for name, line := range identityWanted {
		if got := lines[name]; !slices.Equal(got, []string{line}) {
			t.Errorf("%s: the upstream sees %q, want %q", name, got, line)
		}
	}
	for _, name := range neverForwarded {
		if got := lines[name]; got != nil {
			t.Errorf("%s: the upstream sees %q", name, got)
		}
	}
	for _, line := range slices.Concat(lines["connection"], lines["trailer"], lines["te"]) {
		if folded := foldedName(line); strings.Contains(folded, "client") || strings.Contains(folded, "issuer") {
			t.Errorf("the upstream sees %q", line)
		}
	}
}

// A client over HTTP/1.1, byte by byte, cannot change what the upstream reads of it.
func TestNothingIsSmuggledOverHTTP1(t *testing.T) {
	c := newCallers(t)
	token := c.token(t, nil)
	for _, face := range faces {
		t.Run(face, func(t *testing.T) {
			one, two := newRawUpstream(t), newHTTP2Upstream(t)
			transport := &http.Transport{DisableKeepAlives: true}
			front := serve(t, newFront(t, face, c, newTestForwarder(t, ForwardConfig{}), one.url(), transport))
			front2 := serve(t, newFront(t, face, c, newTestForwarder(t, ForwardConfig{}), two.url, two.transport))
			for _, attempt := range smuggled {
				t.Run(attempt.name, func(t *testing.T) {
					method := "GET"
					if attempt.body != "" {
						method = "POST"
					}
					request := method + " / HTTP/1.1\r\nHost: gateway.example.com\r\n" + bearerLine(token) + attempt.head + "\r\n" + attempt.body
					if attempt.want == clean {
						request += "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" // ends the connection: 401
					}
					codes, _ := exchangeOnce(t, front.Listener.Addr().String(), request)
					seen := one.take()
					if codes[0] != attempt.want {
						t.Fatalf("status %d, want %d", codes, attempt.want)
					}
					if attempt.want == refused {
						if len(seen) > 0 {
							t.Errorf("the upstream sees %q", seen)
						}
						return
					}
					if len(seen) != 1 {
						t.Fatalf("the upstream sees %d requests: %q", len(seen), seen)
					}
					wantIdentity(t, fieldLines(seen[0]))

					codes, _ = exchangeOnce(t, front2.Listener.Addr().String(), request)
					if attempt.name == webSocketAttempt {
						if codes[0] != http.StatusBadGateway { // HTTP/2 has no Upgrade
							t.Errorf("upstream over HTTP/2: status %d, want 502", codes)
						}
						return
					}
					if codes[0] != clean {
						t.Fatalf("upstream over HTTP/2: status %d, want 200", codes)
					}
					wantIdentity(t, two.take(t))
				})
			}
		})
	}
}

// exchangeOnce wants at least one answer.
func exchangeOnce(t *testing.T, address, request string) ([]int, []string) {
	t.Helper()
	codes, bodies := exchange(t, address, request)
	if len(codes) == 0 {
		t.Fatal("no answer")
	}
	return codes, bodies
}

// http2Upstream keeps the fields of each request that it gets over HTTP/2.
type http2Upstream struct {
	url       string
	transport *http.Transport
	mu        sync.Mutex
	seen      []map[string][]string
}

func newHTTP2Upstream(tb testing.TB) *http2Upstream {
	tb.Helper()
	u := &http2Upstream{}
	u.url = serve(tb, u).URL
	u.transport = &http.Transport{Protocols: onlyHTTP2()}
	tb.Cleanup(u.transport.CloseIdleConnections)
	return u
}

func (u *http2Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	lines := map[string][]string{}
	if r.ProtoMajor != 2 {
		lines["proxy-connection"] = []string{"not HTTP/2: " + r.Proto}
	}
	for name, values := range r.Header {
		for _, value := range values {
			lines[foldedName(name)] = append(lines[foldedName(name)], name+": "+value)
		}
	}
	body := http.MaxBytesReader(w, r.Body, 1<<20)
	for buffer := make([]byte, 1024); ; {
		if _, err := body.Read(buffer); err != nil {
			break
		}
	}
	for name, values := range r.Trailer {
		lines[foldedName(name)] = append(lines[foldedName(name)], append([]string{"trailer " + name}, values...)...)
	}
	u.mu.Lock()
	u.seen = append(u.seen, lines)
	u.mu.Unlock()
	_, _ = w.Write([]byte("ok"))
}

// take returns the fields of the one request since the last take.
func (u *http2Upstream) take(t *testing.T) map[string][]string {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := u.seen
	u.seen = nil
	if len(seen) != 1 {
		t.Fatalf("the upstream sees %d requests: %q", len(seen), seen)
	}
	return seen[0]
}
