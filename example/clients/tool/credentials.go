package tool

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// readKeys reads a JWK set of a file.
func readKeys(path string) (json.RawMessage, error) {
	set, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	set = bytes.TrimSpace(bytes.TrimPrefix(set, []byte("\ufeff")))
	if len(set) == 0 {
		return nil, errors.New("the file is empty")
	}
	return set, checkKeys(set)
}

// checkKeys returns why a key set, or a key of it, is not usable. The issuer would skip
// such a key.
func checkKeys(set json.RawMessage) error {
	if len(set) == 0 {
		return nil
	}
	keys, err := jose.ParseSet(set, nil)
	if err != nil {
		return errors.New("jwks: " + strings.TrimPrefix(err.Error(), "jose: "))
	}
	if skipped := keys.Skipped(); len(skipped) > 0 {
		return fmt.Errorf("jwks: the key with the kid %s cannot be used: %s", dash(skipped[0].KeyID), strings.TrimPrefix(skipped[0].Err.Error(), "jose: "))
	}
	return nil
}

// readWorkloads reads the member workload, in which unknown and repeated members are
// refused.
func readWorkloads(doc []byte) (workloads []registry.Workload, err error) {
	var entries []json.RawMessage
	if err := json.Unmarshal(orNull(doc), &entries); err != nil {
		return nil, errors.New("write an array of objects")
	}
	for _, entry := range entries {
		var w registry.Workload
		if _, err := strict(entry, reflect.TypeFor[registry.Workload]()); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(entry, &w); err != nil {
			return nil, errors.New(`write objects such as {"issuer": "https://…", "subject": "…", "audience": "…"}`)
		}
		workloads = append(workloads, w)
	}
	return workloads, nil
}

// parseWorkload reads a flag: the issuer, the subject and the audience with spaces
// between. Only the subject may have spaces.
func parseWorkload(text string) (registry.Workload, error) {
	words := strings.Fields(text)
	if len(words) < 3 {
		return registry.Workload{}, errors.New("write ISSUER SUBJECT AUDIENCE, with spaces between them")
	}
	return registry.Workload{Issuer: words[0], Subject: strings.Join(words[1:len(words)-1], " "), Audience: words[len(words)-1]}, nil
}

// canonical returns a JSON text in one spelling, so that two texts of one value are equal.
// The storage, the admin API and a file each may spell a key set in another way.
func canonical(text json.RawMessage) string {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return string(text)
	}
	spelled, err := encode(value)
	if err != nil {
		return string(text)
	}
	return spelled
}

// encode writes JSON in one line, without escaping more than JSON needs.
func encode(value any) (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return strings.TrimSuffix(text.String(), "\n"), err
}

// sorted returns the workloads in an order of their own: that of a list means nothing.
func sorted(list []registry.Workload) []registry.Workload {
	return slices.SortedFunc(slices.Values(list), func(a, b registry.Workload) int {
		return cmp.Or(strings.Compare(a.Issuer, b.Issuer), strings.Compare(a.Subject, b.Subject), strings.Compare(a.Audience, b.Audience))
	})
}

// workloads prints the workloads of a client.
func workloads(list []registry.Workload) string {
	if len(list) == 0 {
		return ""
	}
	text, err := encode(list)
	if err != nil {
		return err.Error()
	}
	return text
}
