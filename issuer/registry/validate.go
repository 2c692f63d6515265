package registry

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The bounds of a client's record.
const (
	maxText          = 1024 // of a name, a label, a secret id or an audience
	maxMetadata      = 32
	maxMetadataKey   = 64
	maxMetadataValue = 512
)

// Validate returns what is wrong with the client: an [*InvalidError], which names
// the field. Every [Manager] calls it. Beyond that it refuses only what depends on other
// clients, such as an id that is taken.
//
// Not checked: that audiences are URIs, and that a verifier can use the keys of JWKS
// (package issuer/admin checks that).
func (c *Client) Validate() error {
	if c == nil {
		return invalid("Client", "is nil")
	}
	if !ValidID(c.ID) {
		return invalid("Client.ID", "%.300q: write 1 to %d characters of printable ASCII, but not . or ..", c.ID, maxID)
	}
	if _, secret := SecretID(c.ID); secret {
		return invalid("Client.ID", "has the form of a generated secret: ids are logged, so write another")
	}
	if !isText(c.Name, maxText) {
		return invalid("Client.Name", "write UTF-8 without NUL, at most %d bytes", maxText)
	}
	if err := c.validateCredentials(); err != nil {
		return err
	}
	for _, s := range c.Scopes {
		if !ValidScope(s) {
			return invalid("Client.Scopes", "%.300q is not a scope: write printable ASCII without space, quote and backslash", s)
		}
	}
	if hasTwice(c.Scopes) {
		return invalid("Client.Scopes", "names something twice")
	}
	if err := c.validateAudiences(); err != nil {
		return err
	}
	if c.TokenTTL < 0 || c.TokenTTL%time.Second != 0 {
		return invalid("Client.TokenTTL", "is %v: write whole seconds, or 0 for the issuer's", c.TokenTTL)
	}
	if err := c.validateSecrets(); err != nil {
		return err
	}
	if len(c.Metadata) > maxMetadata {
		return invalid("Client.Metadata", "has %d entries: write at most %d", len(c.Metadata), maxMetadata)
	}
	for key, value := range c.Metadata {
		if key == "" || !isText(key, maxMetadataKey) || !isText(value, maxMetadataValue) {
			return invalid("Client.Metadata", "%.64q: write keys of 1 to %d bytes and values of at most %d, UTF-8 without NUL", key, maxMetadataKey, maxMetadataValue)
		}
	}
	return nil
}

func (c *Client) validateAudiences() error {
	for _, audience := range c.Audiences {
		if !isAudience(audience) {
			return invalid("Client.Audiences", "%.300q: write 1 to %d bytes of printable UTF-8 without white space", audience, maxText)
		}
	}
	for _, audience := range c.Introspects {
		if !isText(audience, maxText) {
			return invalid("Client.Introspects", "%.300q: write UTF-8 without NUL, at most %d bytes", audience, maxText)
		}
	}
	if hasTwice(c.Audiences) {
		return invalid("Client.Audiences", "names something twice")
	}
	if c.DefaultAudience != "" && !slices.Contains(c.Audiences, c.DefaultAudience) {
		return invalid("Client.DefaultAudience", "%.300q is not in Client.Audiences", c.DefaultAudience)
	}
	return nil
}

func (c *Client) validateSecrets() error {
	ids := make([]string, 0, len(c.Secrets))
	for i := range c.Secrets {
		if field, problem := c.Secrets[i].problem(); problem != "" {
			return invalid(fmt.Sprintf("Client.Secrets[%d]%s", i, field), "%s", problem)
		}
		ids = append(ids, c.Secrets[i].ID)
	}
	if hasTwice(ids) {
		return invalid("Client.Secrets", "two of them have one ID")
	}
	return nil
}

func hasTwice(list []string) bool {
	sorted := slices.Sorted(slices.Values(list))
	return len(slices.Compact(sorted)) != len(list)
}

// isText reports whether every database stores the text unchanged.
func isText(s string, limit int) bool {
	return len(s) <= limit && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

// isAudience reports whether the text can be an audience.
func isAudience(s string) bool {
	return s != "" && isText(s, maxText) && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) })
}
