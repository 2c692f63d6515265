package registry

import (
	"fmt"
	"time"
)

// Kind says what a [Change] means. The zero Kind is none.
type Kind uint8

// The kinds of changes. A cut-off at sequence S refuses the tokens that were
// granted by a replica which had not read the feed up to S. Replicas evict their
// copies of the records that a cut-off or ClientChanged is about.
const (
	TokenRevoked  Kind = iota + 1 // the token TokenID is revoked
	ClientCutOff                  // the earlier tokens of ClientID are revoked; its record may have changed too
	SecretCutOff                  // the earlier tokens that ClientID got with SecretID are revoked; the record may have changed too
	AllCutOff                     // the earlier tokens of all clients are revoked
	ClientChanged                 // the record of ClientID has changed
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case TokenRevoked:
		return "token revoked"
	case ClientCutOff:
		return "client cut off"
	case SecretCutOff:
		return "secret cut off"
	case AllCutOff:
		return "all cut off"
	case ClientChanged:
		return "client changed"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Lifetime returns how long a change of the kind stays in the feed, from when it
// is written. It is 0 for TokenRevoked, whose ExpiresAt says that.
func (k Kind) Lifetime() time.Duration {
	switch k {
	case ClientCutOff, SecretCutOff, AllCutOff:
		return CutOffLifetime
	case ClientChanged:
		return changedLifetime
	case TokenRevoked:
	}
	return 0
}

// Change is an entry in the feed that all replicas follow.
type Change struct {
	Sequence int64 // its position in the feed, from 1; set by the store
	Kind     Kind  // what it means; required

	// TokenID is the jti of a revoked token, at most 512 bytes; for TokenRevoked only.
	TokenID string

	// ClientID is the client that the change is about, at most 512 bytes.
	// TokenRevoked may leave it empty, AllCutOff must.
	ClientID string

	// SecretID is the secret whose tokens are revoked, at most 1024 bytes; for
	// SecretCutOff only.
	SecretID string

	// ExpiresAt is when a revoked token expires; required for TokenRevoked. For other
	// kinds the store sets it to [Kind.Lifetime] after its own clock.
	ExpiresAt time.Time
}

// Page is a part of the feed at one moment.
type Page struct {
	// Changes are in order of their sequences.
	Changes []Change

	// End is the sequence of the last change ever written, expired or not; 0 for a
	// new store. An End below since means that the feed was set back, by a restored
	// backup or a failover that lost commits. The caller then reads it from 0 and
	// keeps what it knows.
	End int64

	// More reports whether changes follow these. It is false on an empty page.
	More bool

	// Now is the store's clock at that moment. Zero means that the store has no
	// clock but this machine's. A replica compares it with its own clock, allowing
	// for the time that the call took; see [MaxClockSkew].
	Now time.Time
}

const (
	// MaxTokenLifetime is the longest lifetime that an issuer may give a token.
	MaxTokenLifetime = 90 * 24 * time.Hour

	// CutOffLifetime is how long a cut-off stays in the feed: longer than any token
	// that it revokes is valid, plus the lag of a replica and the difference of clocks.
	CutOffLifetime = MaxTokenLifetime + 2*24*time.Hour

	// TokenGrace is how long a store keeps a TokenRevoked after its ExpiresAt.
	TokenGrace = 24 * time.Hour

	// changedLifetime is longer than any replica keeps a copy of a record.
	changedLifetime = time.Hour
)

// CutOff returns the change that revokes every token granted to the client so far.
func CutOff(clientID string) Change { return Change{Kind: ClientCutOff, ClientID: clientID} }

// The longest ids of a change.
const (
	maxChangeID       = 512
	maxChangeSecretID = 1024
)

// Validate returns what is wrong with the change: an [*InvalidError]. A [Store]
// calls it in Revoke.
func (c *Change) Validate() error {
	switch {
	case c == nil:
		return invalid("Change", "is nil")
	case c.Kind < TokenRevoked || c.Kind > ClientChanged:
		return invalid("Change.Kind", "is missing: write TokenRevoked, ClientCutOff, SecretCutOff, AllCutOff or ClientChanged")
	case c.Kind == TokenRevoked && c.TokenID == "":
		return invalid("Change.TokenID", "is missing: write the jti of the revoked token")
	case c.Kind != TokenRevoked && c.TokenID != "":
		return invalid("Change.TokenID", "is for %v only", TokenRevoked)
	case c.Kind == AllCutOff && c.ClientID != "":
		return invalid("Change.ClientID", "is not for %v: leave it empty", AllCutOff)
	case c.Kind != TokenRevoked && c.Kind != AllCutOff && c.ClientID == "":
		return invalid("Change.ClientID", "is missing: write the id of the client")
	case c.Kind == SecretCutOff && c.SecretID == "":
		return invalid("Change.SecretID", "is missing: write the id of the secret")
	case c.Kind != SecretCutOff && c.SecretID != "":
		return invalid("Change.SecretID", "is for %v only", SecretCutOff)
	case c.Kind == TokenRevoked && c.ExpiresAt.IsZero():
		return invalid("Change.ExpiresAt", "is zero: write when the revoked token expires")
	case !isText(c.TokenID, maxChangeID):
		return invalid("Change.TokenID", "write UTF-8 without NUL, at most %d bytes", maxChangeID)
	case !isText(c.ClientID, maxChangeID):
		return invalid("Change.ClientID", "write UTF-8 without NUL, at most %d bytes", maxChangeID)
	case !isText(c.SecretID, maxChangeSecretID):
		return invalid("Change.SecretID", "write UTF-8 without NUL, at most %d bytes", maxChangeSecretID)
	}
	return nil
}
