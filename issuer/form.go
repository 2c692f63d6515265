package issuer

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
)

const (
	maxRequest = 64 << 10
	maxRoom    = 1 << 10 // of the buffer before the first byte has arrived
)

// parameters is the form that a client sends. A parameter without a value is
// absent (RFC 6749, section 3.2).
type parameters struct {
	grantType       string
	scope           string
	clientID        string
	clientSecret    string
	clientAssertion string
	assertionType   string
	token           string   // of RFC 7009 and 7662
	audience        string   // of other servers; it is ignored, and an event says so
	resource        []string // the only parameter that may be repeated (RFC 8707, section 2)
}

// field returns the field of the parameter, nil for an unknown one.
func (p *parameters) field(name string) *string {
	switch name {
	case "grant_type":
		return &p.grantType
	case "scope":
		return &p.scope
	case "client_id":
		return &p.clientID
	case "client_secret":
		return &p.clientSecret
	case "client_assertion":
		return &p.clientAssertion
	case "client_assertion_type":
		return &p.assertionType
	case "token":
		return &p.token
	case "audience":
		return &p.audience
	}
	return nil
}

// readParameters reads the parameters from the body. Those in the URL are refused.
func readParameters(r *http.Request) (parameters, *Error) {
	var p parameters
	if r.Method != http.MethodPost {
		return p, methodNotAllowed(http.MethodPost, "this endpoint takes POST")
	}
	if err := checkQuery(r.URL.RawQuery); err != nil {
		return p, err
	}
	if !isForm(r.Header.Values("Content-Type")) {
		return p, malformed("Content-Type must be application/x-www-form-urlencoded")
	}
	body, err := readBody(r)
	if err != nil {
		return p, err
	}
	return p, p.parse(body)
}

// isForm reports whether the only non-empty Content-Type is that of a form. Its
// parameters are ignored, because some clients send a charset without a value.
func isForm(contentType []string) bool {
	const form = "application/x-www-form-urlencoded"
	contentType = present(contentType)
	if len(contentType) != 1 {
		return false
	}
	if contentType[0] == form {
		return true
	}
	mediaType, _, err := mime.ParseMediaType(contentType[0])
	return (err == nil || errors.Is(err, mime.ErrInvalidMediaParameter)) && mediaType == form
}

// present returns the headers that have a value. An empty header counts as absent.
func present(headers []string) []string {
	blank := func(header string) bool { return strings.Trim(header, " \t") == "" }
	if slices.ContainsFunc(headers, blank) {
		headers = slices.DeleteFunc(slices.Clone(headers), blank)
	}
	return headers
}

func readBody(r *http.Request) (string, *Error) {
	if r.ContentLength > maxRequest {
		return "", tooLarge()
	}
	if len(r.PostForm) > 0 {
		// A middleware in front, such as CSRF protection, has read the form. Without a
		// Content-Length, its encoded size is all that can be checked; escapes make it up
		// to three times as long as the body was.
		form := r.PostForm.Encode()
		if len(form) > 3*maxRequest {
			return "", tooLarge()
		}
		return form, nil
	}
	// A usual form fits. A longer length is not believed until the bytes arrive.
	room := int64(maxRoom)
	if r.ContentLength >= 0 {
		room = min(room, r.ContentLength+1) // one byte more, to read the end without growing
	}
	body, err := readAll(r.Body, make([]byte, room))
	if err != nil {
		return "", notRead(err)
	}
	if isCompressed(r.Header.Values("Content-Encoding"), body) {
		return "", compressed()
	}
	return string(body), nil
}

// notRead is the answer to a body that could not be read.
func notRead(cause error) *Error {
	switch {
	case errors.Is(cause, errTooLarge):
		return tooLarge()
	case isTooLarge(cause):
		return cutShort(cause)
	}
	e := malformed("the request could not be read to its end")
	e.cause = cause
	return e
}

