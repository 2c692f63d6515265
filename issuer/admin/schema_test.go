package admin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// node is a JSON value: nil, bool, json.Number, string, []any or map[string]any.
type node = any

// readNode reads one JSON value. Members of an object have unique names.
func readNode(doc string) (node, error) {
	if !utf8.ValidString(doc) {
		return nil, errors.New("not UTF-8")
	}
	decoder := json.NewDecoder(strings.NewReader(doc))
	decoder.UseNumber()
	value, err := nextNode(decoder)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the value")
	}
	return value, nil
}

func nextNode(decoder *json.Decoder) (node, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for decoder.More() {
			element, err := nextNode(decoder)
			if err != nil {
				return nil, err
			}
			list = append(list, element)
		}
		_, err := decoder.Token()
		return list, err
	case json.Delim('{'):
		object := map[string]any{}
		for decoder.More() {
			name, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			key, _ := name.(string)
			if _, twice := object[key]; twice {
				return nil, fmt.Errorf("member %q is there twice", key)
			}
			if object[key], err = nextNode(decoder); err != nil {
				return nil, err
			}
		}
		_, err := decoder.Token()
		return object, err
	}
	return token, nil
}

// number returns the exact value of a JSON number. Huge exponents saturate.
func number(n json.Number) *big.Rat {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(string(n)), "e")
	if len(exponent) > 4 {
		switch {
		case strings.Trim(mantissa, "-0.") == "":
			return new(big.Rat)
		case strings.HasPrefix(exponent, "-"):
			return big.NewRat(1, 3) // no whole number
		}
		mantissa += "e999"
	} else {
		mantissa = string(n)
	}
	value, ok := new(big.Rat).SetString(mantissa)
	if !ok {
		panic("no number: " + string(n))
	}
	return value
}

func isType(value node, name string) bool {
	switch v := value.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case json.Number:
		return name == "number" || name == "integer" && number(v).IsInt()
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	}
	return false
}

func equal(a, b node) bool {
	x, isNumber := a.(json.Number)
	y, both := b.(json.Number)
	if isNumber && both {
		return number(x).Cmp(number(y)) == 0
	}
	return reflect.DeepEqual(a, b)
}

// annotations are the keywords of a schema that check nothing.
var annotations = []string{"description", "default"}

// check returns what is wrong with a value by a schema of JSON Schema 2020-12. It knows
// the keywords that the document uses, and fails for any other.
func (d *document) check(schema, value node) error {
	s, ok := schema.(map[string]any)
	if !ok {
		if allowed, isBool := schema.(bool); isBool && allowed {
			return nil
		}
		return errors.New("nothing is allowed")
	}
	for _, keyword := range slices.Sorted(maps.Keys(s)) {
		if slices.Contains(annotations, keyword) {
			continue
		}
		if err := d.keyword(s, keyword, s[keyword], value); err != nil {
			return fmt.Errorf("%s: %w", keyword, err)
		}
	}
	return nil
}

func (d *document) keyword(s map[string]any, keyword string, want, value node) error {
	fail := func(bad bool) error {
		if bad {
			return fmt.Errorf("%.60v is not as in %.60v", value, want)
		}
		return nil
	}
	text, isText := value.(string)
	list, _ := value.([]any)
	object, _ := value.(map[string]any)
	n, isNumber := value.(json.Number)
	length := func() int { return utf8.RuneCountInString(text) }
	switch keyword {
	case "$ref":
		return d.check(d.resolve(want.(string)), value)
	case "type":
		if names, several := want.([]any); several {
			return fail(!slices.ContainsFunc(names, func(name any) bool { return isType(value, name.(string)) }))
		}
		return fail(!isType(value, want.(string)))
	case "enum":
		return fail(!slices.ContainsFunc(want.([]any), func(allowed any) bool { return equal(allowed, value) }))
	case "const":
		return fail(!equal(want, value))
	case "not":
		return fail(d.check(want, value) == nil)
	case "anyOf":
		return fail(!slices.ContainsFunc(want.([]any), func(one any) bool { return d.check(one, value) == nil }))
	case "minLength":
		return fail(isText && length() < integerOf(want))
	case "maxLength":
		return fail(isText && length() > integerOf(want))
	case "pattern":
		return fail(isText && !patternOf(want.(string)).MatchString(text))
	case "format":
		_, err := time.Parse(time.RFC3339, text)
		return fail(isText && (want != "date-time" || err != nil))
	case "minimum":
		return fail(isNumber && number(n).Cmp(number(want.(json.Number))) < 0)
	case "maximum":
		return fail(isNumber && number(n).Cmp(number(want.(json.Number))) > 0)
	case "minItems":
		return fail(value != nil && isType(value, "array") && len(list) < integerOf(want))
	case "maxItems":
		return fail(len(list) > integerOf(want))
	case "uniqueItems":
		for i, element := range list {
			if slices.ContainsFunc(list[:i], func(before any) bool { return equal(before, element) }) {
				return fail(true)
			}
		}
	case "items":
		for i, element := range list {
			if err := d.check(want, element); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
		}
	case "maxProperties":
		return fail(len(object) > integerOf(want))
	case "required":
		for _, name := range want.([]any) {
			if _, there := object[name.(string)]; object != nil && !there {
				return fmt.Errorf("%v is missing", name)
			}
		}
	case "propertyNames":
		for name := range object {
			if err := d.check(want, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	case "properties":
		for name, schema := range want.(map[string]any) {
			if member, there := object[name]; there {
				if err := d.check(schema, member); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	case "additionalProperties":
		known, _ := s["properties"].(map[string]any)
		for name, member := range object {
			if _, there := known[name]; there {
				continue
			}
			if err := d.check(want, member); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	default:
		panic("the document uses a keyword that this test does not know: " + keyword)
	}
	return nil
}

func integerOf(value node) int {
	n, err := value.(json.Number).Int64()
	if err != nil {
		panic(err)
	}
	return int(n)
}

var patterns = map[string]*regexp.Regexp{}

func patternOf(text string) *regexp.Regexp {
	if patterns[text] == nil {
		patterns[text] = regexp.MustCompile(text)
	}
	return patterns[text]
}
