package outbound

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// rawServer answers each connection by a func, over real connections. It ends with the
// test.
func rawServer(t *testing.T, answer func(c net.Conn)) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		close(ended)
		_ = listener.Close()
	})
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
					answer(c)
				}
			}()
		}
	}()
	return "http://" + listener.Addr().String() + "/token"
}

// overNetwork is a Source of a token endpoint on the loopback, by the default transport.
func overNetwork(t *testing.T, endpoint string, timeout time.Duration) *Source {
	t.Helper()
	return newSource(t, nil, func(c *Config) { c.TokenURL, c.HTTP, c.Timeout = endpoint, nil, timeout })
}

// The body of a 101 is the connection itself, and no context ends a read of it. It is not
// read: the fetch and Close would wait for ever.
func TestSwitchingProtocolsIsNotRead(t *testing.T) {
	hold := make(chan struct{})
	endpoint := rawServer(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		<-hold
	})
	s := overNetwork(t, endpoint, time.Minute)
	_, err := s.Token(t.Context())
	if refused, ok := errors.AsType[*Error](err); !ok || refused.Status != http.StatusSwitchingProtocols {
		t.Errorf("the error is %v", err)
	}
	s.Close()
	close(hold)
}

// An answer that ends anywhere is an error, or the whole token. Nothing is left behind.
func TestAnswersThatAreCutOff(t *testing.T) {
	const body = `{"access_token":"token-1","token_type":"Bearer","expires_in":3600}`
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"
	for name, whole := range map[string]string{
		"a length":  fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body),
		"chunks":    chunked + fmt.Sprintf("5\r\n%s\r\n%x\r\n%s\r\n0\r\nX: y\r\n\r\n", body[:5], len(body)-5, body[5:]),
		"no length": "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body,
	} {
		cuts := make(chan int, 1)
		endpoint := rawServer(t, func(c net.Conn) { _, _ = io.WriteString(c, whole[:<-cuts]) })
		f := overNetwork(t, endpoint, time.Minute).family.fetcher
		for cut := range len(whole) + 1 {
			cuts <- cut
			g, err := f.request(t.Context(), endpoint, attempt{secret: testSecret}, &want{})
			switch {
			case cut == len(whole) && (err != nil || g.token != "token-1"):
				t.Errorf("%s: the whole answer: %v", name, err)
			case cut < len(whole) && err == nil:
				t.Errorf("%s: cut at %d, it is taken", name, cut)
			case err != nil && !errors.Is(err, ErrUnavailable):
				t.Errorf("%s: cut at %d: %v", name, cut, err)
			}
		}
	}
}

