package sqlstore

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// authentication are the fields of a client that its row keeps as one JSON object. The
// key set is a string there, so that it comes back byte for byte.
type authentication struct {
	JWKS                   string              `json:"jwks,omitempty"`
	JWKSURI                string              `json:"jwks_uri,omitempty"`
	TLSClientAuthSubjectDN string              `json:"tls_client_auth_subject_dn,omitempty"`
	TLSClientAuthSANDNS    string              `json:"tls_client_auth_san_dns,omitempty"`
	TLSClientAuthSANURI    string              `json:"tls_client_auth_san_uri,omitempty"`
	TLSClientAuthSANIP     string              `json:"tls_client_auth_san_ip,omitempty"`
	TLSClientAuthSANEmail  string              `json:"tls_client_auth_san_email,omitempty"`
	Workloads              []registry.Workload `json:"workload,omitempty"`
	DPoPBoundTokens        bool                `json:"dpop_bound_access_tokens,omitempty"`
	CertificateBoundTokens bool                `json:"tls_client_certificate_bound_access_tokens,omitempty"`
}

// authenticationOf is the column of a client.
type authenticationOf registry.Client

func (c *authenticationOf) Value() (driver.Value, error) {
	text, err := json.Marshal(authentication{
		string(c.JWKS), c.JWKSURI, c.TLSClientAuthSubjectDN, c.TLSClientAuthSANDNS, c.TLSClientAuthSANURI, c.TLSClientAuthSANIP, c.TLSClientAuthSANEmail,
		c.Workloads, c.DPoPBoundTokens, c.CertificateBoundTokens,
	})
	return string(text), err
}

func (c *authenticationOf) Scan(from any) error {
	var a authentication
	if err := scanJSON(from, &a); err != nil {
		return fmt.Errorf("the stored authentication of a client is damaged: %w", err)
	}
	c.JWKS, c.Workloads = nil, nil
	if a.JWKS != "" {
		c.JWKS = json.RawMessage(a.JWKS)
	}
	if len(a.Workloads) > 0 {
		c.Workloads = a.Workloads
	}
	c.JWKSURI, c.TLSClientAuthSubjectDN, c.TLSClientAuthSANDNS, c.TLSClientAuthSANURI = a.JWKSURI, a.TLSClientAuthSubjectDN, a.TLSClientAuthSANDNS, a.TLSClientAuthSANURI
	c.TLSClientAuthSANIP, c.TLSClientAuthSANEmail = a.TLSClientAuthSANIP, a.TLSClientAuthSANEmail
	c.DPoPBoundTokens, c.CertificateBoundTokens = a.DPoPBoundTokens, a.CertificateBoundTokens
	return nil
}
