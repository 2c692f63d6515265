package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// Record is a client and a secret for it, as [ReadRecords] reads them.
type Record struct {
	Client registry.Client // without secrets
	Secret string          // to be hashed by registry.HashSecret; empty for none
}

// ReadRecords reads a JSON array of clients in the form of this API, each with a
// client_secret, which may be any that registry.HashSecret takes. Members that
// are unknown or repeated are refused, as are two clients of one id. version is
// ignored.
func ReadRecords(doc []byte) ([]Record, error) {
	var entries []json.RawMessage
	if err := json.Unmarshal(doc, &entries); err != nil {
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
	if r.Secret != "" && !registry.ValidSecret(r.Secret) {
		return Record{}, errors.New("client_secret: write 1 to 1024 characters of printable ASCII")
	}
	c, refused := r.client()
	if refused != nil {
		return Record{}, errors.New(refused.description)
	}
	c.Version = 0
	return Record{c, r.Secret}, nil
}

// record is a client as the API shows it: the names of RFC 7591, section 2 where
// it has one, and never the hash of a secret.
type record struct {
	ID       string `json:"client_id"`
	Secret   string `json:"client_secret,omitempty"` // at registration, once
	IssuedAt int64  `json:"client_id_issued_at,omitempty"`
	// SecretExpiresAt is 0 for never, and required where there is a secret.
	SecretExpiresAt *int64            `json:"client_secret_expires_at,omitempty"`
	Name            string            `json:"client_name,omitempty"`
	AuthMethod      string            `json:"token_endpoint_auth_method,omitempty"`
	GrantTypes      []string          `json:"grant_types,omitempty"`
	Scope           string            `json:"scope,omitempty"`
	Audiences       []string          `json:"audiences,omitempty"`
	DefaultAudience string            `json:"default_audience,omitempty"`
	Introspects     []string          `json:"introspects,omitempty"`
	TokenTTL        int64             `json:"token_ttl,omitempty"` // seconds
	Disabled        bool              `json:"disabled,omitempty"`
	Metadata        map[string]string `json:"metadata,omitempty"`
	Version         int64             `json:"version,omitempty"`
	Secrets         []secretRecord    `json:"secrets,omitempty"`
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
		Scope: strings.Join(c.Scopes, " "), Audiences: c.Audiences, DefaultAudience: c.DefaultAudience,
		Introspects: c.Introspects, TokenTTL: int64(c.TokenTTL / time.Second), Disabled: c.Disabled, Metadata: c.Metadata, Version: c.Version,
	}
	if !c.CreatedAt.IsZero() {
		r.IssuedAt = c.CreatedAt.Unix()
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
		Introspects: r.Introspects, TokenTTL: time.Duration(r.TokenTTL) * time.Second, Disabled: r.Disabled, Metadata: r.Metadata, Version: r.Version,
	}
	if r.Scope != "" {
		scopes, err := registry.ParseScope(r.Scope)
		if err != nil {
			return registry.Client{}, invalidMetadata("scope is not a list of scopes with one space between")
		}
		c.Scopes = scopes
	}
	if r.TokenTTL < 0 || r.TokenTTL > maxSeconds {
		return registry.Client{}, invalidMetadata("token_ttl is not a number of seconds up to a year")
	}
	for _, text := range slices.Concat([]string{r.Name, r.DefaultAudience}, r.Audiences, r.Introspects) {
		if !isText(text) {
			return registry.Client{}, invalidMetadata("a name or an audience is longer than 1024 bytes, or has a NUL")
		}
	}
	if err := c.Validate(); err != nil {
		return registry.Client{}, invalidMetadata(strings.TrimPrefix(err.Error(), "registry: "))
	}
	return c, nil
}

// maxText is how long the texts may be that registry.Client.Validate leaves open:
// what a store takes.
const maxText = 1024

func isText(s string) bool { return len(s) <= maxText && !strings.Contains(s, "\x00") }

const maxSeconds = int64(365 * 24 * time.Hour / time.Second)

// unmarshal reads one JSON object into a struct. Members that are repeated or
// that the struct does not have are refused, as are names that encoding/json
// would take for another: all of ours are of lower case letters and _.
func unmarshal(doc []byte, v any) error {
	members, err := object(doc)
	if err != nil {
		return err
	}
	for name, value := range members {
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			return fmt.Errorf("unknown member %q", name)
		}
		if value[0] == '{' { // metadata
			if _, err := object(value); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	decoder := json.NewDecoder(strings.NewReader(string(doc)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// object reads the members of one JSON object, which have unique names.
func object(doc []byte) (map[string]json.RawMessage, error) {
	claims, err := jose.ParseObject(string(doc))
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "jose: "))
	}
	var members map[string]json.RawMessage
	err = claims.Unmarshal(&members)
	return members, err
}
