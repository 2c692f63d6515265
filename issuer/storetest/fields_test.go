package storetest

import (
	"reflect"
	"slices"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// Together the clients of complete have every field of a client, of its secrets and of its
// workloads, so a store that forgets a field fails.
func TestEveryFieldIsTried(t *testing.T) {
	list := complete()
	var secrets []registry.Secret
	var workloads []registry.Workload
	for _, c := range list {
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
		secrets, workloads = append(secrets, c.Secrets...), append(workloads, c.Workloads...)
	}
	own := []string{"Version", "CreatedAt", "UpdatedAt", "LastUsedAt"} // those of the store
	for _, values := range []reflect.Value{reflect.ValueOf(list), reflect.ValueOf(secrets), reflect.ValueOf(workloads)} {
		for n, field := range reflect.VisibleFields(values.Type().Elem()) {
			set, empty := false, values.Type().Elem() != reflect.TypeFor[registry.Client]()
			for i := range values.Len() {
				set = set || !values.Index(i).Field(n).IsZero()
				empty = empty || values.Index(i).Field(n).IsZero()
			}
			if !slices.Contains(own, field.Name) && (!set || !empty && field.Name != "ID") {
				t.Errorf("%s.%s is new: give it a value in complete, and none in another client", values.Type().Elem(), field.Name)
			}
		}
	}
}

// A store that forgets one field of a client is noticed.
func TestForgottenFieldIsNoticed(t *testing.T) {
	for _, want := range complete() {
		fields := reflect.ValueOf(want)
		for i := range fields.NumField() {
			if fields.Field(i).IsZero() || fields.Type().Field(i).Name == "ID" {
				continue
			}
			got := want.Clone()
			reflect.ValueOf(got).Elem().Field(i).SetZero()
			noticed := &testing.T{}
			if wantFields(noticed, "read", *got, want); !noticed.Failed() {
				t.Errorf("%s was forgotten and not noticed", fields.Type().Field(i).Name)
			}
		}
	}
}
