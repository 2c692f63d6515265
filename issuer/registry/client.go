package registry

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
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

	// AuthMethod is the only way the client may authenticate: [ClientSecretBasic],
	// [ClientSecretPost], [PrivateKeyJWT], [TLSClientAuth] or
	// [SelfSignedTLSClientAuth]. Default: every way for which the record has a
	// credential, so a client can move from one to another.
	AuthMethod string `json:"token_endpoint_auth_method,omitempty"`

	// JWKS holds the client's public keys: a JWK set (RFC 7517, section 5) of at most
	// 32 KiB. They verify the assertions of private_key_jwt, and with x5c they are the
	// certificates of self_signed_tls_client_auth. A store keeps the text byte for byte.
	// JWKSURI must be empty.
	JWKS json.RawMessage `json:"jwks,omitempty"`

	// JWKSURI is where the client publishes its keys instead. The issuer fetches it, so
	// only an administrator may set it. It is an https URL, or http on the loopback.
	JWKSURI string `json:"jwks_uri,omitempty"`

	// TLSClientAuthSubjectDN is the subject of the client's certificate for
	// tls_client_auth (RFC 8705, section 2.1.2), as RFC 4514 writes it. At most one of
	// this field and the next four is set.
	TLSClientAuthSubjectDN string `json:"tls_client_auth_subject_dn,omitempty"`

	// TLSClientAuthSANDNS is a dNSName among the certificate's alternative names.
	TLSClientAuthSANDNS string `json:"tls_client_auth_san_dns,omitempty"`

	// TLSClientAuthSANURI is a uniformResourceIdentifier among them.
	TLSClientAuthSANURI string `json:"tls_client_auth_san_uri,omitempty"`

	// TLSClientAuthSANIP is an iPAddress among them, in its canonical form (RFC 5952).
	TLSClientAuthSANIP string `json:"tls_client_auth_san_ip,omitempty"`

	// TLSClientAuthSANEmail is an rfc822Name among them.
	TLSClientAuthSANEmail string `json:"tls_client_auth_san_email,omitempty"`

	// Workloads are the workloads that are this client: each authenticates with a token
	// of another issuer. At most 32.
	Workloads []Workload `json:"workload,omitempty"`

	// DPoPBoundTokens means that every token of the client is bound to a key by DPoP
	// (RFC 9449, section 5.2). A token request without a proof is refused.
	DPoPBoundTokens bool `json:"dpop_bound_access_tokens,omitempty"`

	// CertificateBoundTokens means that every token of the client is bound to the
	// certificate of its TLS connection (RFC 8705, section 3.4). With DPoPBoundTokens it
	// is bound to both.
	CertificateBoundTokens bool `json:"tls_client_certificate_bound_access_tokens,omitempty"`

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
	copied.JWKS = slices.Clone(c.JWKS)
	copied.Workloads = slices.Clone(c.Workloads)
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
