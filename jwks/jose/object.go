package jose

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Object is one JSON object, read strictly: the whole text is that object, in
// valid UTF-8 and RFC 8259 syntax, and no member name is repeated at its top level
// (RFC 7519, section 4, lets a parser choose, and parsers that choose differently
// have been exploited). Values are decoded on request. The zero Object is empty.
//
// A claim set is an Object, and so are a key set, issuer metadata and every other
// document that decides something.
type Object struct {
	doc   string
	few   [12]member     // most objects fit, and then cost no allocation
	count int            // of those in few
	more  []member       // when few is full
	index map[string]int // where a name is in more, from indexed members on
}

// indexed is how many members more has before their names are indexed. Fewer are
// compared one by one, which is quicker.
const indexed = 20

type member struct{ name, value string } // name decoded, value as written

// ParseObject reads a JSON object, such as the payload that [JWS.Verify] returns.
// It has at most 256 members and 32 levels.
func ParseObject(doc string) (Object, error) {
	return parseObject(doc, limits{maxMembers, math.MaxInt, math.MaxInt})
}

func parseObject(doc string, l limits) (Object, error) {
	if !utf8.ValidString(doc) {
		return Object{}, errors.New("jose: JSON is not valid UTF-8")
	}
	s := scanner{doc: doc, values: l.values}
	o := Object{doc: doc}
	s.space()
	if !s.object(&o, l, 0) {
		return Object{}, s.fault()
	}
	if s.space(); s.at != len(doc) {
		return Object{}, fmt.Errorf("jose: something follows the JSON object (at byte %d)", s.at)
	}
	return o, nil
}

// fault returns what is wrong with a document in which the scanner has stopped.
func (s *scanner) fault() error {
	switch rest := strings.TrimLeft(s.doc, " \t\r\n"); {
	case s.wrong != "":
		return fmt.Errorf("jose: the JSON object is refused: %s (at byte %d)", s.wrong, s.at)
	case rest == "":
		return errors.New("jose: no JSON object: the document is empty")
	case strings.HasPrefix(rest, byteOrderMark):
		return errors.New("jose: no JSON object: the document begins with a byte order mark")
	case rest[0] != '{':
		return fmt.Errorf("jose: no JSON object: the document begins with %.10q", rest[:min(10, len(rest))])
	case s.at >= len(s.doc):
		return fmt.Errorf("jose: the JSON object is cut short (at byte %d)", s.at)
	}
	return fmt.Errorf("jose: not valid JSON (at byte %d)", s.at)
}

// byteOrderMark is what some editors write before a text (RFC 8259, section 8.1).
const byteOrderMark = "\ufeff"

func (o *Object) get(name string) (string, bool) {
	if o == nil {
		return "", false
	}
	for i := range o.count {
		if o.few[i].name == name {
			return o.few[i].value, true
		}
	}
	if o.index != nil {
		i, ok := o.index[name]
		if !ok {
			return "", false
		}
		return o.more[i].value, true
	}
	for i := range o.more {
		if o.more[i].name == name {
			return o.more[i].value, true
		}
	}
	return "", false
}

// add adds a member, unless the name is there. It reports whether it added it.
func (o *Object) add(m member) bool {
	if o.Has(m.name) {
		return false
	}
	if o.count < len(o.few) {
		o.few[o.count] = m
		o.count++
		return true
	}
	o.more = append(o.more, m)
	switch n := len(o.more); {
	case n > indexed:
		o.index[m.name] = n - 1
	case n == indexed:
		o.index = make(map[string]int, 2*indexed)
		for i := range o.more {
			o.index[o.more[i].name] = i
		}
	}
	return true
}

// Has reports whether the object has a member with the name, null included.
func (o *Object) Has(name string) bool {
	_, ok := o.get(name)
	return ok
}

// Raw returns a member's JSON as written.
func (o *Object) Raw(name string) ([]byte, bool) {
	value, ok := o.get(name)
	return []byte(value), ok
}

