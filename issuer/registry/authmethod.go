package registry

import (
	"strings"
)

// The values of [Client.AuthMethod], as RFC 7591, section 2 and RFC 8705, section 2 name
// them.
const (
	ClientSecretBasic = "client_secret_basic"
	ClientSecretPost  = "client_secret_post"

	// PrivateKeyJWT is a signed assertion (RFC 7523): with a key of JWKS or JWKSURI, or
	// the token of one of Workloads.
	PrivateKeyJWT = "private_key_jwt"

	// TLSClientAuth is a certificate of a CA with the subject that the record names.
	TLSClientAuth = "tls_client_auth"

	// SelfSignedTLSClientAuth is a certificate that JWKS or JWKSURI has.
	SelfSignedTLSClientAuth = "self_signed_tls_client_auth"
)

// UsesSecret reports whether the client authenticates with a secret: AuthMethod says so,
// or it is empty and the record has no other credential. [Ensure] and package
// issuer/admin generate a secret for such a client only.
func (c *Client) UsesSecret() bool {
	switch {
	case c == nil:
		return false
	case c.AuthMethod != "":
		return c.AuthMethod == ClientSecretBasic || c.AuthMethod == ClientSecretPost
	}
	return !c.hasKeys() && len(c.Workloads) == 0 && c.subject() == ""
}

func (c *Client) hasKeys() bool { return len(c.JWKS) > 0 || c.JWKSURI != "" }

// validateCredentials checks what the client authenticates with, but for its secrets.
func (c *Client) validateCredentials() error {
	if len(c.JWKS) > 0 && c.JWKSURI != "" {
		return invalid("Client.JWKSURI", "is set beside Client.JWKS: write one of them") // RFC 7591, section 2
	}
	if len(c.JWKS) > 0 {
		if problem := keySetProblem(c.JWKS); problem != "" {
			return invalid("Client.JWKS", "%s", problem)
		}
	}
	if c.JWKSURI != "" && !isRemote(c.JWKSURI) {
		return invalid("Client.JWKSURI", "%.300q: write an https URL, or http on the loopback, of at most %d bytes, without user and fragment", c.JWKSURI, maxText)
	}
	if err := c.validateSubject(); err != nil {
		return err
	}
	if err := c.validateWorkloads(); err != nil {
		return err
	}
	return c.validateAuthMethod()
}

// validateAuthMethod wants a credential for a method that has a field of its own, because
// the client could not authenticate.
func (c *Client) validateAuthMethod() error {
	switch c.AuthMethod {
	case "", ClientSecretBasic, ClientSecretPost:
	case PrivateKeyJWT:
		if !c.hasKeys() && len(c.Workloads) == 0 {
			return invalid("Client.AuthMethod", "%s needs Client.JWKS, Client.JWKSURI or Client.Workloads", c.AuthMethod)
		}
	case TLSClientAuth:
		if c.subject() == "" {
			return invalid("Client.AuthMethod", "%s needs Client.TLSClientAuthSubjectDN or one of the four Client.TLSClientAuthSAN…", c.AuthMethod)
		}
	case SelfSignedTLSClientAuth:
		if !c.hasKeys() {
			return invalid("Client.AuthMethod", "%s needs Client.JWKS or Client.JWKSURI", c.AuthMethod)
		}
	default:
		return invalid("Client.AuthMethod", "%.300q: write %s", c.AuthMethod, strings.Join(authMethods, ", "))
	}
	return nil
}

var authMethods = []string{ClientSecretBasic, ClientSecretPost, PrivateKeyJWT, TLSClientAuth, SelfSignedTLSClientAuth}
