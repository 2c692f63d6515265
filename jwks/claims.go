package jwks

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Claims is one JSON object, read strictly: the whole text is that object, in
// valid UTF-8 and RFC 8259 syntax, and no member name comes twice at its top
// level (RFC 7519 §4 lets a parser choose, and parsers that choose differently
// have been fooled). Values are decoded when asked for.
type Claims struct {
	doc   string
	few   [12]member // in here, most objects cost no allocation
	count int        // of those in few
	more  []member   // when few is full
}

type member struct{ name, value string } // name decoded, value as written

const maxDepth = 32

// ParseClaims reads a JSON object, such as the payload [JWS.Verify] gives.
func ParseClaims(doc string) (Claims, error) {
	if !utf8.ValidString(doc) {
		return Claims{}, errors.New("jwks: JSON is not valid UTF-8")
	}
	s := scanner{doc: doc}
	c := Claims{doc: doc}
	s.space()
	if !s.object(&c, 0) {
		return Claims{}, fmt.Errorf("jwks: not one JSON object with unique names (at byte %d)", s.at)
	}
	if s.space(); s.at != len(doc) {
		return Claims{}, fmt.Errorf("jwks: something follows the JSON object (at byte %d)", s.at)
	}
	return c, nil
}

func (c *Claims) get(name string) (string, bool) {
	for i := range c.count {
		if c.few[i].name == name {
			return c.few[i].value, true
		}
	}
	for i := range c.more {
		if c.more[i].name == name {
			return c.more[i].value, true
		}
	}
	return "", false
}

func (c *Claims) add(m member) {
	if c.count == len(c.few) {
		c.more = append(c.more, m)
		return
	}
	c.few[c.count] = m
	c.count++
}

// Has reports whether the object has a member of the name, null included.
func (c *Claims) Has(name string) bool {
	_, ok := c.get(name)
	return ok
}

// Raw is a member's JSON as written.
func (c *Claims) Raw(name string) ([]byte, bool) {
	value, ok := c.get(name)
	return []byte(value), ok
}

// String is a member that must be a JSON string. ok is false when there is no
// such member; another type, null included, is an error.
func (c *Claims) String(name string) (value string, ok bool, err error) {
	raw, ok := c.get(name)
	if !ok {
		return "", false, nil
	}
	value, isString := unquote(raw)
	if !isString {
		return "", true, fmt.Errorf("jwks: %s is not a string", name)
	}
	return value, true, nil
}

// Strings is a member that is a JSON string or an array of strings, the two
// forms of aud (RFC 7519 §4.1.3). A lone string gives one element, an empty
// array none.
func (c *Claims) Strings(name string) (values []string, ok bool, err error) {
	raw, ok := c.get(name)
	if !ok {
		return nil, false, nil
	}
	if value, isString := unquote(raw); isString {
		return []string{value}, true, nil
	}
	wrong := fmt.Errorf("jwks: %s is neither a string nor an array of strings", name)
	if raw[0] != '[' {
		return nil, true, wrong
	}
	s := scanner{doc: raw, at: 1}
	for s.space(); raw[s.at] != ']'; s.space() {
		if raw[s.at] == ',' {
			s.at++
			s.space()
		}
		start := s.at
		s.value(0) // known to be valid JSON
		value, isString := unquote(raw[start:s.at])
		if !isString {
			return nil, true, wrong
		}
		values = append(values, value)
	}
	return values, true, nil
}

// Time is a member that must be a NumericDate (RFC 7519 §2): seconds since 1970
// in UTC, not negative, at most 12 digits, without exponent. A fraction is
// dropped.
func (c *Claims) Time(name string) (at time.Time, ok bool, err error) {
	raw, ok := c.get(name)
	if !ok {
		return time.Time{}, false, nil
	}
	digits, fraction, _ := strings.Cut(raw, ".")
	seconds, err := strconv.ParseUint(digits, 10, 63) // an exponent is none of its digits
	if err != nil || len(digits) > 12 || strings.ContainsAny(fraction, "eE") {
		return time.Time{}, true, fmt.Errorf("jwks: %s is not a date in seconds", name)
	}
	return time.Unix(int64(seconds), 0), true, nil
}

// Unmarshal decodes the whole object into v as encoding/json does.
func (c *Claims) Unmarshal(v any) error {
	return json.Unmarshal([]byte(c.doc), v)
}

