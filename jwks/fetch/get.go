package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxDocument  = 1 << 20 // bytes of a document, decompressed, unless the request says otherwise
	maxRequested = 1 << 24 // the most that a request can say
	maxHeader    = 1 << 16 // bytes of a response header
	maxETag      = 1 << 10
	maxRedirects = 3
)

// Client fetches documents within the bounds of this package. It is safe for
// concurrent use. The zero Client and nil refuse to fetch.
type Client struct {
	http     *http.Client
	insecure bool
	bearer   *bearer // nil: no token is sent
}

// NewClient makes a Client. Of given it uses the Transport only; nil means a
// transport of its own, which takes a proxy from the environment as
// [http.ProxyFromEnvironment] does. insecureHTTP allows http to hosts other than
// the loopback, where anyone on the network path can replace a document.
func NewClient(given *http.Client, insecureHTTP bool) *Client {
	c := &Client{http: &http.Client{CheckRedirect: sameOrigin}, insecure: insecureHTTP}
	if given != nil && given.Transport != nil {
		c.http.Transport = given.Transport
	} else {
		c.http.Transport = newTransport(&net.Dialer{Timeout: maxDial}, nil)
	}
	return c
}

func (c *Client) allowsHTTP() bool { return c != nil && c.insecure }

// Request is one GET.
type Request struct {
	URL  string // what to fetch
	ETag string // of the document that the caller holds, for If-None-Match

	// Revalidate asks caches on the way for a document as the server has it now.
	Revalidate bool

	// MaxBytes bounds the document, decompressed. Default 1 MiB, at most 16 MiB.
	MaxBytes int
}

// Document is what a server answered.
type Document struct {
	Body      []byte        // as decompressed, without a byte order mark (RFC 8259, section 8.1)
	Unchanged bool          // 304: the document with Request.ETag is current, Body is empty
	ETag      string        // "" when there is none, or one of more than 1 KiB
	MaxAge    time.Duration // lifetime by Cache-Control (RFC 9111, section 5.2.2), if Stated
	Stated    bool          // Cache-Control states a lifetime
	Age       time.Duration // how much of the lifetime was over on arrival
}

// StatusError is an answer other than a document.
type StatusError struct {
	URL        string        // what was fetched
	Status     int           // the HTTP status of the answer
	RetryAfter time.Duration // 0 if the answer has no Retry-After
}

// Error names the URL and the status.
func (e *StatusError) Error() string {
	return fmt.Sprintf("fetch: %s answered %d", e.URL, e.Status)
}

var errZeroClient = errors.New("fetch: a zero Client: make it with NewClient")

// Get fetches one document. A status other than 200, or 304 for an ETag, is a
// [*StatusError].
//
// Not checked: the content type (issuers send all kinds) and the content.
func (c *Client) Get(ctx context.Context, r Request) (*Document, error) {
	if c == nil || c.http == nil {
		return nil, errZeroClient
	}
	if err := c.CheckURL(r.URL); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	if r.ETag != "" {
		req.Header.Set("If-None-Match", r.ETag)
	}
	if r.Revalidate {
		req.Header.Set("Cache-Control", "no-cache")
	}
	if err := c.bearer.authorize(req); err != nil {
		return nil, err
	}
	req, reason, end := limitConnections(req)
	defer end()
	sent := time.Now()
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", reason(err))
	}
	defer func() { _ = res.Body.Close() }() // everything needed has been read
	doc := &Document{Unchanged: res.StatusCode == http.StatusNotModified && r.ETag != ""}
	if res.StatusCode != http.StatusOK && !doc.Unchanged {
		return nil, &StatusError{URL: r.URL, Status: res.StatusCode, RetryAfter: RetryAfter(res.Header)}
	}
	if !doc.Unchanged {
		most := maxDocument
		if r.MaxBytes > 0 {
			most = min(r.MaxBytes, maxRequested)
		}
		doc.Body, err = io.ReadAll(io.LimitReader(res.Body, int64(most)+1))
		if err != nil {
			return nil, fmt.Errorf("fetch: reading %s: %w", r.URL, err)
		}
		if len(doc.Body) > most {
			return nil, fmt.Errorf("fetch: %s is larger than %d bytes", r.URL, most)
		}
		doc.Body = bytes.TrimPrefix(doc.Body, []byte("\ufeff"))
		if doc.ETag = res.Header.Get("ETag"); len(doc.ETag) > maxETag {
			doc.ETag = ""
		}
	}
	doc.MaxAge, doc.Stated = freshness(res.Header)
	doc.Age = deltaSeconds(res.Header.Get("Age")) + time.Since(sent) // RFC 9111, section 4.2.3
	return doc, nil
}

// freshness returns the lifetime of RFC 9111, section 5.2.2. Of Cache-Control it
// reads max-age, no-cache and no-store. It does not read Expires.
func freshness(h http.Header) (d time.Duration, stated bool) {
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-cache", "no-store":
			return 0, true
		case "max-age":
			if !stated {
				d, stated = deltaSeconds(strings.Trim(value, `"`)), true // section 1.2.2; unreadable means stale, section 4.2.1
			}
		}
	}
	return d, stated
}

// RetryAfter returns what Retry-After asks for (RFC 9110, section 10.2.3), in seconds or
// as a date. It is 0 if the header is missing or invalid, and negative for a date in the
// past.
func RetryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if at, err := http.ParseTime(value); err == nil {
		return time.Until(at)
	}
	return deltaSeconds(value)
}

// deltaSeconds reads the delta-seconds of RFC 9111, section 1.2.2. Invalid input is
// 0; overflow saturates.
func deltaSeconds(value string) time.Duration {
	n, err := strconv.ParseUint(value, 10, 31)
	if errors.Is(err, strconv.ErrRange) {
		n = 1<<31 - 1
	} else if err != nil {
		n = 0
	}
	return time.Duration(n) * time.Second
}
