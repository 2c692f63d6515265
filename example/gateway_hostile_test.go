//go:build rehearsal

package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// attack is a request that must be answered want. Requests are written byte for byte, as
// package http would not send some of them.
type attack struct {
	name    string
	request string // after the request line and Host
	line    string
	want    []int
}

// attacks returns what an attacker sends. good and reader are valid tokens, and expired is
// not.
func attacks(good, reader, expired string) []attack {
	const get = "GET /invoices/1?as=nobody HTTP/1.1"
	bearer := func(token string) string { return "Authorization: Bearer " + token + "\r\n" }
	header, payload, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(payload, ".")
	encoded := base64.RawURLEncoding.EncodeToString
	unsigned := encoded([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + payload + "."
	unknownKey := encoded([]byte(`{"alg":"ES256","typ":"at+jwt","kid":"unknown"}`)) + "." + payload + "." + signature
	elsewhere := header + "." + encoded([]byte(`{"iss":"http://127.0.0.1:1","aud":"x"}`)) + "." + signature
	unauthorized, forbidden, bad := []int{401}, []int{403}, []int{400}
	return []attack{
		{"no token", "", get, unauthorized},
		{"garbage", bearer("garbage"), get, unauthorized},
		{"expired", bearer(expired), get, unauthorized},
		{"other signature", bearer(header + "." + payload + "." + strings.Repeat("A", 86)), get, unauthorized},
		{"unsigned", bearer(unsigned), get, unauthorized},
		{"unknown key", bearer(unknownKey), get, unauthorized},
		{"another issuer", bearer(elsewhere), get, unauthorized},
		{"long", bearer(strings.Repeat("x", 60<<10)), get, []int{401, 431}},
		{"two tokens", bearer(good) + bearer(reader), get, bad},
		{"basic", "Authorization: Basic Z29vZDpnb29k\r\n", get, unauthorized},
		{"scope", bearer(reader), get, forbidden},
		{"method", bearer(reader), "DELETE /orders/1?as=nobody HTTP/1.1", forbidden},
		{"route without a rule", bearer(good), "GET /orders?as=nobody HTTP/1.1", forbidden},
		{"the policy", bearer(good), "GET /policy HTTP/1.1", forbidden},
		{"encoded slash", bearer(good), "GET /orders/1%2F2?as=nobody HTTP/1.1", bad},
		{"dot segments", bearer(good), "GET /orders/../policy?as=nobody HTTP/1.1", bad},
		{"encoded dots", bearer(good), "GET /orders/%2e%2e/policy?as=nobody HTTP/1.1", bad},
		{"empty segment", bearer(good), "GET /orders//1?as=nobody HTTP/1.1", bad},
		{"semicolon", bearer(good), "GET /orders/1;x?as=nobody HTTP/1.1", bad},
		{"absolute target", bearer(good), "GET http://x/orders/1?as=nobody HTTP/1.1", bad},
		{"two lengths", bearer(good) + "Content-Length: 1\r\nContent-Length: 2\r\n", "POST /orders/1?as=nobody HTTP/1.1", bad},
		{"switch to h2c, refused", bearer(reader) + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", get, forbidden},
		// Valid, but for what it says of the caller: the upstream must hear that it is good.
		{"lies", bearer(good) + "X-Client-Id: admin\r\nx_client_id: admin\r\nConnection: X-Client-Id\r\n", "GET /invoices/1?as=good HTTP/1.1", []int{200}},
		{"folded header", bearer(good) + "X-Other: a\r\n X-Client-Id: admin\r\n", "GET /invoices/1?as=good HTTP/1.1", []int{200}},
		{"h2c", bearer(good) + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", "GET /invoices/1?as=good HTTP/1.1", []int{200}},
	}
}

// hostile attacks at the pace of the good requests.
func (s *gatewaySoak) hostile(n int, stop <-chan struct{}) {
	for !closed(stop) {
		n++
		time.Sleep(pace)
		all := attacks(s.token("good"), s.token("reader"), s.expiredToken())
		if n%29 == 0 {
			s.breakOff(n)
			continue
		}
		s.attack(all[n%len(all)])
	}
}

// attack sends a request on a connection of its own.
func (s *gatewaySoak) attack(a attack) {
	s.attacks.Add(1)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.gateway.url, "http://"))
	if err != nil {
		s.unanswered.Add(1)
		s.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute)) // a socket takes one
	go fmt.Fprint(conn, a.line+"\r\nHost: gateway\r\nConnection: close\r\n"+a.request+"\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.unanswered.Add(1)
		s.Errorf("%s: no answer: %v", a.name, err)
		return
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	for _, want := range a.want {
		if answer.StatusCode == want {
			return
		}
	}
	s.admitted.Add(1)
	s.Errorf("%s: %d %s, want %d", a.name, answer.StatusCode, body, a.want)
}

// breakOff sends a part of a request and leaves.
func (s *gatewaySoak) breakOff(n int) {
	s.leftOpen.Add(1)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.gateway.url, "http://"))
	if err != nil {
		s.Error(err)
		return
	}
	defer conn.Close()
	good := "Authorization: Bearer " + s.token("good") + "\r\n"
	parts := []string{
		"", "GET", "GET /invoices/1 HTTP/1.1\r\nHost: gateway\r\nX: ", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"GET /invoices/1?as=good HTTP/1.1\r\nHost: gateway\r\n" + good + "\r\n",                                // and reads no answer
		"GET /invoices/events?as=good HTTP/1.1\r\nHost: gateway\r\n" + good + "\r\n",                           // a stream
		"GET /orders/held?as=good HTTP/1.1\r\nHost: gateway\r\n" + good + "\r\n",                               // no answer from the upstream
		"POST /orders/new?as=good HTTP/1.1\r\nHost: gateway\r\nContent-Length: 100000\r\n" + good + "\r\nhalf", // a body that does not end
		"GET /invoices/socket?as=good HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + good + "\r\n",
	}
	_, _ = fmt.Fprint(conn, parts[n%len(parts)])
	if n%2 == 0 {
		time.Sleep(100 * time.Millisecond)
	}
}
