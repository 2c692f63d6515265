package outbound

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// answer is a successful answer of the token endpoint (RFC 6749, section 5.1).
type answer struct {
	token  string
	life   time.Duration // by expires_in, if stated
	stated bool
	scopes []string // nil if the answer does not say: those that were asked for
}

const (
	maxAnswer = 64 << 10       // bytes of an answer, decompressed
	maxToken  = 16 << 10       // bytes of a token, as in most servers' headers
	maxLife   = 24 * time.Hour // longer lifetimes are cut to it
)

// errNotJSON does not wrap the reader's error, which quotes the document: a broken
// server may have put a token or the secret there.
var errNotJSON = errors.New("outbound: the token endpoint's answer is not one JSON object with unique names")

// parseAnswer reads the body of an answer with status 200, strictly. scheme is the type
// that the token must have.
func parseAnswer(body, scheme string) (*answer, error) {
	o, err := jose.ParseObject(body)
	if err != nil {
		return nil, errNotJSON
	}
	if hasError(&o) { // some servers send errors with status 200
		return nil, refusalOf(http.StatusOK, &o)
	}
	a := &answer{}
	token, _, err := o.String("access_token")
	if err != nil || !isToken(token) {
		return nil, &unusableError{fmt.Sprintf("access_token is missing, is longer than %d bytes, or has characters that no token has", maxToken)}
	}
	a.token = token
	// A token of another type must not be sent (RFC 6749, section 7.1). The type's case
	// does not matter (section 5.1).
	switch typ, _, err := o.String("token_type"); {
	case err == nil && strings.EqualFold(typ, scheme):
	case scheme == schemeDPoP:
		// Anyone who steals such a token could use it (RFC 9449, section 5).
		return nil, &unusableError{"token_type is not DPoP: the server has not bound the token to the key: turn DPoP on for this client there, or leave Config.DPoP out"}
	default:
		return nil, &unusableError{"token_type is not Bearer"}
	}
	if a.life, a.stated, err = lifetime(&o); err != nil {
		return nil, err
	}
	if scope, ok, err := o.String("scope"); err == nil && ok {
		a.scopes = strings.Fields(scope)
	}
	return a, nil
}

// hasError reports whether the member error says something. Some servers send all members
// always, with null, false or an empty text for none.
func hasError(o *jose.Object) bool {
	raw, ok := o.Raw("error")
	if text, _, err := o.String("error"); err == nil && strings.TrimSpace(text) == "" {
		return false
	}
	return ok && string(raw) != "null" && string(raw) != "false"
}

// isToken reports whether a token fits into an Authorization header: 1*VSCHAR (RFC 6749,
// appendix A.12) without spaces.
func isToken(token string) bool {
	return token != "" && len(token) <= maxToken && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

// lifetime reads expires_in. A number in any spelling of JSON and a string of digits are
// taken. More than 24 h, 1e30 included, is 24 h. Less than a second is an error, and so
// is anything else. Null counts as absent.
func lifetime(o *jose.Object) (life time.Duration, stated bool, err error) {
	raw, ok := o.Raw("expires_in")
	text := string(raw)
	if !ok || text == "null" {
		return 0, false, nil
	}
	if digits, _, err := o.String("expires_in"); err == nil {
		if digits == "" || strings.Trim(digits, "0123456789") != "" {
			return 0, false, &unusableError{"expires_in is a text that is no number of seconds"}
		}
		text = digits
	}
	seconds, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil && !math.IsInf(seconds, 1):
		return 0, false, &unusableError{"expires_in is not a number of seconds"}
	case seconds < 1:
		return 0, false, &unusableError{"expires_in is less than a second"}
	case seconds > maxLife.Seconds():
		return maxLife, true, nil
	}
	return time.Duration(seconds) * time.Second, true, nil
}

// refusal reads the body of an answer with another status than 200. The body may be
// anything, such as a proxy's page.
func refusal(status int, body string) *Error {
	o, err := jose.ParseObject(body)
	if err != nil {
		return refusalOf(status, &jose.Object{})
	}
	return refusalOf(status, &o)
}

func refusalOf(status int, o *jose.Object) *Error {
	e := &Error{Status: status, Code: code(o), Description: description(o)}
	if status >= 500 || status == 408 || status == 425 || status == 429 || e.Code == "server_error" || e.Code == "temporarily_unavailable" {
		e.cause = ErrUnavailable
	}
	return e
}

// code reads the error code of RFC 6749, section 5.2: %x20-21 / %x23-5B / %x5D-7E. What
// is no code counts as missing.
func code(o *jose.Object) string {
	text, _, err := o.String("error")
	if text = strings.TrimSpace(text); err != nil || len(text) > 100 || printable(text) != text {
		return ""
	}
	return text
}

func description(o *jose.Object) string {
	text, _, err := o.String("error_description")
	if err != nil {
		return ""
	}
	return printable(text)
}

// printable leaves out what could break or forge a line of a log.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, text)
}
