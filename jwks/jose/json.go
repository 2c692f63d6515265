package jose

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxDepth = 32

	// maxMembers bounds the search for duplicate names, which compares each name
	// with each other.
	maxMembers = 256
)

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

// scanner reads RFC 8259 JSON. Each method moves at past what it is named for and
// reports whether that was there.
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

// object reads an object. It adds the members to o unless o is nil.
func (s *scanner) object(o *Object, depth int) bool {
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
		if o != nil {
			name, ok := s.doc[start+1:end-1], true
			if !plain {
				name, ok = unquote(s.doc[start:end])
			}
			if !ok || o.Has(name) || o.count+len(o.more) >= maxMembers {
				return false
			}
			o.add(member{name, s.doc[from:s.at]})
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

// escape reads one escape sequence, or the two of a surrogate pair. Half a pair is
// refused: decoders replace it, which makes two names equal.
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
