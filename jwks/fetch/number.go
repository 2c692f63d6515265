package fetch

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// endsInNumber reports whether the last label of a host is a number (WHATWG URL, the
// "ends in a number" check). inet_aton, and with it many resolvers and proxies, read such a
// host as an IPv4 address: 2852039166, 0xa9fea9fe, 0251.0376.0251.0376 and 169.254.43518
// are all 169.254.169.254.
//
// A label that is not ASCII counts as a number if it has a digit: net/http maps such
// labels (UTS 46), and digits of full width then become ASCII ones.
func endsInNumber(host string) bool {
	host = strings.TrimRightFunc(host, isDot)
	last := host
	if at := strings.LastIndexFunc(host, isDot); at >= 0 {
		_, size := utf8.DecodeRuneInString(host[at:])
		last = host[at+size:]
	}
	if strings.ContainsFunc(last, func(r rune) bool { return r > unicode.MaxASCII }) {
		return strings.ContainsFunc(last, unicode.IsNumber)
	}
	digits := "0123456789"
	if hex, ok := strings.CutPrefix(strings.ToLower(last), "0x"); ok {
		last, digits = "0"+hex, "0123456789abcdef"
	}
	return last != "" && strings.Trim(last, digits) == ""
}

// isDot reports whether a character separates labels (UTS 46, section 2.3).
func isDot(r rune) bool { return strings.ContainsRune(".\u3002\uff0e\uff61", r) }
