package issuer

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
)

// tokenClaims are the claims of a token before it is signed.
type tokenClaims struct {
	Grant

	id            string // jti
	now, lifetime int64  // seconds
	bound         binding
}

// appendPayload appends the claims of RFC 9068, section 2.2.
func (i *Issuer) appendPayload(ctx context.Context, p []byte, c *tokenClaims) ([]byte, *Error) {
	p = append(p, i.issClaim...)
	p = appendString(p, c.Client.ID)
	p = append(p, `,"aud":`...)
	p = appendAudience(p, c.Audience)
	p = append(p, `,"exp":`...)
	p = strconv.AppendInt(p, c.now+c.lifetime, 10)
	p = append(p, `,"iat":`...)
	p = strconv.AppendInt(p, c.now, 10)
	p = append(p, `,"jti":`...)
	p = appendString(p, c.id)
	p = append(p, `,"client_id":`...)
	p = appendString(p, c.Client.ID)
	if len(c.Scopes) > 0 {
		p = append(p, `,"scope":`...)
		p = appendScope(p, c.Scopes)
	}
	p = c.bound.appendTo(p)
	if i.claims != nil {
		var err *Error
		if p, err = i.appendCustom(ctx, p, c.Grant); err != nil {
			return nil, err
		}
	}
	return append(p, '}'), nil
}

// appendString appends a JSON string.
func appendString(dst []byte, s string) []byte {
	if !isPlain(s) {
		encoded, err := json.Marshal(s)
		if err != nil { // does not happen with a string
			encoded = []byte(`""`)
		}
		return append(dst, encoded...)
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// isPlain reports whether s needs no escape in JSON.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return true
}

// appendScope appends scopes as one JSON string. A valid scope needs no escape (RFC 6749,
// section 3.3), but scopes from a store may be invalid.
func appendScope(dst []byte, scopes []string) []byte {
	start := len(dst)
	dst = append(dst, '"')
	for n, s := range scopes {
		if !isPlain(s) {
			return appendString(dst[:start], strings.Join(scopes, " "))
		}
		if n > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, s...)
	}
	return append(dst, '"')
}

// appendAudience appends aud: a string for one audience, an array for more (RFC 7519,
// section 4.1.3).
func appendAudience(dst []byte, audience []string) []byte {
	if len(audience) == 1 {
		return appendString(dst, audience[0])
	}
	for n, a := range audience {
		dst = append(dst, "[,"[min(n, 1)])
		dst = appendString(dst, a)
	}
	return append(dst, ']')
}
