package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

const maxRequest = 64 << 10

// readJSON reads a body of one JSON object with known members. An empty body is
// an empty object, and needs no Content-Type.
func readJSON(r *http.Request, v any) error {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxRequest))
	switch {
	case isTooLarge(err):
		e := invalidRequest(event.RequestTooLarge, "the request is larger than 64 KiB, or than a limit in front allows")
		e.status, e.cause = http.StatusRequestEntityTooLarge, err
		return e
	case err != nil:
		e := malformed("the request could not be read to its end")
		e.cause = err
		return e
	case len(body) == 0:
		return nil
	}
	if types := r.Header.Values("Content-Type"); len(types) != 1 || !isJSON(types[0]) {
		return malformed("Content-Type must be application/json")
	}
	if err := unmarshal(body, v); err != nil {
		return malformed("the request is not the JSON object that is wanted: " + err.Error())
	}
	return nil
}

func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return (err == nil || errors.Is(err, mime.ErrInvalidMediaParameter)) && mediaType == "application/json"
}

// isTooLarge reports whether a limit, here or in front, has cut a body short.
func isTooLarge(err error) bool {
	var limit *http.MaxBytesError
	var status interface{ StatusCode() int }
	return errors.As(err, &limit) ||
		errors.As(err, &status) && status.StatusCode() == http.StatusRequestEntityTooLarge ||
		isEchoTooLarge(err)
}

// readNothing reads the body of an action that takes no members.
func readNothing(r *http.Request) error { return readJSON(r, &struct{}{}) }

// checkQuery refuses parameters of the URL that the action does not take, and
// repeated ones.
func checkQuery(r *http.Request, known []string) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return malformed("the query of the URL is not well-formed")
	}
	for name, given := range values {
		switch {
		case !slices.Contains(known, name):
			return malformed(fmt.Sprintf("the query has an unknown parameter: %.64q", name))
		case len(given) > 1:
			return malformed("the query repeats the parameter " + name)
		case !isText(given[0]):
			return malformed("the query has a parameter that is longer than 1024 bytes or not UTF-8 without NUL: " + name)
		}
	}
	return nil
}

// unmarshal reads one JSON object into a struct of this package. At every level, repeated
// and unknown members are refused. Names are compared exactly, unlike in encoding/json.
func unmarshal(doc []byte, v any) error {
	if _, err := object(doc); err != nil {
		return err
	}
	if err := exact(doc, reflect.TypeOf(v).Elem()); err != nil {
		return err
	}
	decoder := json.NewDecoder(strings.NewReader(string(doc)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return errors.New(plain(err))
	}
	return nil
}

// plain returns the text of an error of encoding/json without Go's names.
func plain(err error) string {
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) && mismatch.Field != "" {
		return fmt.Sprintf("%s: it must not be a JSON %s", mismatch.Field, mismatch.Value)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// errNullElement is about a null that encoding/json would take for an empty text.
var errNullElement = errors.New("it holds null: leave that out")

// exact checks the names of members against those of the type, at every level. It also
// checks that integers are whole numbers, and that lists, their objects and maps hold no
// null.
func exact(value []byte, t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	text := strings.TrimLeft(string(value), " \t\r\n")
	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		return nil // checked where it is used
	case t == reflect.TypeFor[integer]():
		return new(integer).UnmarshalJSON([]byte(text)) // here, where its name is known
	case t.Kind() == reflect.Slice && strings.HasPrefix(text, "["):
		var elements []json.RawMessage
		if err := json.Unmarshal(value, &elements); err != nil {
			return errors.New(plain(err))
		}
		for _, element := range elements {
			if string(element) == "null" {
				return errNullElement
			}
			if err := exact(element, t.Elem()); err != nil {
				return err
			}
			if t.Elem().Kind() != reflect.Struct {
				continue
			}
			members, err := object(element)
			if err != nil {
				return err
			}
			if err := noNull(members); err != nil {
				return err
			}
		}
		return nil
	case t.Kind() == reflect.Struct && !strings.HasPrefix(text, `"`), t.Kind() == reflect.Map:
	default:
		return nil
	}
	if text == "null" {
		return nil
	}
	members, err := object(value)
	if err != nil {
		return err
	}
	if t.Kind() == reflect.Map {
		return noNull(members)
	}
	fields := fieldsOf(t)
	for name, member := range members {
		field, known := fields[name]
		if !known {
			return fmt.Errorf("unknown member %.64q", name)
		}
		if err := exact(member, field); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// noNull returns an error that names a member which is null.
func noNull(members map[string]json.RawMessage) error {
	for name, member := range members {
		if string(member) == "null" {
			return fmt.Errorf("%.64q: %w", name, errNullElement)
		}
	}
	return nil
}

// fieldsOf returns the types of the members of a struct, by their names.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields[name] = field.Type
	}
	return fields
}

// object reads the members of one JSON object, which have unique names.
func object(doc []byte) (map[string]json.RawMessage, error) {
	claims, err := jose.ParseObject(string(doc))
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "jose: "))
	}
	var members map[string]json.RawMessage
	err = claims.Unmarshal(&members)
	return members, err
}
