package outbound

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Token is an access token. It prints without its text: [Token.Text] returns that. The
// zero Token is none.
type Token struct{ held *held }

// held is a token in hand.
type held struct {
	text   string
	header string // of Authorization
	times
	scopes   []string
	offset   time.Duration
	refused  atomic.Bool   // by an API
	use      atomic.Uint32 // unused, used or overdue
	replaced atomic.Bool   // an API refused the token, and that has caused a fetch
	identity *identity     // the certificate that it was fetched with; nil without

	replacement bool // the token before was replaced so
}

// The schemes with which tokens are sent, and the types that they have.
const (
	schemeBearer = "Bearer"
	schemeDPoP   = "DPoP"
)

// The states of a held token. A token that is not used is not refreshed.
const (
	unused  = iota // since it was fetched
	used           // since then
	overdue        // its time to be refreshed came while it was unused
)

// usable reports whether there is a token that can be sent now.
func (h *held) usable(now time.Time) bool { return h != nil && h.times.usable(now) }

// quotedIn reports whether an error quotes the token or its proof, as net/http does with
// parts of a broken answer. A context's error never counts.
func (h *held) quotedIn(err error, proof string) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	text, quoted := err.Error(), strconv.Quote(h.text)
	return strings.Contains(text, h.text) || quotesJWT(text, proof) || strings.Contains(text, quoted[1:len(quoted)-1])
}

// Text returns the token as it is sent. Empty for the zero Token.
func (t Token) Text() string {
	if t.held == nil {
		return ""
	}
	return t.held.text
}

// Type returns the token's type, "Bearer" or "DPoP". A DPoP token is of use only with a
// proof by the key of Config.DPoP (RFC 9449, section 7). Empty for the zero Token.
func (t Token) Type() string {
	if t.held == nil {
		return ""
	}
	scheme, _, _ := strings.Cut(t.held.header, " ")
	return scheme
}

// Expires returns the end of the token's life, by the clock here. A Source stops using
// it up to 5 s before.
func (t Token) Expires() time.Time {
	if t.held == nil {
		return time.Time{}
	}
	return t.held.expires
}

// Scopes returns the scopes that the server granted, or those that were asked for if it
// did not say.
func (t Token) Scopes() []string {
	if t.held == nil {
		return nil
	}
	return slices.Clone(t.held.scopes)
}

// String tells only when the token expires.
func (t Token) String() string {
	if t.held == nil {
		return "no token"
	}
	return "token until " + t.held.expires.Round(0).UTC().Format(time.RFC3339)
}

// GoString is String, for %#v.
func (t Token) GoString() string { return t.String() }

// MarshalText is String, for JSON and package slog.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
