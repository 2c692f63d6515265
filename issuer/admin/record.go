package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// Record is a client and a secret for it, as [ReadRecords] reads them.
type Record struct {
	Client registry.Client // its only secret is that of client_secret_hash, if any
	Secret string          // client_secret, to be hashed by registry.HashSecret; empty for none
}

// ReadRecords reads a JSON array of clients in the form of this API. Each may have a
// client_secret, which is any that registry.HashSecret takes, or a client_secret_hash,
// which is any that registry.ImportSecret takes. Unknown and repeated members are
// refused, and so are two clients with the same id.
//
// Ignored: version and client_id_issued_at. A secret from a file has no label and does
// not expire: label is refused, and so is client_secret_expires_at unless it is 0.
func ReadRecords(doc []byte) ([]Record, error) {
	var entries []json.RawMessage
	err := json.Unmarshal(doc, &entries)
	if err == nil && entries == nil {
		err = errors.New("it is null")
	}
	if err != nil {
		return nil, fmt.Errorf("admin: not a JSON array of client records: %w", err)
	}
	records := make([]Record, 0, len(entries))
	seen := map[string]bool{}
	for n, entry := range entries {
		r, err := readRecord(entry)
		if err == nil && seen[r.Client.ID] {
			err = fmt.Errorf("client_id %q is that of an earlier record", r.Client.ID)
		}
		if err != nil {
			return nil, fmt.Errorf("admin: client record %d: %w", n+1, err)
		}
		seen[r.Client.ID] = true
		records = append(records, r)
	}
	return records, nil
}

func readRecord(doc []byte) (Record, error) {
	var r record
	if err := unmarshal(doc, &r); err != nil {
		return Record{}, err
	}
	if r.Secrets != nil {
		return Record{}, errors.New("secrets: write client_secret")
	}
	if r.Label != "" {
		return Record{}, errors.New("label: leave it out: the secret of a file has none")
	}
	if r.secretExpiry() != 0 {
		return Record{}, errors.New("client_secret_expires_at: write 0, for never, or leave it out")
	}
	if r.Secret != "" && !registry.ValidSecret(r.Secret) {
		return Record{}, errors.New("client_secret: write 1 to 1024 characters of printable ASCII")
	}
	if r.Secret != "" && r.SecretHash != "" {
		return Record{}, errors.New("client_secret and client_secret_hash are both set: write one of them")
	}
	c, refused := r.client()
	if refused != nil {
		return Record{}, errors.New(refused.description)
	}
	if r.SecretHash != "" || r.SecretID != "" {
		secret, refused := importSecret(r.SecretID, r.SecretHash)
		if refused != nil {
			return Record{}, errors.New(refused.description)
		}
		c.Secrets = []registry.Secret{secret}
	}
	c.Version = 0
	return Record{c, r.Secret}, nil
}

// record is a client as the API shows it: the names of RFC 7591, section 2 where
// it has one, and never the hash of a secret.
type record struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret,omitempty"` // at registration, once
	// SecretHash is the hash of a secret to import, and SecretID is its id, generated if
	// it is left out. Label is that of the secret, generated or imported. No answer shows
	// them here.
	SecretHash string  `json:"client_secret_hash,omitempty"`
	SecretID   string  `json:"secret_id,omitempty"`
	Label      string  `json:"label,omitempty"`
	IssuedAt   integer `json:"client_id_issued_at,omitempty"`
	// SecretExpiresAt is when the secret expires, 0 for never. The answer to a
	// registration has it, others do not.
	SecretExpiresAt  *integer            `json:"client_secret_expires_at,omitempty"`
	Name             string              `json:"client_name,omitempty"`
	AuthMethod       string              `json:"token_endpoint_auth_method,omitempty"`
	JWKS             json.RawMessage     `json:"jwks,omitempty"`
	JWKSURI          string              `json:"jwks_uri,omitempty"`
	SubjectDN        string              `json:"tls_client_auth_subject_dn,omitempty"`
	SANDNS           string              `json:"tls_client_auth_san_dns,omitempty"`
	SANURI           string              `json:"tls_client_auth_san_uri,omitempty"`
	SANIP            string              `json:"tls_client_auth_san_ip,omitempty"`
	SANEmail         string              `json:"tls_client_auth_san_email,omitempty"`
	Workloads        []registry.Workload `json:"workload,omitempty"`
	DPoPBound        bool                `json:"dpop_bound_access_tokens,omitempty"`
	CertificateBound bool                `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	GrantTypes       []string            `json:"grant_types,omitempty"`
	Scope            string              `json:"scope,omitempty"`
	Audiences        []string            `json:"audiences,omitempty"`
	DefaultAudience  string              `json:"default_audience,omitempty"`
	Introspects      []string            `json:"introspects,omitempty"`
	TokenTTL         integer             `json:"token_ttl,omitempty"` // seconds
	Disabled         bool                `json:"disabled,omitempty"`
	Metadata         map[string]string   `json:"metadata,omitempty"`
	Version          integer             `json:"version,omitempty"`
	Secrets          []secretRecord      `json:"secrets,omitempty"`
}

// secretExpiry returns client_secret_expires_at, or 0 if it is left out.
func (r record) secretExpiry() integer {
	if r.SecretExpiresAt == nil {
		return 0
	}
	return *r.SecretExpiresAt
}

type secretRecord struct {
	ID         string    `json:"secret_id"`
	Label      string    `json:"label,omitempty"`
	Generated  bool      `json:"generated"`
	CreatedAt  time.Time `json:"created_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

