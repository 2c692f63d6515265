package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	bearer "github.com/echo-m2m/m2m/middleware"
)

// joined returns a list with a space between two items. An item with a space would be read
// as two.
func joined(items []string) (string, error) {
	text := make([]byte, 0, 64)
	for i, item := range items {
		if item == "" || strings.Contains(item, " ") {
			return "", fmt.Errorf("item %d is empty or has a space, which separates items", i)
		}
		if i > 0 {
			text = append(text, ' ')
		}
		text = append(text, item...)
	}
	return string(text), nil
}

// setHeaders sets the headers of the mapping.
func (f *Forwarder) setHeaders(h http.Header, t *bearer.Token) error {
	claims := claimReader{token: t}
	values := make([]string, 0, len(f.headers)) // in one piece
	for _, header := range f.headers {
		value, err := claims.value(header.claim)
		if err != nil {
			return fmt.Errorf("gateway: claim %q: %w", header.claim, err)
		}
		if value == "" {
			continue
		}
		values = append(values, value)
		h[header.name] = values[len(values)-1 : len(values) : len(values)]
	}
	return nil
}

// claimReader reads claims of one token.
type claimReader struct {
	token  *bearer.Token
	claims map[string]json.RawMessage // decoded when the first is needed
}

// value returns a claim as the value of a header, "" for none. Those that the guard has read
// are taken from there, as another issuer may call them otherwise.
func (c *claimReader) value(claim string) (value string, err error) {
	t := c.token
	switch claim {
	case "iss":
		value = t.Issuer
	case "sub":
		value = t.Subject
	case "client_id":
		value = t.ClientID
	case "jti":
		value = t.ID
	case "scope":
		value, err = joined(t.Scopes)
	default:
		if c.claims == nil {
			err = t.Claims(&c.claims)
		}
		if err == nil {
			value, err = textOf(c.claims[claim])
		}
	}
	if err == nil && !isHeaderValue(value) {
		err = fmt.Errorf("it is %.80q, which a header cannot hold", value)
	}
	return value, err
}

// textOf returns a claim as the value of a header, "" for one that is missing or null. No
// two different claims of one type have the same text.
func textOf(claim json.RawMessage) (string, error) {
	if len(claim) == 0 || bytes.Equal(claim, []byte("null")) {
		return "", nil
	}
	switch claim[0] {
	case '"':
		var text string
		err := json.Unmarshal(claim, &text)
		return text, err
	case '[':
		var list []*string
		if err := json.Unmarshal(claim, &list); err != nil {
			return "", fmt.Errorf("it is a list, and not of strings alone: %w", err)
		}
		items := make([]string, len(list))
		for i, item := range list {
			if item == nil {
				return "", fmt.Errorf("item %d is null", i)
			}
			items[i] = *item
		}
		return joined(items)
	case '{':
		return "", errors.New("it is an object: a header holds a text, a number, a boolean or a list of texts")
	}
	return string(claim), nil // a number, true or false, as written
}
