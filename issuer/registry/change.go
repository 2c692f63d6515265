package registry

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Kind says what a [Change] means. The zero Kind is none.
type Kind uint8

// The kinds of changes.
const (
	TokenRevoked  Kind = iota + 1 // the token TokenID is revoked
	ClientCutOff                  // every token of ClientID issued up to NotBefore is revoked; the record may have changed too
	ClientChanged                 // the record of ClientID has changed: replicas evict their copy
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case TokenRevoked:
		return "token revoked"
	case ClientCutOff:
		return "client cut off"
	case ClientChanged:
		return "client changed"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Change is an entry of the feed that all replicas follow.
type Change struct {
	Sequence int64 // its place in the feed, from 1; set by the store
	Kind     Kind  // what it means; required

	// TokenID is the jti of a revoked token: of TokenRevoked alone, at most 512
	// bytes.
	TokenID string

	// ClientID is the client that the change is about. TokenRevoked may leave it
	// empty.
	ClientID string

	// NotBefore is the time up to which a client's tokens are revoked, to the
	// second: of ClientCutOff alone.
	NotBefore time.Time

	ExpiresAt time.Time // when the change means nothing any more; required
}

// Page is a part of the feed at one moment.
type Page struct {
	// Changes are in order of their sequences.
	Changes []Change

	// End is the sequence of the last change ever written, expired ones included;
	// 0 for a new store. An End below since means that the feed was set back, by a
	// restored backup or a failover that lost commits: the caller then reads it
	// from 0 again, and keeps what it knows.
	End int64

	// More reports whether changes follow these. It is false on an empty page.
	More bool
}

const (
	// CutOffMargin is how far ahead [Manager].Update and Delete cut off a client
	// that is disabled or deleted. Until then a replica that has not read the feed
	// may still grant tokens.
	CutOffMargin = 5 * time.Second

	// cutOffFor is how long a cut-off stays in the feed at least: longer than any
	// token lives that an earlier configuration may have granted.
	cutOffFor = 90 * 24 * time.Hour

	// longestLeeway is how long after its expiry a verifier may still take a token.
	longestLeeway = 5 * time.Minute
)

// CutOff returns the change that revokes every token that the client was granted
// up to notBefore. It stays in the feed for 90 days, or for ttl if the client's
// tokens live longer, and 5 min.
func CutOff(clientID string, notBefore time.Time, ttl time.Duration) Change {
	return Change{
		Kind: ClientCutOff, ClientID: clientID, NotBefore: notBefore,
		ExpiresAt: notBefore.Add(max(ttl, cutOffFor) + longestLeeway),
	}
}

// changedFor is how long a ClientChanged stays in the feed: longer than any
// replica keeps a copy of the record.
const changedFor = time.Hour

// maxChangeID is how long the ids of a change may be.
const maxChangeID = 512

// Validate returns what is wrong with the change, naming the field. A [Store]
// calls it in Revoke.
func (c *Change) Validate() error {
	switch {
	case c.Kind < TokenRevoked || c.Kind > ClientChanged:
		return errors.New("registry: Change.Kind is missing: write TokenRevoked, ClientCutOff or ClientChanged")
	case c.Kind == TokenRevoked && c.TokenID == "":
		return errors.New("registry: Change.TokenID is missing: write the jti of the revoked token")
	case c.Kind != TokenRevoked && c.ClientID == "":
		return errors.New("registry: Change.ClientID is missing: write the id of the client")
	case c.Kind != TokenRevoked && c.TokenID != "":
		return fmt.Errorf("registry: Change.TokenID is of %v alone", TokenRevoked)
	case c.Kind == ClientCutOff && c.NotBefore.IsZero():
		return errors.New("registry: Change.NotBefore is zero: write the time up to which tokens are revoked")
	case c.Kind != ClientCutOff && !c.NotBefore.IsZero():
		return fmt.Errorf("registry: Change.NotBefore is of %v alone", ClientCutOff)
	case c.ExpiresAt.IsZero():
		return errors.New("registry: Change.ExpiresAt is zero: write when the revoked tokens expire")
	case !isText(c.TokenID, maxChangeID) || !isText(c.ClientID, maxChangeID):
		return fmt.Errorf("registry: Change.TokenID and ClientID are UTF-8 without NUL, at most %d bytes", maxChangeID)
	}
	return nil
}

// isText reports whether every database takes the text and gives it back as it is.
func isText(s string, limit int) bool {
	return len(s) <= limit && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}
