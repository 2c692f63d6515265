package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Claim is one claim that a [Rule] wants. Set Is or Has to a string, a bool or a number. It
// is compared with its type: "3" is not 3, and "true" is not true. Numbers are equal if
// their values are: 3 is 3.0.
type Claim struct {
	Name string // of a claim at the top level of the token
	Is   any    // the claim is this value
	Has  any    // the claim is an array with this value in it
}

// wanted is a Claim, checked.
type wanted struct {
	name, value string // as canonical has it
	shown       string // the value, as JSON
	has         bool
}

func (c Claim) compile() (wanted, error) {
	w := wanted{name: c.Name, has: c.Has != nil}
	value := c.Is
	if w.has {
		value = c.Has
	}
	switch {
	case c.Name == "":
		return wanted{}, errors.New("a claim has no name")
	case c.Is != nil && c.Has != nil:
		return wanted{}, fmt.Errorf("the claim %.100q has both is and has: write one of them", c.Name)
	case value == nil:
		return wanted{}, fmt.Errorf("the claim %.100q has no value: write is or has", c.Name)
	}
	document, err := json.Marshal(value)
	if err != nil {
		return wanted{}, fmt.Errorf("the claim %.100q: %w", c.Name, err)
	}
	w.shown = string(document)
	var ok bool
	if w.value, ok = canonical(document); !ok {
		return wanted{}, fmt.Errorf("the claim %.100q is compared with %.100s: write a text, a number, true or false", c.Name, document)
	}
	return w, nil
}

// in reports whether a token's claims have what is wanted.
func (w wanted) in(claims map[string]json.RawMessage) bool {
	document, ok := claims[w.name]
	if !ok {
		return false
	}
	if !w.has {
		value, ok := canonical(document)
		return ok && value == w.value
	}
	var values []json.RawMessage
	if json.Unmarshal(document, &values) != nil {
		return false
	}
	for _, document := range values {
		if value, ok := canonical(document); ok && value == w.value {
			return true
		}
	}
	return false
}

// canonical returns a JSON string, bool or number in the one spelling of its value. Its
// first byte tells the types apart. Other values have none.
func canonical(document json.RawMessage) (string, bool) {
	switch text := strings.TrimSpace(string(document)); {
	case text == "true" || text == "false":
		return text, true
	case strings.HasPrefix(text, `"`):
		var value string
		err := json.Unmarshal([]byte(text), &value)
		return `"` + value, err == nil
	case text != "" && (text[0] == '-' || text[0] >= '0' && text[0] <= '9'):
		return canonicalNumber(text)
	}
	return "", false
}

// canonicalNumber writes a JSON number as its digits, without zeros at either end, and the
// power of ten behind them. No float64 takes part, which could not tell 2^53 from 2^53+1.
func canonicalNumber(text string) (string, bool) {
	digits, negative := strings.CutPrefix(text, "-")
	exponent := 0
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(digits[i+1:]); err != nil || exponent < -1e6 || exponent > 1e6 {
			return "", false
		}
		digits = digits[:i]
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	digits, exponent = whole+fraction, exponent-len(fraction)
	trimmed := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(trimmed)
	trimmed = strings.TrimLeft(trimmed, "0")
	if trimmed == "" {
		return "0", true
	}
	if negative {
		trimmed = "-" + trimmed
	}
	return trimmed + "e" + strconv.Itoa(exponent), true
}