// isTooLarge reports whether the error is that of a limit in front of the endpoint:
// [http.MaxBytesReader], or a middleware whose error has the status 413.
func isTooLarge(err error) bool {
	var limit *http.MaxBytesError
	var status interface{ StatusCode() int }
	return errors.As(err, &limit) ||
		errors.As(err, &status) && status.StatusCode() == http.StatusRequestEntityTooLarge ||
		isEchoTooLarge(err)
}

// isCompressed reports whether the body is still compressed. A middleware that
// decompresses it may leave the header in place, so the body decides: a form is ASCII.
func isCompressed(encoding []string, body []byte) bool {
	if bytes.HasPrefix(body, []byte("\x1f\x8b")) { // gzip
		return true
	}
	encoding = present(encoding)
	if len(encoding) == 0 || len(encoding) == 1 && strings.EqualFold(strings.TrimSpace(encoding[0]), "identity") {
		return false
	}
	return bytes.ContainsFunc(body, func(r rune) bool { return r > '~' || r < ' ' && r != '\r' && r != '\n' && r != '\t' })
}

// compressed is the answer of RFC 9110, section 15.5.16.
func compressed() *Error {
	e := malformed("the request is compressed, and must not be")
	e.Status, e.accept = http.StatusUnsupportedMediaType, "identity"
	return e
}

var errTooLarge = errors.New("issuer: request too large")

// readAll reads up to maxRequest bytes. It starts with the buffer room, which must not
// be empty, and grows it as bytes arrive.
func readAll(r io.Reader, room []byte) ([]byte, error) {
	for n := 0; ; {
		if n == len(room) {
			larger := make([]byte, min(2*n, maxRequest+1))
			copy(larger, room)
			room = larger
		}
		read, err := r.Read(room[n:])
		if n += read; n > maxRequest {
			return nil, errTooLarge
		}
		if err == io.EOF { // a reader returns it unwrapped (io.Reader)
			return room[:n], nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func tooLarge() *Error {
	e := invalidRequest(event.RequestTooLarge, "the request is larger than 64 KiB")
	e.Status = http.StatusRequestEntityTooLarge
	return e
}

// cutShort is the answer to a body that exceeds a smaller limit in front of the endpoint.
func cutShort(cause error) *Error {
	e := invalidRequest(event.RequestTooLarge, "the request is too large")
	e.Status, e.cause = http.StatusRequestEntityTooLarge, cause
	return e
}

// parse parses application/x-www-form-urlencoded. A repeated parameter is refused (RFC
// 6749, section 3.2), even an unknown or an empty one. url.ParseQuery is not used: it has
// no limit on the number of parameters, and it refuses a semicolon, which is data here.
func (p *parameters) parse(body string) *Error {
	seen := make([]string, 0, 8)
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return malformed("the request is not application/x-www-form-urlencoded")
		}
		if name == "resource" {
			if len(p.resource) == maxResources {
				return malformed("too many resource parameters")
			}
			if value != "" {
				p.resource = append(p.resource, value)
			}
			continue
		}
		if slices.Contains(seen, name) {
			return malformed("a parameter is repeated")
		}
		if len(seen) == maxParameters {
			return malformed("too many parameters")
		}
		seen = append(seen, name)
		if field := p.field(name); field != nil {
			*field = value
		}
	}
	return nil
}

const (
	maxParameters = 64
	maxResources  = 32
)

// checkQuery refuses parameters in the URL, because URLs end up in logs. RFC 6749,
// section 2.3.1 forbids it for the secret; the others are sent with it by mistake.
func checkQuery(query string) *Error {
	if query == "" {
		return nil
	}
	values, _ := url.ParseQuery(query) // with an error it still returns what it could parse
	for name := range values {
		if name == "audience" {
			continue // it is ignored in the body too
		}
		if new(parameters).field(name) != nil || name == "resource" {
			return malformed("parameters belong in the body of the request, not in its URL")
		}
	}
	return nil
}
