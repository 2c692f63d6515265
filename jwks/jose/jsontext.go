package jose

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
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
	s := scanner{doc: inner}
	decoded := make([]byte, 0, len(inner)) // an escape is never shorter than what it means
	for {
		run := strings.IndexByte(inner[s.at:], '\\')
		if run < 0 {
			return string(append(decoded, inner[s.at:]...)), true
		}
		decoded = append(decoded, inner[s.at:s.at+run]...)
		s.at += run
		r, ok := s.escape()
		if !ok {
			return "", false
		}
		decoded = utf8.AppendRune(decoded, r)
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
			if _, ok := s.escape(); !ok {
				return false
			}
			at = s.at - 1
		}
	}
	return false
}

// escape reads one escape sequence, or the two of a surrogate pair, and returns what
// it means. Half a pair is refused: decoders replace it, which makes two names equal.
func (s *scanner) escape() (rune, bool) {
	s.at++
	c := s.peek()
	s.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
	default:
		return 0, false
	}
	r, ok := s.hex()
	if !ok || !utf16.IsSurrogate(r) {
		return r, ok
	}
	if s.lax {
		return utf8.RuneError, true // the other half is a sequence of its own
	}
	if !s.byte('\\') || !s.byte('u') {
		return 0, s.refuse("a string has half a surrogate pair")
	}
	low, ok := s.hex()
	r = utf16.DecodeRune(r, low)
	if ok && r == utf8.RuneError {
		return 0, s.refuse("a string has half a surrogate pair")
	}
	return r, ok
}

func (s *scanner) hex() (r rune, ok bool) {
	if s.at+4 > len(s.doc) {
		return 0, false
	}
	for _, c := range []byte(s.doc[s.at : s.at+4]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	s.at += 4
	return r, true
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
