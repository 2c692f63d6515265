package tool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// record is a client in JSON, in the form of the admin API.
type record struct {
	ID               string              `json:"client_id"`
	Secret           string              `json:"client_secret,omitempty"` // read from files; never written but by add
	SecretExpiresAt  int64               `json:"client_secret_expires_at,omitempty"`
	IssuedAt         int64               `json:"client_id_issued_at,omitempty"` // seconds since 1970
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
	Scope            string              `json:"scope,omitempty"` // one space between scopes
	Audiences        []string            `json:"audiences,omitempty"`
	DefaultAudience  string              `json:"default_audience,omitempty"`
	Introspects      []string            `json:"introspects,omitempty"`
	TokenTTL         int64               `json:"token_ttl,omitempty"` // seconds
	Disabled         *bool               `json:"disabled,omitempty"`
	Metadata         map[string]string   `json:"metadata,omitempty"`
	Version          int64               `json:"version,omitempty"`
	UpdatedAt        time.Time           `json:"updated_at,omitzero"`
	Secrets          []secretRecord      `json:"secrets,omitempty"`
}

type secretRecord struct {
	ID         string    `json:"secret_id"`
	Label      string    `json:"label,omitempty"`
	Generated  bool      `json:"generated"`
	Hash       string    `json:"hash,omitempty"` // of export -hashes
	CreatedAt  time.Time `json:"created_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

// recordOf returns all of a client but the hashes of its secrets.
func recordOf(c *registry.Client) record {
	r := settings(c)
	r.Version, r.UpdatedAt = c.Version, c.UpdatedAt
	if !c.CreatedAt.IsZero() {
		r.IssuedAt = c.CreatedAt.Unix()
	}
	for _, s := range c.Secrets {
		r.Secrets = append(r.Secrets, secretRecord{s.ID, s.Label, s.Generated(), "", s.CreatedAt, s.ExpiresAt, s.LastUsedAt})
	}
	return r
}

// settings returns what an operator decides of a client, without its secrets.
func settings(c *registry.Client) record {
	r := record{
		ID: c.ID, Name: c.Name, AuthMethod: c.AuthMethod, Scope: strings.Join(c.Scopes, " "), Audiences: c.Audiences,
		DefaultAudience: c.DefaultAudience, Introspects: c.Introspects, TokenTTL: int64(c.TokenTTL / time.Second), Metadata: c.Metadata,
		JWKS: c.JWKS, JWKSURI: c.JWKSURI, SubjectDN: c.TLSClientAuthSubjectDN, SANDNS: c.TLSClientAuthSANDNS, SANURI: c.TLSClientAuthSANURI, SANIP: c.TLSClientAuthSANIP,
		SANEmail: c.TLSClientAuthSANEmail, Workloads: c.Workloads, DPoPBound: c.DPoPBoundTokens, CertificateBound: c.CertificateBoundTokens,
	}
	if c.Disabled {
		r.Disabled = &c.Disabled
	}
	return r
}

const maxSeconds = int64(365 * 24 * time.Hour / time.Second)

// client returns the client of the record, without secrets.
func (r *record) client() (registry.Client, error) {
	for _, grant := range r.GrantTypes {
		if grant != "client_credentials" {
			return registry.Client{}, errors.New("grant_types: the only one is client_credentials")
		}
	}
	if r.TokenTTL < 0 || r.TokenTTL > maxSeconds {
		return registry.Client{}, errors.New("token_ttl: write a number of seconds up to a year")
	}
	c := registry.Client{
		ID: r.ID, Name: r.Name, AuthMethod: r.AuthMethod, Audiences: r.Audiences, DefaultAudience: r.DefaultAudience,
		Introspects: r.Introspects, TokenTTL: time.Duration(r.TokenTTL) * time.Second, Metadata: r.Metadata, Version: r.Version,
		JWKSURI: r.JWKSURI, TLSClientAuthSubjectDN: r.SubjectDN, TLSClientAuthSANDNS: r.SANDNS, TLSClientAuthSANURI: r.SANURI, TLSClientAuthSANIP: r.SANIP,
		TLSClientAuthSANEmail: r.SANEmail, Workloads: r.Workloads, DPoPBoundTokens: r.DPoPBound, CertificateBoundTokens: r.CertificateBound,
	}
	if string(r.JWKS) != "null" {
		c.JWKS = r.JWKS
	}
	if r.Disabled != nil {
		c.Disabled = *r.Disabled
	}
	if r.Scope != "" {
		scopes, err := registry.ParseScope(r.Scope)
		if err != nil {
			return registry.Client{}, errors.New("scope: write scopes with one space between each two")
		}
		c.Scopes = scopes
	}
	return c, c.Validate()
}

// readRecord reads one record. Unknown and repeated members are refused.
func readRecord(doc []byte) (record, error) {
	var r record
	members, err := strict(doc, reflect.TypeFor[record]())
	if err != nil {
		return r, err
	}
	var secrets []json.RawMessage
	if err := json.Unmarshal(orNull(members["secrets"]), &secrets); err != nil {
		return r, errors.New("secrets: write an array of objects")
	}
	for _, secret := range secrets {
		if _, err := strict(secret, reflect.TypeFor[secretRecord]()); err != nil {
			return r, fmt.Errorf("secrets: %w", err)
		}
	}
	if _, err := readWorkloads(members["workload"]); err != nil {
		return r, fmt.Errorf("workload: %w", err)
	}
	if metadata := orNull(members["metadata"]); string(metadata) != "null" {
		if _, err := jose.ParseObject(string(metadata)); err != nil {
			return r, fmt.Errorf("metadata: %w", err)
		}
	}
	if err := json.Unmarshal(doc, &r); err != nil {
		var mismatch *json.UnmarshalTypeError
		if errors.As(err, &mismatch) && mismatch.Field != "" {
			return r, fmt.Errorf("%s: it must not be a JSON %s", mismatch.Field, mismatch.Value)
		}
		return r, err
	}
	return r, nil
}

func orNull(doc json.RawMessage) json.RawMessage {
	if len(bytes.TrimSpace(doc)) == 0 {
		return json.RawMessage("null")
	}
	return doc
}

// strict reads the members of one JSON object, whose names are exactly those of the
// struct's fields.
func strict(doc []byte, t reflect.Type) (map[string]json.RawMessage, error) {
	object, err := jose.ParseObject(string(doc))
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "jose: "))
	}
	var members map[string]json.RawMessage
	if err := object.Unmarshal(&members); err != nil {
		return nil, err
	}
	known := knownTo(t)
	for name := range members {
		if !known[name] {
			return nil, fmt.Errorf("unknown member %.64q", name)
		}
	}
	return members, nil
}

// knownTo returns the names of the members that a struct has.
func knownTo(t reflect.Type) map[string]bool {
	known := map[string]bool{}
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		known[name] = true
	}
	return known
}
