package doctor

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

// answer is an answer to a GET.
type answer struct {
	status   int
	header   http.Header
	body     []byte
	at       time.Time     // this machine's clock, in the middle of the request
	within   time.Duration // half of what the request took
	redirect string        // the Location, if it is a redirect
}

// maxBody is as much as package jwks reads of a key set.
const maxBody = 8 << 20

// get fetches an address. It follows no redirect, as a proxy's is a finding.
func (c *check) get(ctx context.Context, address string) (*answer, error) {
	if err := fetch.NewClient(c.Client, c.InsecureHTTP).CheckURL(address); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if c.Client != nil {
		client.Transport = c.Client.Transport
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	r, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	took := time.Since(begun)
	if r.StatusCode == http.StatusSwitchingProtocols { // its body is the connection, which ends with no context
		return nil, fmt.Errorf("%s answered 101", address)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", address, err)
	}
	return &answer{
		status: r.StatusCode, header: r.Header, body: body, redirect: r.Header.Get("Location"),
		at: begun.Add(took / 2), within: took / 2,
	}, nil
}

// clock compares this machine's clock with the Date of the issuer's answer.
func (c *check) clock(m metadata) {
	if m.answer == nil {
		return
	}
	date, err := http.ParseTime(m.answer.header.Get("Date"))
	if err != nil {
		c.add(Unchecked, "clock", "The issuer's answers have no Date, so the clocks cannot be compared.", "Compare them by hand, or have the proxy keep the header.")
		return
	}
	if age, err := strconv.Atoi(m.answer.header.Get("Age")); err == nil { // a cache answered
		if age < 0 || age > manySeconds {
			c.add(Unchecked, "clock", fmt.Sprintf("The issuer's answer has an Age of %d s, so the clocks cannot be compared.", age), "Have no cache in front of the issuer that keeps its metadata for so long.")
			return
		}
		date = date.Add(time.Duration(age) * time.Second)
	}
	// Date holds whole seconds, rounded down.
	off := m.answer.at.Sub(date.Add(500 * time.Millisecond))
	uncertain := m.answer.within + 500*time.Millisecond
	least := max(0, off.Abs()-uncertain)
	side := "ahead of"
	if off < 0 {
		side = "behind"
	}
	switch {
	case least > c.Leeway:
		c.add(Wrong, "clock", fmt.Sprintf("This machine's clock is %v %s the issuer's (Date %s). Leeway is %v, so tokens are refused.", off.Abs().Round(time.Second), side, m.answer.header.Get("Date"), c.Leeway),
			"Set both clocks by NTP.")
	case least > 2*time.Second:
		c.add(Notice, "clock", fmt.Sprintf("This machine's clock is %v %s the issuer's.", off.Abs().Round(time.Second), side), "Set both clocks by NTP.")
	default:
		c.goodf("clock", "This machine's clock agrees with the issuer's.")
	}
}
