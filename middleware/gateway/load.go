package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// maxPolicyBytes bounds a policy file.
const maxPolicyBytes = 1 << 20

// LoadPolicy reads a policy from a file of at most 1 MiB: see [ParsePolicy].
func LoadPolicy(name string) (*Policy, error) {
	file, err := os.Open(name) //nolint:gosec // the program names the file
	if err != nil {
		return nil, fmt.Errorf("gateway: the policy: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	document, err := io.ReadAll(io.LimitReader(file, maxPolicyBytes+1))
	if err != nil {
		return nil, fmt.Errorf("gateway: the policy: %w", err)
	}
	p, err := parsePolicy(document)
	if err != nil {
		return nil, fmt.Errorf("gateway: %s: %w", name, err)
	}
	p.source = name
	return p, nil
}

// ParsePolicy reads a policy from JSON:
//
//	{"rules": [
//		{"route": "/orders/*", "methods": ["GET"], "scopes": ["orders:read"]},
//		{"route": "/orders/*", "scopes": ["orders:write"], "limit": {"rate": 50, "concurrent": 10}},
//		{"route": "/reports", "any_scopes": ["reports:read", "admin"], "issuers": ["https://auth.example.com"]},
//		{"route": "/tenants/:id", "claims": [{"name": "tier", "is": 3}, {"name": "roles", "has": "support"}]},
//		{"route": "/ping", "any_token": true}
//	]}
//
// The members of a rule are the fields of [Rule]: route, methods, issuers, scopes,
// any_scopes, claims, any_token, limit and shadow. Those of a limit are rate, burst and
// concurrent. Unknown members, members that are there twice, null, and all that [NewPolicy]
// refuses are errors, which name the line.
func ParsePolicy(document []byte) (*Policy, error) {
	p, err := parsePolicy(document)
	if err != nil {
		return nil, fmt.Errorf("gateway: the policy: %w", err)
	}
	return p, nil
}

func parsePolicy(document []byte) (*Policy, error) {
	if len(document) > maxPolicyBytes {
		return nil, fmt.Errorf("it has more than %d bytes", maxPolicyBytes)
	}
	f := file{document}
	top, err := f.object(0, document, "rules")
	if err != nil {
		return nil, err
	}
	if _, ok := top["rules"]; !ok {
		return nil, errors.New(`it has no rules: write {"rules": […]}`)
	}
	list := top["rules"]
	if !list.is('[') {
		return nil, f.at(list.offset, errors.New("rules is not an array"))
	}
	var rules []Rule
	var places []string
	for _, element := range elements(list) {
		if len(rules) == maxRules {
			return nil, f.at(element.offset, fmt.Errorf("at most %d rules are allowed", maxRules))
		}
		r, err := f.rule(element)
		if err != nil {
			return nil, err
		}
		rules, places = append(rules, r), append(places, "line "+strconv.Itoa(f.line(element.offset)))
	}
	return newPolicy(rules, places)
}

// file is the text of a policy. Its errors name the line.
type file struct{ text []byte }

func (f file) line(offset int) int {
	return 1 + bytes.Count(f.text[:min(offset, len(f.text))], []byte("\n"))
}

func (f file) at(offset int, err error) error {
	return fmt.Errorf("line %d: %w", f.line(offset), err)
}

// value is a JSON value, and where it begins in the file.
type value struct {
	offset int
	text   []byte
}

func (v value) is(first byte) bool { return len(v.text) > 0 && v.text[0] == first }

// object reads the members of an object, which begins at offset. The strict reader of
// package jose decides whether it is one; encoding/json then says where its members are.
func (f file) object(offset int, text []byte, known ...string) (map[string]value, error) {
	if _, err := jose.ParseObject(string(text)); err != nil {
		return nil, f.at(offset+faultAt(text, err), err)
	}
	members := map[string]value{}
	d := json.NewDecoder(bytes.NewReader(text))
	_, _ = d.Token() // the brace: the text is known to be an object
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, f.at(offset, errors.New("no object"))
		}
		at := offset + int(d.InputOffset())
		if !slices.Contains(known, name) {
			return nil, f.at(at, fmt.Errorf("unknown member %.100q: the known ones are %s", name, strings.Join(known, ", ")))
		}
		v, err := next(d, offset)
		if err != nil {
			return nil, f.at(at, err)
		}
		members[name] = v
	}
	return members, nil
}

// next reads a value. The text of d begins at offset of the file.
func next(d *json.Decoder, offset int) (value, error) {
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return value{}, err
	}
	return value{offset + int(d.InputOffset()) - len(raw), raw}, nil
}