func recordOf(c registry.Client) record {
	r := record{
		ID: c.ID, Name: c.Name, AuthMethod: c.AuthMethod, GrantTypes: []string{grantType},
		JWKS: c.JWKS, JWKSURI: c.JWKSURI, SubjectDN: c.TLSClientAuthSubjectDN, SANDNS: c.TLSClientAuthSANDNS, SANURI: c.TLSClientAuthSANURI, SANIP: c.TLSClientAuthSANIP,
		SANEmail: c.TLSClientAuthSANEmail, Workloads: c.Workloads, DPoPBound: c.DPoPBoundTokens, CertificateBound: c.CertificateBoundTokens,
		Scope: strings.Join(c.Scopes, " "), Audiences: c.Audiences, DefaultAudience: c.DefaultAudience,
		Introspects: c.Introspects, TokenTTL: integer(c.TokenTTL / time.Second), Disabled: c.Disabled, Metadata: c.Metadata, Version: integer(c.Version),
	}
	if !c.CreatedAt.IsZero() {
		r.IssuedAt = integer(c.CreatedAt.Unix())
	}
	for _, s := range c.Secrets {
		r.Secrets = append(r.Secrets, secretRecord{s.ID, s.Label, s.Generated(), s.CreatedAt, s.ExpiresAt, s.LastUsedAt})
	}
	return r
}

const grantType = "client_credentials"

// client returns the client of the record, without secrets.
func (r record) client() (registry.Client, *refusal) {
	for _, g := range r.GrantTypes {
		if g != grantType {
			return registry.Client{}, invalidMetadata("grant_types: the only one here is client_credentials")
		}
	}
	c := registry.Client{
		ID: r.ID, Name: r.Name, AuthMethod: r.AuthMethod, Audiences: r.Audiences, DefaultAudience: r.DefaultAudience,
		Introspects: r.Introspects, TokenTTL: time.Duration(r.TokenTTL) * time.Second, Disabled: r.Disabled, Metadata: r.Metadata, Version: int64(r.Version),
		JWKS: keySet(r.JWKS), JWKSURI: r.JWKSURI, TLSClientAuthSubjectDN: r.SubjectDN, TLSClientAuthSANDNS: r.SANDNS, TLSClientAuthSANURI: r.SANURI, TLSClientAuthSANIP: r.SANIP,
		TLSClientAuthSANEmail: r.SANEmail, Workloads: r.Workloads, DPoPBoundTokens: r.DPoPBound, CertificateBoundTokens: r.CertificateBound,
	}
	if r.Scope != "" {
		scopes, err := registry.ParseScope(r.Scope)
		if err != nil {
			return registry.Client{}, invalidMetadata("scope is not a list of scopes separated by single spaces")
		}
		c.Scopes = scopes
	}
	if r.TokenTTL < 0 || r.TokenTTL > maxSeconds {
		return registry.Client{}, invalidMetadata("token_ttl is not a number of seconds up to a year")
	}
	if err := c.Validate(); err != nil {
		return registry.Client{}, refusalOf(err)
	}
	if len(c.JWKS) > 0 {
		if err := checkKeys(c.JWKS); err != nil {
			return registry.Client{}, invalidMetadata("jwks: " + err.Error())
		}
	}
	return c, nil
}

// unchanged refuses a record that would change what only GET shows. What GET gave can
// be sent back.
func (r record) unchanged(stored record) *refusal {
	if r.IssuedAt != 0 && r.IssuedAt != stored.IssuedAt {
		return invalidMetadata("client_id_issued_at: a PUT does not change it: leave it out, or as GET gave it")
	}
	if r.Secrets != nil && !slices.EqualFunc(r.Secrets, stored.Secrets, secretRecord.same) {
		return invalidMetadata("secrets: a PUT does not change them: leave them out, or as GET gave them")
	}
	return nil
}

// same compares everything but the last use.
func (s secretRecord) same(other secretRecord) bool {
	return s.ID == other.ID && s.Label == other.Label && s.Generated == other.Generated &&
		s.CreatedAt.Equal(other.CreatedAt) && s.ExpiresAt.Equal(other.ExpiresAt)
}

// maxText is the longest text in a URL in bytes, as in a store.
const maxText = 1024

func isText(s string) bool {
	return len(s) <= maxText && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

const maxSeconds = integer(365 * 24 * time.Hour / time.Second)
