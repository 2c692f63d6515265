package tool

import (
	"flag"
	"reflect"
	"slices"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// A flag that is given twice is refused, and nothing is done. The second value would
// replace the first one.
func TestFlagsGivenTwice(t *testing.T) {
	b := newBench(t, registry.Client{ID: "a", Scopes: []string{"x"}})
	b.refused(`for flag -audience: the flag is given twice`, "add", "shop", "-audience", "https://a", "-audience", "https://b")
	b.refused("given twice", "set", "a", "-scope", "y", "-scope=z")
	b.refused("given twice", "set", "a", "-metadata", "tenant=acme", "-metadata", "tenant=other")
	b.refused("given twice", "list", "-json", "-json")
	if _, err := b.clients.Client(t.Context(), "shop"); err == nil {
		t.Error("the client was added")
	}
	if got := b.client("a"); !slices.Equal(got.Scopes, []string{"x"}) || len(got.Metadata) != 0 {
		t.Errorf("the client was changed: %+v", got)
	}
	b.do("set", "a", "-metadata", "tenant=acme", "-metadata", "plan=gold", "-disabled")
	if got := b.client("a"); !reflect.DeepEqual(got.Metadata, map[string]string{"tenant": "acme", "plan": "gold"}) || !got.Disabled {
		t.Errorf("%+v", got)
	}
}

// Every flag of every verb takes one value, or says that it may be repeated.
func TestFlagsOfAllVerbs(t *testing.T) {
	values := []string{"1", "1s", "true", "a=1", newBench(t).file("keys.json", keySet), "https://a.example b c"}
	for _, v := range verbs() {
		flags, _, _ := v.flags(&Session{})
		flags.VisitAll(once)
		flags.VisitAll(func(f *flag.Flag) {
			good := slices.IndexFunc(values, func(value string) bool {
				fresh, _, _ := v.flags(&Session{})
				return fresh.Set(f.Name, value) == nil
			})
			if good < 0 {
				t.Fatalf("%s -%s takes none of %q", v.Name, f.Name, values)
			}
			first, second := flags.Set(f.Name, values[good]), flags.Set(f.Name, values[good])
			_, may := f.Value.(repeated)
			if first != nil || second == nil && !may {
				t.Errorf("%s -%s: %v, and then %v", v.Name, f.Name, first, second)
			}
		})
	}
}