// elements reads an array, which is known to be JSON.
func elements(list value) (values []value) {
	d := json.NewDecoder(bytes.NewReader(list.text))
	_, _ = d.Token()
	for d.More() {
		v, err := next(d, list.offset)
		if err != nil {
			return values
		}
		values = append(values, v)
	}
	return values
}

// faultAt is where the strict reader has stopped.
func faultAt(text []byte, err error) int {
	message := err.Error()
	if i := strings.LastIndex(message, "(at byte "); i >= 0 {
		if at, err := strconv.Atoi(strings.TrimSuffix(message[i+len("(at byte "):], ")")); err == nil {
			return min(at, len(text))
		}
	}
	return 0
}

func (f file) rule(v value) (r Rule, err error) {
	if !v.is('{') {
		return Rule{}, f.at(v.offset, errors.New("a rule is an object"))
	}
	members, err := f.object(v.offset, v.text, "route", "methods", "issuers", "scopes", "any_scopes", "claims", "any_token", "limit", "shadow")
	if err != nil {
		return Rule{}, err
	}
	m := reader{file: f, members: members}
	r.Route = read[string](&m, "route", "a text")
	r.Methods = read[[]string](&m, "methods", "an array of texts")
	r.Issuers = read[[]string](&m, "issuers", "an array of texts")
	r.Scopes = read[[]string](&m, "scopes", "an array of texts")
	r.AnyScopes = read[[]string](&m, "any_scopes", "an array of texts")
	r.AnyToken = read[bool](&m, "any_token", "true or false")
	r.Shadow = read[bool](&m, "shadow", "true or false")
	if limit, ok := members["limit"]; ok && m.err == nil {
		r.Limit, m.err = f.limit(limit)
	}
	if claims, ok := members["claims"]; ok && m.err == nil {
		r.Claims, m.err = f.claims(claims)
	}
	return r, m.err
}

func (f file) limit(v value) (l Limit, err error) {
	if !v.is('{') {
		return Limit{}, f.at(v.offset, errors.New("limit is not an object"))
	}
	members, err := f.object(v.offset, v.text, "rate", "burst", "concurrent")
	if err != nil {
		return Limit{}, err
	}
	m := reader{file: f, members: members}
	l.Rate = read[float64](&m, "rate", "a number")
	l.Burst = read[int](&m, "burst", "a whole number")
	l.Concurrent = read[int](&m, "concurrent", "a whole number")
	if m.err == nil && l == (Limit{}) {
		m.err = f.at(v.offset, errors.New("the limit is none: write rate or concurrent, or leave it out"))
	}
	return l, m.err
}

func (f file) claims(v value) (claims []Claim, err error) {
	if !v.is('[') {
		return nil, f.at(v.offset, errors.New("claims is not an array"))
	}
	list := elements(v)
	if len(list) == 0 {
		return nil, f.at(v.offset, errors.New("claims is empty: leave it out, or write a value"))
	}
	for _, element := range list {
		if !element.is('{') {
			return nil, f.at(element.offset, errors.New("a claim is an object"))
		}
		members, err := f.object(element.offset, element.text, "name", "is", "has")
		if err != nil {
			return nil, err
		}
		m := reader{file: f, members: members}
		claim := Claim{Name: read[string](&m, "name", "a text")}
		for name, into := range map[string]*any{"is": &claim.Is, "has": &claim.Has} {
			v, ok := members[name]
			if _, scalar := canonical(v.text); ok && !scalar && m.err == nil {
				m.err = f.at(v.offset, fmt.Errorf("%s is not a text, a number, true or false", name))
			} else if ok {
				*into = scalarOf(v.text)
			}
		}
		if m.err != nil {
			return nil, m.err
		}
		claims = append(claims, claim)
	}
	return claims, nil
}

// scalarOf decodes a JSON string, bool or number; a number keeps its digits.
func scalarOf(text []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	_ = d.Decode(&v) // known to be JSON
	return v
}

// reader reads one member after another and keeps the first error.
type reader struct {
	file
	members map[string]value
	err     error
}

// read returns a member, its zero value if it is not there. Unlike encoding/json it refuses
// null, in an array too, and an array with nothing in it: an empty list of methods could
// mean all or none.
func read[T any](r *reader, name, form string) (v T) {
	member, ok := r.members[name]
	if !ok || r.err != nil {
		return v
	}
	null := member.is('n')
	if member.is('[') {
		list := elements(member)
		null = slices.ContainsFunc(list, func(element value) bool { return element.is('n') })
		if len(list) == 0 {
			r.err = r.at(member.offset, fmt.Errorf("%s is empty: leave it out, or write a value", name))
			return v
		}
	}
	if err := json.Unmarshal(member.text, &v); err != nil || null {
		r.err = r.at(member.offset, fmt.Errorf("%s is not %s", name, form))
	}
	return v
}
