package tool

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// settable are the fields of a client, the flags that set them, and a value of each.
var settable = map[string]struct {
	flag, text string
	value      any
}{
	"Name":            {"name", "Billing job", "Billing job"},
	"Disabled":        {"disabled", "true", true},
	"AuthMethod":      {"auth-method", "client_secret_post", "client_secret_post"},
	"Scopes":          {"scope", "b a", []string{"b", "a"}},
	"Audiences":       {"audience", "https://a.example.com,https://b.example.com", []string{"https://a.example.com", "https://b.example.com"}},
	"DefaultAudience": {"default-audience", "https://b.example.com", "https://b.example.com"},
	"Introspects":     {"introspects", "* https://a.example.com", []string{"*", "https://a.example.com"}},
	"TokenTTL":        {"ttl", "5m", 5 * time.Minute},
	"Metadata":        {"metadata", "tenant=acme", map[string]string{"tenant": "acme"}},
}

// TestSetEveryField sets and clears every field of a client that is an operator's to
// decide. A new field of registry.Client fails here until set knows it.
func TestSetEveryField(t *testing.T) {
	own := []string{"ID", "Secrets", "Version", "CreatedAt", "UpdatedAt"} // those of the store, and of other verbs
	var all, clears []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[registry.Client]()) {
		s, ok := settable[field.Name]
		switch {
		case slices.Contains(own, field.Name):
			continue
		case !ok || clearable[s.flag] == nil:
			t.Fatalf("set does not know the field %s", field.Name)
		}
		all = append(all, "-"+s.flag+"="+s.text)
		clears = append(clears, s.flag)
	}
	b := newBench(t, registry.Client{ID: "a"})
	b.do(append([]string{"set", "a"}, all...)...)
	got := reflect.ValueOf(*b.client("a"))
	for name, s := range settable {
		if value := got.FieldByName(name).Interface(); !reflect.DeepEqual(value, s.value) {
			t.Errorf("%s is %v, want %v", name, value, s.value)
		}
	}
	for _, name := range clears {
		if name == "audience" {
			continue // the default audience is one of them
		}
		b.do("set", "a", "-clear", name)
	}
	b.do("set", "a", "-clear", "audience")
	got = reflect.ValueOf(*b.client("a"))
	for name := range settable {
		if value := got.FieldByName(name); value.Kind() != reflect.Slice && value.Kind() != reflect.Map && !value.IsZero() || (value.Kind() == reflect.Slice || value.Kind() == reflect.Map) && value.Len() > 0 {
			t.Errorf("%s is %v after -clear", name, value)
		}
	}
	if len(all) != len(settable) || len(clearable) != len(settable) {
		t.Errorf("%d flags, %d can be cleared, want %d", len(all), len(clearable), len(settable))
	}
}

// TestSet changes the named fields alone.
func TestSet(t *testing.T) {
	b := newBench(t, registry.Client{ID: "a", Name: "A", Scopes: []string{"x"}, Metadata: map[string]string{"tenant": "acme", "plan": "gold"}})
	b.do("set", "a", "-metadata", "plan=", "-metadata", "region=eu", "-clear", "metadata.tenant")
	c := b.client("a")
	if c.Name != "A" || !slices.Equal(c.Scopes, []string{"x"}) || !maps.Equal(c.Metadata, map[string]string{"plan": "", "region": "eu"}) {
		t.Errorf("after set: %+v", c)
	}
	b.do("set", "a", "-name", "")
	if c := b.client("a"); c.Name != "" {
		t.Errorf("the name is %q", c.Name)
	}
	version := b.client("a").Version
	b.do("set", "a", "-scope", "x")
	if now := b.client("a").Version; now != version {
		t.Error("a client that has these values already was written")
	}
	b.refused("name a field to change", "set", "a", "-json")
	b.refused("-clear colour", "set", "a", "-clear", "colour")
	b.refused("Client.TokenTTL", "set", "a", "-ttl", "1500ms")
	b.refused("is not in Client.Audiences", "set", "a", "-default-audience", apiURL)
}

// TestSetConflict refuses a change of a client that another call has changed since it
// was read.
func TestSetConflict(t *testing.T) {
	b := newBench(t, registry.Client{ID: "a"})
	store := b.clients
	b.clients = &changing{store, func(ctx context.Context) error {
		_, err := store.Update(ctx, registry.Client{ID: "a", Name: "theirs", Version: 1})
		return err
	}}
	b.refused("memory: the client was changed by another call just now", "set", "a", "-name", "ours")
	if c := b.client("a"); c.Name != "theirs" {
		t.Errorf("the name is %q", c.Name)
	}
}