// A server that sends a byte now and then, wherever it is in its answer, has until the
// timeout.
func TestSlowAnswersEndAtTheTimeout(t *testing.T) {
	drip := func(c net.Conn, text string) {
		for c != nil {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	const ok = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, answer := range map[string]func(c net.Conn){
		"the status line": func(c net.Conn) { drip(c, "H") },
		"headers":         func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "); drip(c, "y") },
		"103 for ever":    func(c net.Conn) { drip(c, "HTTP/1.1 103 Early Hints\r\n\r\n") },
		"a chunk's size":  func(c net.Conn) { _, _ = io.WriteString(c, ok); drip(c, "0") },
		"empty words":     func(c net.Conn) { _, _ = io.WriteString(c, ok); drip(c, "1\r\n \r\n") },
		"trailers":        func(c net.Conn) { _, _ = io.WriteString(c, ok+"2\r\n{}\r\n0\r\nX: "); drip(c, "y") },
		"an error's body": func(c net.Conn) {
			_, _ = io.WriteString(c, strings.Replace(ok, "200 OK", "503 No", 1))
			drip(c, "1\r\n \r\n")
		},
		"a redirect's body": func(c net.Conn) {
			_, _ = io.WriteString(c, strings.Replace(ok, "200 OK", "307 No\r\nLocation: /", 1))
			drip(c, "1\r\n \r\n")
		},
	} {
		s := overNetwork(t, rawServer(t, answer), 300*time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := s.Token(ctx)
		cancel()
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		s.Close() // returns, for nothing is left
	}
}

// A small answer that decompresses to a large one is read to the bound.
func TestCompressedAnswerIsBounded(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			t.Error("the request does not accept gzip")
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		for range 1 << 10 {
			if _, err := z.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}))
	defer web.Close()
	s := overNetwork(t, web.URL, time.Minute)
	_, err := s.family.fetcher.request(t.Context(), web.URL, attempt{secret: testSecret}, &want{})
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(fmt.Sprint(err), "larger than") {
		t.Errorf("the error is %v", err)
	}
}

// An issuer that was sent the secret gets it into no error, in whatever part of an answer
// it quotes it.
func TestQuotedSecretsAreWithheld(t *testing.T) {
	const secret = `pa"55\word`
	for name, answer := range map[string]string{
		"the status":    "HTTP/1.1 " + secret + "\r\n\r\n",
		"the protocol":  secret + "\r\n\r\n",
		"a header":      "HTTP/1.1 200 OK\r\n" + secret + "\r\n\r\n",
		"the length":    "HTTP/1.1 200 OK\r\nContent-Length: " + secret + "\r\n\r\n",
		"the encoding":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secret + "\r\n\r\n",
		"the location":  "HTTP/1.1 302 Found\r\nLocation: https://%" + secret + "\r\n\r\n",
		"a chunk":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + secret + "\r\n",
		"the trailer":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + secret + "\r\n\r\n",
		"a description": "HTTP/1.1 400 No\r\nConnection: close\r\n\r\n" + `{"error":"x","error_description":"pa\"55\\word"}`,
	} {
		endpoint := rawServer(t, func(c net.Conn) { _, _ = io.WriteString(c, answer) })
		f := overNetwork(t, endpoint, time.Minute).family.fetcher
		_, err := f.request(t.Context(), endpoint, attempt{secret: secret}, &want{})
		if text := fmt.Sprint(err); err == nil || strings.Contains(text, "55") {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

// Metadata that quotes the secret, which its server got before, gets it into no error.
func TestMetadataThatQuotesTheSecret(t *testing.T) {
	for name, document := range map[string]string{
		"the issuer":   `{"issuer":"` + testSecret + `"}`,
		"the endpoint": `{"issuer":"https://auth.example.com","token_endpoint":"http://` + testSecret + `/"}`,
	} {
		s := newSource(t, roundTrip(func(*http.Request) (*http.Response, error) { return answerOf(200, document), nil }), func(c *Config) {
			c.TokenURL, c.Issuer = "", "https://auth.example.com"
		})
		_, err := s.family.fetcher.fetch(t.Context(), &want{}, &uses{})
		if !errors.Is(err, ErrUnavailable) || strings.Contains(fmt.Sprint(err), testSecret) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

// A Retry-After of the year 9999 is the longest one, not none.
func TestFarRetryAfter(t *testing.T) {
	now := time.Now()
	h := http.Header{"Retry-After": {"Fri, 31 Dec 9999 23:59:59 GMT"}, "Date": {now.Add(-time.Second).UTC().Format(http.TimeFormat)}}
	if got := retryAfter(h, now); got != maxRetryAfter {
		t.Errorf("it is %v", got)
	}
}

// A transport that sends the request anew by itself, as net/http does while an HTTP/2
// server refuses streams, can do so few times.
func TestTransportSendsFewRequests(t *testing.T) {
	sent := 0
	s := newSource(t, roundTrip(func(r *http.Request) (*http.Response, error) {
		for body := r.Body; ; sent++ {
			text, err := io.ReadAll(body)
			if err != nil || string(text) != "grant_type=client_credentials" || sent > 100 {
				t.Errorf("request %d has the body %q, %v", sent, text, err)
				return nil, io.EOF
			}
			if body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}), nil)
	_, err := s.family.fetcher.request(t.Context(), testTokenURL, attempt{secret: testSecret}, &want{})
	if !errors.Is(err, ErrUnavailable) || sent == 0 || sent > 4 {
		t.Errorf("sent %d times again, %v", sent, err)
	}
}
