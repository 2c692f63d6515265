package registry

import (
	"maps"
	"slices"
	"time"
)

// The values of [Client.AuthMethod], as RFC 7591, section 2 names them.
const (
	ClientSecretBasic = "client_secret_basic"
	ClientSecretPost  = "client_secret_post"
)

// Client is a program that may get tokens. The JSON names are those of RFC 7591
// where it has one.
type Client struct {
	// ID is the client id: 1 to 256 characters of printable ASCII, but not "." or
	// "..". It becomes the token's sub. An app that also accepts users' tokens must make
	// sure that no client has the id of a user.
	ID string `json:"client_id"`

	Name     string `json:"client_name,omitempty"`
	Disabled bool   `json:"disabled,omitempty"` // gets no tokens

	// Secrets are the valid secrets, several during a rotation. At most one is
	// imported; of several imported ones the last counts.
	Secrets []Secret `json:"secrets,omitempty"`

	// AuthMethod is the only way the client may authenticate:
	// client_secret_basic or client_secret_post. Default: either.
	AuthMethod string `json:"token_endpoint_auth_method,omitempty"`

	// Scopes is everything the client may be granted (RFC 6749, section 3.3).
	Scopes []string `json:"scopes,omitempty"`

	// Audiences are the APIs the client may get tokens for: printable, without
	// white space, at most 1024 bytes each. Write absolute URIs, so that the client
	// can name them in resource (RFC 8707). Names such as "orders-api" are accepted,
	// because other issuers use them. Without an audience the client gets no token.
	Audiences []string `json:"audiences,omitempty"`

	// DefaultAudience is for requests that name no audience. Default: the only
	// element of Audiences. With several, such a request is refused.
	DefaultAudience string `json:"default_audience,omitempty"`

	// TokenTTL is the longest lifetime of the client's tokens, in whole seconds, at most
	// Config.MaxTokenTTL. Default: Config.TokenTTL.
	TokenTTL time.Duration `json:"token_ttl,omitempty"`

	// Introspects are the audiences whose tokens the client may introspect
	// (RFC 7662), beside those that have its ID as audience; "*" means all.
	Introspects []string `json:"introspects,omitempty"`

	// Metadata belongs to the app, such as a tenant: at most 32 entries, with keys
	// of 1 to 64 bytes and values of at most 512, all UTF-8 without NUL. The issuer
	// passes it to Config.Claims in Grant.Client and does not use it.
	Metadata map[string]string `json:"metadata,omitempty"`

	// Version counts the changes of the record. The store sets it, and the times. It
	// accepts an update only of the current version.
	Version   int64     `json:"version,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
}

// Clone returns a copy that shares nothing with the client; nil of nil.
func (c *Client) Clone() *Client {
	if c == nil {
		return nil
	}
	copied := *c
	copied.Secrets = slices.Clone(c.Secrets)
	copied.Scopes = slices.Clone(c.Scopes)
	copied.Audiences = slices.Clone(c.Audiences)
	copied.Introspects = slices.Clone(c.Introspects)
	copied.Metadata = maps.Clone(c.Metadata)
	return &copied
}

// ValidID reports whether id can be a client id: 1 to 256 characters of printable
// ASCII (VSCHAR of RFC 6749, appendix A), but not "." or "..", which no path of a URL
// can contain.
func ValidID(id string) bool { return isVSChar(id, maxID) && !isDots(id) }

// isDots reports whether s is a dot segment, which is removed from a path, also when it
// is escaped (RFC 3986, section 5.2.4). Everything else can be escaped.
func isDots(s string) bool { return s == "." || s == ".." }

// ValidSecret reports whether plain can be a client secret: 1 to 1024 characters
// of printable ASCII (VSCHAR of RFC 6749, appendix A).
func ValidSecret(plain string) bool { return isVSChar(plain, maxSecret) }

const (
	maxID     = 256
	maxSecret = 1024
)

// isVSChar reports whether s is 1 to limit characters of RFC 6749's VSCHAR.
func isVSChar(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
