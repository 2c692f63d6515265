package issuer

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// dn is a distinguished name, in the order of a certificate.
type dn []rdn

// rdn is a relative distinguished name. The order of its attributes has no meaning.
type rdn []attribute

// attribute is a type and its value: a text, or the DER encoding that the record has.
type attribute struct {
	oid  string
	text string
	der  []byte // nil: text counts
}

// attributeTypes are the short names of RFC 4514, section 3, and those that tools print
// beside them.
var attributeTypes = map[string]string{
	"CN": "2.5.4.3", "SN": "2.5.4.4", "SERIALNUMBER": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7", "ST": "2.5.4.8", "STREET": "2.5.4.9",
	"O": "2.5.4.10", "OU": "2.5.4.11", "UID": "0.9.2342.19200300.100.1.1", "DC": "0.9.2342.19200300.100.1.25", "EMAILADDRESS": "1.2.840.113549.1.9.1",
}

// parseDN reads a name as RFC 4514 writes it: the last part of the certificate's name
// comes first. Spaces around a type and a value are ignored, as many tools write them.
func parseDN(s string) (dn, error) {
	var name dn
	for joined := false; ; {
		typ, rest, ok := strings.Cut(s, "=")
		if !ok {
			return nil, errors.New("a part of the name lacks =")
		}
		a, err := newAttribute(strings.Trim(typ, " "))
		if err != nil {
			return nil, err
		}
		end, err := a.readValue(strings.TrimLeft(rest, " "))
		if err != nil {
			return nil, fmt.Errorf("the value of %.20q: %w", typ, err)
		}
		if joined {
			name[len(name)-1] = append(name[len(name)-1], a)
		} else {
			name = append(name, rdn{a})
		}
		if end == "" {
			slices.Reverse(name)
			return name, nil
		}
		joined, s = end[0] == '+', end[1:]
	}
}

func newAttribute(typ string) (attribute, error) {
	if oid, ok := attributeTypes[strings.ToUpper(typ)]; ok {
		return attribute{oid: oid}, nil
	}
	if strings.Trim(typ, "0123456789.") == "" && strings.Contains(typ, ".") {
		return attribute{oid: typ}, nil // one that is not an OID equals none
	}
	return attribute{}, fmt.Errorf("%.40q is no known type of attribute: write its OID", typ)
}

// readValue reads the value, and returns what follows it: nothing, or the separator and
// the rest.
func (a *attribute) readValue(s string) (rest string, err error) {
	if encoded, ok := strings.CutPrefix(s, "#"); ok {
		end := strings.IndexAny(encoded, ",+")
		if end < 0 {
			end = len(encoded)
		}
		a.der, err = hex.DecodeString(strings.TrimRight(encoded[:end], " "))
		if err != nil || len(a.der) == 0 {
			return "", errors.New("behind # it is not hexadecimal")
		}
		return encoded[end:], nil
	}
	var text []byte
	length := 0 // without spaces at the end
	n := 0
loop:
	for n < len(s) {
		switch s[n] {
		case ',', '+':
			break loop
		case '"', ';', '<', '>', 0:
			return "", errors.New(`it has one of " ; < > without \ before it`)
		case '\\':
			plain, size, err := unescape(s[n+1:])
			if err != nil {
				return "", err
			}
			text = append(text, plain)
			length = len(text)
			n += 1 + size
		default:
			text = append(text, s[n])
			if s[n] != ' ' {
				length = len(text)
			}
			n++
		}
	}
	a.text = string(text[:length])
	if a.text == "" || !utf8.ValidString(a.text) {
		return "", errors.New("it is empty, or not UTF-8")
	}
	return s[n:], nil
}

// unescape reads what follows a backslash: a special character, or two hexadecimal
// digits.
func unescape(s string) (plain byte, size int, err error) {
	if s != "" && strings.IndexByte(` "#+,;<=>\`, s[0]) >= 0 {
		return s[0], 1, nil
	}
	if len(s) >= 2 {
		if decoded, err := hex.DecodeString(s[:2]); err == nil {
			return decoded[0], 2, nil
		}
	}
	return 0, 0, errors.New(`behind \ is neither a special character nor two hexadecimal digits`)
}

// The name of a certificate (RFC 5280, section 4.1.2.4). The suffix SET tells
// encoding/asn1 that it is one.
type (
	encodedRDNSET    []encodedAttribute
	encodedAttribute struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
)

// names reports whether the encoded subject of a certificate is exactly this name: the
// same parts in the same order, with the same case.
func (d dn) names(subject []byte) bool {
	var encoded []encodedRDNSET
	rest, err := asn1.Unmarshal(subject, &encoded)
	if err != nil || len(rest) > 0 || len(encoded) != len(d) || len(d) == 0 {
		return false
	}
	for n, part := range encoded {
		if len(part) != len(d[n]) {
			return false
		}
		// One attribute of the certificate must not count for two of the record.
		left := slices.Clone(d[n])
		for _, e := range part {
			i := slices.IndexFunc(left, e.is)
			if i < 0 {
				return false
			}
			left = slices.Delete(left, i, i+1)
		}
	}
	return true
}

func (e encodedAttribute) is(a attribute) bool {
	if e.Type.String() != a.oid {
		return false
	}
	if a.der != nil {
		return bytes.Equal(e.Value.FullBytes, a.der)
	}
	text, ok := e.text()
	return ok && text == a.text
}

// text returns a value of a type of text whose characters are known.
func (e encodedAttribute) text() (string, bool) {
	if e.Value.Class != asn1.ClassUniversal || e.Value.IsCompound {
		return "", false
	}
	switch e.Value.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagNumericString:
		return string(e.Value.Bytes), utf8.Valid(e.Value.Bytes)
	}
	return "", false
}