// unquote decodes a JSON string that the scanner accepted.
func unquote(raw string) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	inner := raw[1 : len(raw)-1]
	if strings.IndexByte(inner, '\\') < 0 {
		return inner, true
	}
	var value string
	err := json.Unmarshal([]byte(raw), &value)
	return value, err == nil
}

// scanner walks RFC 8259 JSON. Each method moves at past what it names and
// reports whether it was there.
type scanner struct {
	doc     string
	at      int
	escaped bool // a string had an escape in it
}

func (s *scanner) peek() byte {
	if s.at < len(s.doc) {
		return s.doc[s.at]
	}
	return 0
}

func (s *scanner) byte(c byte) bool {
	if s.peek() != c || s.at >= len(s.doc) {
		return false
	}
	s.at++
	return true
}

func (s *scanner) space() {
	for s.at < len(s.doc) {
		switch s.doc[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// object reads an object; its members go to c unless that is nil.
func (s *scanner) object(c *Claims, depth int) bool {
	if !s.byte('{') {
		return false
	}
	s.space()
	if s.byte('}') {
		return true
	}
	for {
		start := s.at
		if s.escaped = false; !s.string() {
			return false
		}
		end, plain := s.at, !s.escaped
		s.space()
		if !s.byte(':') {
			return false
		}
		s.space()
		from := s.at
		if !s.value(depth + 1) {
			return false
		}
		if c != nil {
			name, ok := s.doc[start+1:end-1], true
			if !plain {
				name, ok = unquote(s.doc[start:end])
			}
			if !ok || c.Has(name) || c.count+len(c.more) >= maxMembers {
				return false
			}
			c.add(member{name, s.doc[from:s.at]})
		}
		s.space()
		if s.byte('}') {
			return true
		}
		if !s.byte(',') {
			return false
		}
		s.space()
	}
}

// maxMembers keeps the look for duplicate names, which compares each with each,
// from being a way to burn time.
const maxMembers = 256

func (s *scanner) value(depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch c := s.peek(); {
	case c == '"':
		return s.string()
	case c == '{':
		return s.object(nil, depth)
	case c == '[':
		return s.array(depth)
	case c == '-' || (c >= '0' && c <= '9'):
		return s.number()
	default:
		for _, word := range [...]string{"true", "false", "null"} {
			if strings.HasPrefix(s.doc[s.at:], word) {
				s.at += len(word)
				return true
			}
		}
		return false
	}
}

func (s *scanner) array(depth int) bool {
	s.at++
	s.space()
	if s.byte(']') {
		return true
	}
	for {
		if !s.value(depth + 1) {
			return false
		}
		s.space()
		if s.byte(']') {
			return true
		}
		if !s.byte(',') {
			return false
		}
		s.space()
	}
}

func (s *scanner) string() bool {
	if !s.byte('"') {
		return false
	}
	for at := s.at; at < len(s.doc); at++ {
		switch c := s.doc[at]; {
		case c == '"':
			s.at = at + 1
			return true
		case c < ' ':
			return false
		case c == '\\':
			s.at, s.escaped = at, true
			if !s.escape() {
				return false
			}
			at = s.at - 1
		}
	}
	return false
}

// escape reads one escape sequence, or the two of a surrogate pair. Half a pair
// is refused: decoders replace it, and so make two names one.
func (s *scanner) escape() bool {
	s.at++
	c := s.peek()
	s.at++
	if c != 'u' {
		return c != 0 && strings.IndexByte(`"\/bfnrt`, c) >= 0
	}
	r, ok := s.hex()
	if !ok || !utf16.IsSurrogate(r) {
		return ok
	}
	if !s.byte('\\') || !s.byte('u') {
		return false
	}
	low, ok := s.hex()
	return ok && utf16.DecodeRune(r, low) != utf8.RuneError
}

func (s *scanner) hex() (rune, bool) {
	if s.at+4 > len(s.doc) {
		return 0, false
	}
	digits := s.doc[s.at : s.at+4]
	s.at += 4
	n, err := strconv.ParseUint(digits, 16, 16)
	return rune(n), err == nil
}

func (s *scanner) number() bool {
	s.byte('-')
	if !s.byte('0') && !s.digits() {
		return false
	}
	if s.byte('.') && !s.digits() {
		return false
	}
	if s.byte('e') || s.byte('E') {
		if !s.byte('+') {
			s.byte('-')
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.at
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.at++
	}
	return s.at > start
}
