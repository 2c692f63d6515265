package jwks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What is taken from an issuer is bounded: it may be broken, slow or hostile.
const (
	maxDocument  = 1 << 20 // bytes of a key set or metadata, decompressed
	maxHeader    = 1 << 16 // bytes of a response header
	maxETag      = 1 << 10
	maxRedirects = 3
)

// document is what an issuer answered.
type document struct {
	body      []byte
	unchanged bool // 304: what was named in If-None-Match still stands
	etag      string
	maxAge    time.Duration // freshness given by Cache-Control, if stated
	stated    bool
	age       time.Duration // how much of it was over on arrival
}

// statusError is an answer other than the document.
type statusError struct {
	url        string
	code       int
	retryAfter time.Duration
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s answered %d", e.url, e.code)
}

// newClient is the one that fetches. Of the caller's client it takes only the
// transport: redirects are followed by the rules here.
func newClient(given *http.Client) *http.Client {
	client := &http.Client{CheckRedirect: sameOrigin}
	if given != nil && given.Transport != nil {
		client.Transport = given.Transport
	} else {
		client.Transport = newTransport(&net.Dialer{})
	}
	return client
}

// newTransport checks each address when it is dialled, after the name is
// resolved: a check before would be fooled by a name that resolves differently
// the second time.
func newTransport(dialer *net.Dialer) *http.Transport {
	dialer.Control = func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return checkAddress(to.Addr())
	}
	return &http.Transport{
		// Where only a proxy leads out, Go programs find it in the environment.
		// The address that is checked is then the proxy's.
		Proxy:       http.ProxyFromEnvironment,
		DialContext: dialer.DialContext,
		// Fetches are minutes apart. A connection kept between them would be two
		// goroutines waiting for a server to have closed it.
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// cloudMetadata are the addresses outside 169.254.0.0/16 and fe80::/10 at which
// clouds give credentials to whatever asks from within a machine.
var cloudMetadata = []netip.Prefix{
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud
	netip.MustParsePrefix("fd00:ec2::/32"),      // AWS
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google Cloud
}

// nat64 is RFC 6052 §2.1: an IPv4 address in the last four bytes.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// thisNetwork is RFC 1122 §3.2.1.3; Linux takes all of it for the loopback.
var thisNetwork = netip.MustParsePrefix("0.0.0.0/8")

// checkAddress refuses addresses that no issuer has. Private ranges and the
// loopback are let through: issuers live there.
func checkAddress(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("") // ::ffff:169.254.169.254 is 169.254.169.254
	if b := addr.As16(); nat64.Contains(addr) {
		addr = netip.AddrFrom4([4]byte(b[12:])) // and so, behind a NAT64, is 64:ff9b::a9fe:a9fe
	}
	refused := !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || addr.IsLinkLocalUnicast() ||
		addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || thisNetwork.Contains(addr)
	for _, prefix := range cloudMetadata {
		refused = refused || prefix.Contains(addr)
	}
	if refused {
		return fmt.Errorf("no issuer can be at %v (link-local, multicast, unspecified and cloud metadata addresses are refused)", addr)
	}
	return nil
}

// checkURL reads the URL of something to be fetched: https, or http to the
// loopback, or any http when insecure.
func checkURL(raw string, insecure bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, err
	}
	name := u.Hostname()
	addr, err := netip.ParseAddr(name)
	literal := err == nil
	loopback := strings.EqualFold(name, "localhost") || (literal && addr.Unmap().IsLoopback())
	switch {
	case u.Scheme != "https" && u.Scheme != "http", name == "":
		return nil, fmt.Errorf("%.200q is not an absolute URL: write https://…", raw)
	case u.User != nil:
		return nil, fmt.Errorf("the URL of %s holds credentials: write it without them", u.Host)
	case u.Scheme == "http" && !loopback && !insecure:
		return nil, fmt.Errorf("%.200q is not https: write https://…, or set RemoteConfig.InsecureHTTP", raw)
	case literal:
		return u, checkAddress(addr) // for those behind a proxy or another transport
	}
	return u, nil
}

// sameOrigin is the redirect policy: whoever answers must be the host that was
// named, by the scheme that was named.
func sameOrigin(req *http.Request, via []*http.Request) error {
	from := via[0].URL
	if req.URL.Scheme != from.Scheme || !strings.EqualFold(req.URL.Host, from.Host) {
		return fmt.Errorf("redirected to another host (%s://%s)", req.URL.Scheme, req.URL.Host)
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("redirected more than %d times", maxRedirects)
	}
	return nil
}

// getDocument fetches a document. Its content type is not checked (issuers send all
// kinds); its content is for the caller to check.
func getDocument(ctx context.Context, client *http.Client, url, etag string, pastCaches bool) (*document, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	if pastCaches {
		req.Header.Set("Cache-Control", "no-cache")
	}
	sent := time.Now()
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // what was wanted of it is read
	doc := &document{unchanged: res.StatusCode == http.StatusNotModified && etag != ""}
	if res.StatusCode != http.StatusOK && !doc.unchanged {
		return nil, &statusError{url: url, code: res.StatusCode, retryAfter: retryAfter(res.Header)}
	}
	if !doc.unchanged {
		doc.body, err = io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", url, err)
		}
		if len(doc.body) > maxDocument {
			return nil, fmt.Errorf("%s is larger than %d bytes", url, maxDocument)
		}
		if doc.etag = res.Header.Get("ETag"); len(doc.etag) > maxETag {
			doc.etag = ""
		}
	}
	doc.maxAge, doc.stated = freshness(res.Header)
	doc.age = deltaSeconds(res.Header.Get("Age")) + time.Since(sent) // RFC 9111 §4.2.3
	return doc, nil
}

// freshness is the lifetime of RFC 9111 §5.2.2. Of Cache-Control it
// reads max-age, no-cache and no-store; Expires is not read.
func freshness(h http.Header) (d time.Duration, stated bool) {
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-cache", "no-store":
			return 0, true
		case "max-age":
			if !stated {
				d, stated = deltaSeconds(strings.Trim(value, `"`)), true // §1.2.2; unreadable means stale, §4.2.1
			}
		}
	}
	return d, stated
}

// retryAfter is RFC 9110 §10.2.3: seconds, or a date.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if at, err := http.ParseTime(value); err == nil {
		return time.Until(at)
	}
	return deltaSeconds(value)
}

// deltaSeconds reads RFC 9111 §1.2.2 delta-seconds; what is none is 0, and what is
// too many is many.
func deltaSeconds(value string) time.Duration {
	n, err := strconv.ParseUint(value, 10, 31)
	if errors.Is(err, strconv.ErrRange) {
		n = 1<<31 - 1
	} else if err != nil {
		n = 0
	}
	return time.Duration(n) * time.Second
}