// String returns a member that must be a JSON string. ok is false when there is no
// such member. Another type, null included, is an error.
func (o *Object) String(name string) (value string, ok bool, err error) {
	raw, ok := o.get(name)
	if !ok {
		return "", false, nil
	}
	value, isString := unquote(raw)
	if !isString {
		return "", true, fmt.Errorf("jose: %s is not a string", name)
	}
	return value, true, nil
}

// Strings returns a member that is a JSON string or an array of strings, the two
// forms of aud (RFC 7519, section 4.1.3). A single string gives one element, an
// empty array none.
func (o *Object) Strings(name string) (values []string, ok bool, err error) {
	raw, ok := o.get(name)
	if !ok {
		return nil, false, nil
	}
	if value, isString := unquote(raw); isString {
		return []string{value}, true, nil
	}
	wrong := fmt.Errorf("jose: %s is neither a string nor an array of strings", name)
	if raw[0] != '[' {
		return nil, true, wrong
	}
	s := scanner{doc: raw, at: 1, values: math.MaxInt}
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

// Time returns a member that must be a NumericDate (RFC 7519, section 2): seconds
// since 1970 in UTC, from 0 to 999 999 999 999, in any spelling of a JSON number,
// such as 1.7e9. A fraction of a second is dropped.
func (o *Object) Time(name string) (at time.Time, ok bool, err error) {
	raw, ok := o.get(name)
	if !ok {
		return time.Time{}, false, nil
	}
	seconds, err := strconv.ParseUint(raw, 10, 63)
	if valid := err == nil && len(raw) <= maxDigits; !valid { // as most are written
		if seconds, valid = wholePart(raw); !valid {
			return time.Time{}, true, fmt.Errorf("jose: %s is not a date in seconds", name)
		}
	}
	return time.Unix(int64(seconds), 0), true, nil
}

// maxDigits is how many digits a date has at most. One with more is most likely in
// milliseconds.
const maxDigits = 12

// wholePart returns a JSON number without its fraction. ok is false for another
// value, a negative number and one of more than maxDigits digits.
func wholePart(raw string) (n uint64, ok bool) {
	unsigned := strings.TrimPrefix(raw, "-")
	if unsigned == "" || unsigned[0] < '0' || unsigned[0] > '9' {
		return 0, false
	}
	mantissa, exponent := unsigned, 0
	if e := strings.IndexAny(unsigned, "eE"); e >= 0 {
		mantissa = unsigned[:e]
		exponent, _ = strconv.Atoi(unsigned[e+1:])   // saturates
		exponent = max(-1<<30, min(exponent, 1<<30)) // no document has so many digits
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	point := len(digits) - len(fraction) + exponent // how many digits are before it
	switch {
	case digits == "":
		return 0, true
	case len(unsigned) < len(raw) || point > maxDigits:
		return 0, false
	case point <= 0:
		return 0, true
	}
	for i := range point {
		n *= 10
		if i < len(digits) {
			n += uint64(digits[i] - '0')
		}
	}
	return n, true
}

// Unmarshal decodes the whole object into v as encoding/json does. If v points to a
// struct, members whose names differ in case alone are an error: encoding/json takes
// either for a field.
func (o *Object) Unmarshal(v any) error {
	if o == nil {
		return errors.New("jose: no JSON object")
	}
	if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && p.Elem().Kind() == reflect.Struct {
		if err := o.namesDiffer(); err != nil {
			return err
		}
	}
	return json.Unmarshal([]byte(o.doc), v)
}

// namesDiffer reports names that differ in case alone.
func (o *Object) namesDiffer() error {
	folded := make(map[string]string, o.count+len(o.more))
	for i := range o.count + len(o.more) {
		name := o.name(i)
		fold := strings.ToLower(strings.ToUpper(name))
		if other, ok := folded[fold]; ok {
			return fmt.Errorf("jose: the members %.40q and %.40q differ in case alone", other, name)
		}
		folded[fold] = name
	}
	return nil
}

func (o *Object) name(i int) string {
	if i < o.count {
		return o.few[i].name
	}
	return o.more[i-o.count].name
}
