package issuer

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const maxRequest = 64 << 10

// tokenRequest is the parameters of a token request. A parameter without a
// value is as good as absent (RFC 6749 §3.2).
type tokenRequest struct {
	grantType       string
	scope           string
	clientID        string
	clientSecret    string
	clientAssertion string
	token           string   // of RFC 7009 and 7662
	resource        []string // the one parameter that may be repeated (RFC 8707 §2)
}

// field is where the parameter goes, nil for one this endpoint does not know.
func (t *tokenRequest) field(name string) *string {
	switch name {
	case "grant_type":
		return &t.grantType
	case "scope":
		return &t.scope
	case "client_id":
		return &t.clientID
	case "client_secret":
		return &t.clientSecret
	case "client_assertion":
		return &t.clientAssertion
	case "token":
		return &t.token
	}
	return nil
}

// readTokenRequest reads the body, the only place parameters are taken from.
func readTokenRequest(r *http.Request) (tokenRequest, *Error) {
	var t tokenRequest
	if r.Method != http.MethodPost {
		e := invalidRequest("this endpoint takes POST")
		e.Status = http.StatusMethodNotAllowed
		return t, e
	}
	if err := checkQuery(r.URL.RawQuery); err != nil {
		return t, err
	}
	if !isForm(r.Header.Values("Content-Type")) {
		return t, invalidRequest("Content-Type must be application/x-www-form-urlencoded")
	}
	body, err := readBody(r)
	if err != nil {
		return t, err
	}
	return t, t.parse(body)
}

func isForm(contentType []string) bool {
	const form = "application/x-www-form-urlencoded"
	if len(contentType) != 1 {
		return false
	}
	if contentType[0] == form {
		return true
	}
	mediaType, _, err := mime.ParseMediaType(contentType[0])
	return err == nil && mediaType == form
}

func readBody(r *http.Request) (string, *Error) {
	if r.ContentLength > maxRequest {
		return "", tooLarge()
	}
	if r.PostForm != nil {
		// Something in front of us, such as a CSRF middleware, has read the form.
		// Of a request without length this is what is left to measure; escapes
		// make it three times as long.
		form := r.PostForm.Encode()
		if len(form) > 3*maxRequest {
			return "", tooLarge()
		}
		return form, nil
	}
	room := int64(2 << 10)
	if r.ContentLength >= 0 {
		room = r.ContentLength + 1 // so that the end is seen without room for more
	}
	body, err := readAll(r.Body, make([]byte, room))
	switch {
	case errors.Is(err, errTooLarge):
		return "", tooLarge()
	case err != nil:
		e := invalidRequest("the request could not be read to its end")
		e.cause = err
		return "", e
	}
	return string(body), nil
}

var errTooLarge = errors.New("issuer: request too large")

// readAll reads up to maxRequest bytes, into the room, which is not empty, if they
// fit.
func readAll(r io.Reader, room []byte) ([]byte, error) {
	for n := 0; ; {
		if n == len(room) {
			larger := make([]byte, min(4*n, maxRequest+1))
			copy(larger, room)
			room = larger
		}
		read, err := r.Read(room[n:])
		if n += read; n > maxRequest {
			return nil, errTooLarge
		}
		if err == io.EOF { // and not one that is wrapped (io.Reader)
			return room[:n], nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func tooLarge() *Error {
	e := invalidRequest("the request is larger than 64 KiB")
	e.Status = http.StatusRequestEntityTooLarge
	return e
}

// parse reads application/x-www-form-urlencoded. Repeated parameters are
// refused, unknown ones among them (RFC 6749 §3.2).
func (t *tokenRequest) parse(body string) *Error {
	seen := make([]string, 0, 8)
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return invalidRequest("the request is not application/x-www-form-urlencoded")
		}
		if name == "resource" {
			if len(t.resource) == maxResources {
				return invalidRequest("too many resource parameters")
			}
			if value != "" {
				t.resource = append(t.resource, value)
			}
			continue
		}
		if slices.Contains(seen, name) {
			return invalidRequest("a parameter is repeated")
		}
		if len(seen) == maxParameters {
			return invalidRequest("too many parameters")
		}
		seen = append(seen, name)
		if field := t.field(name); field != nil {
			*field = value
		}
	}
	return nil
}

const (
	maxParameters = 64
	maxResources  = 32
)

// checkQuery refuses parameters in the URL, which end up in logs (RFC 6749
// §2.3.1 for the secret; the others come with it by mistake).
func checkQuery(query string) *Error {
	if query == "" {
		return nil
	}
	values, _ := url.ParseQuery(query) // gives what it could read beside the error
	for name := range values {
		if new(tokenRequest).field(name) != nil || name == "resource" || name == "client_assertion_type" {
			return invalidRequest("parameters belong in the body of the request, not in its URL")
		}
	}
	return nil
}
