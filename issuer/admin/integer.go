package admin

import (
	"errors"
	"strconv"
	"strings"
)

// integer is a whole number. It is read in every spelling of a JSON number (RFC 8259,
// section 6): 300, 300.0 and 3e2 are equal. encoding/json takes only the first.
type integer int64

var errNotWhole = errors.New("it must be a whole number")

// UnmarshalJSON reads an integer. null changes nothing, as in encoding/json.
func (n *integer) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	read, ok := wholeNumber(string(raw))
	if !ok {
		return errNotWhole
	}
	*n = integer(read)
	return nil
}

// wholeNumber returns a JSON number that is whole and fits into 64 bits.
func wholeNumber(raw string) (n int64, ok bool) {
	unsigned, negative := strings.CutPrefix(raw, "-")
	if unsigned == "" || unsigned[0] < '0' || unsigned[0] > '9' {
		return 0, false // no number
	}
	mantissa, exponent := unsigned, 0
	if e := strings.IndexAny(unsigned, "eE"); e >= 0 {
		mantissa = unsigned[:e]
		exponent, _ = strconv.Atoi(unsigned[e+1:])   // saturates
		exponent = max(-1<<30, min(exponent, 1<<30)) // no request has so many digits
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	exponent -= len(fraction)
	digits := strings.TrimLeft(whole+fraction, "0")
	exponent += len(digits)
	digits = strings.TrimRight(digits, "0")
	exponent -= len(digits) // how many zeros follow the digits
	const most = 19         // digits of an int64
	switch {
	case digits == "":
		return 0, true
	case exponent < 0 || len(digits)+exponent > most:
		return 0, false
	}
	if negative {
		digits = "-" + digits
	}
	n, err := strconv.ParseInt(digits+strings.Repeat("0", exponent), 10, 64)
	return n, err == nil
}
