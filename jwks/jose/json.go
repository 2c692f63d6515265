package jose

import (
	"cmp"
	"fmt"
	"strings"
)

const (
	maxDepth   = 32
	maxMembers = 256

	// The header of a token is read before its signature is checked. With these bounds
	// reading it costs less than the check, which a forger can cause anyway
	// (BenchmarkHostileHeader).
	maxHeader        = 8 << 10 // bytes, decoded
	maxHeaderMembers = 16
	maxHeaderValues  = 64 // at all levels
	maxEscapedName   = 64 // bytes of a header's member name with an escape in it
	maxType          = 64 // bytes of alg and typ
)

// limits bound the members at the top level of a document, the length of their names
// if there is an escape to decode, and the values at all levels.
type limits struct{ members, escapedName, values int }

// scanner reads RFC 8259 JSON. Each method moves at past what it is named for and
// reports whether that was there.
type scanner struct {
	doc     string
	at      int
	values  int    // how many more may follow; not used when strings alone are read
	escaped bool   // a string had an escape in it
	lax     bool   // takes half a surrogate pair in a string, as encoding/json does
	wrong   string // what is wrong, if it is not the syntax; the first one wins
}

// refuse says what is wrong with a document whose syntax is right.
func (s *scanner) refuse(wrong string) bool {
	s.wrong = cmp.Or(s.wrong, wrong)
	return false
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

// object reads an object. It adds the members to o, within the limits, unless o is nil.
func (s *scanner) object(o *Object, l limits, depth int) bool {
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
		if o != nil && !plain && end-start > l.escapedName {
			return s.refuse("a long member name has an escape in it")
		}
		if !s.colon() {
			return false
		}
		from := s.at
		if !s.value(depth + 1) {
			return false
		}
		if o != nil {
			name, ok := s.doc[start+1:end-1], true
			if !plain {
				name, ok = unquote(s.doc[start:end])
			}
			switch {
			case !ok:
				return false
			case o.count+len(o.more) >= l.members:
				return s.refuse(fmt.Sprintf("it has more than %d members", l.members))
			case !o.add(member{name, s.doc[from:s.at]}):
				return s.refuse(fmt.Sprintf("members have unique names, %.40q is there twice", name))
			}
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
	switch s.values--; {
	case s.values < 0:
		return s.refuse("it has too many values")
	case depth > maxDepth:
		return s.refuse(fmt.Sprintf("it is nested more than %d levels deep", maxDepth))
	}
	switch c := s.peek(); {
	case c == '"':
		return s.string()
	case c == '{':
		return s.object(nil, limits{}, depth)
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

// skip reads a value of any depth. It does not call itself: a document of some
// megabytes can be deeper than the stack. Unlike in value, depth is not an error.
func (s *scanner) skip() bool {
	var closers []byte // of the objects and arrays that are open, the innermost last
	for {
		if c := s.peek(); c == '{' || c == '[' {
			closer := c + 2 // in ASCII
			s.at++
			if s.space(); !s.byte(closer) {
				closers = append(closers, closer)
				if c == '{' && (!s.string() || !s.colon()) {
					return false
				}
				continue
			}
		} else if !s.value(0) {
			return false
		}
		for more := false; !more; {
			if len(closers) == 0 {
				return true
			}
			closer := closers[len(closers)-1]
			s.space()
			if s.byte(closer) {
				closers = closers[:len(closers)-1]
				continue
			}
			if more = s.byte(','); !more {
				return false
			}
			if s.space(); closer == '}' && (!s.string() || !s.colon()) {
				return false
			}
		}
	}
}

// colon reads what is between a name and its value.
func (s *scanner) colon() bool {
	s.space()
	if !s.byte(':') {
		return false
	}
	s.space()
	return true
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
