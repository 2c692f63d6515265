package tool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// answered is the answer of plan -json and apply -json.
type answered struct {
	Changes   []planned
	Unchanged int
	Failed    []failure
}

func (a answered) actions() (actions []string) {
	for _, c := range a.Changes {
		actions = append(actions, c.Action+" "+c.ID)
	}
	return actions
}

// TestApply plans and makes an addition, a change and a deletion, and then finds
// nothing to do.
func TestApply(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, newBench func(*testing.T, ...registry.Client) *bench) {
		b := newBench(t,
			registry.Client{ID: "billing", Scopes: []string{"b", "a"}, Audiences: []string{apiURL}, Disabled: true},
			registry.Client{ID: "old", Audiences: []string{apiURL}},
			registry.Client{ID: "same", Audiences: []string{apiURL}, Metadata: map[string]string{"tenant": "acme"}})
		plain, _ := registry.GenerateSecret()
		path := b.file("clients.json", `[
			{"client_id": "billing", "scope": "a c", "audiences": ["`+apiURL+`"], "client_secret": "`+plain+`"},
			{"client_id": "fresh", "client_name": "Fresh", "audiences": ["`+apiURL+`"]},
			{"client_id": "same", "audiences": ["`+apiURL+`"], "metadata": {"tenant": "acme"}, "grant_types": ["client_credentials"]},
			{"client_id": "operator", "scope": "clients:admin", "audiences": ["`+apiURL+`"]}]`)
		secrets := filepath.Join(b.dir, "secrets.csv")
		planned := jsonOf[answered](b, Changes, "plan", path, "-prune")
		want := []string{"change billing", "add fresh", "delete old"}
		if b.env["CLIENT_ID"] == "" {
			want = []string{"change billing", "add fresh", "add operator", "delete old"}
		}
		if !slices.Equal(planned.actions(), want) {
			t.Fatalf("planned %+v", planned)
		}
		if fields := planned.Changes[0].Fields; len(fields) != 2 || fields[0] != (fieldChange{"scope", "a b", "a c"}) || fields[1].Name != "secrets" {
			t.Errorf("the change of billing is %+v", fields)
		}
		status, out, _ := b.run("plan", path)
		for _, line := range []string{"~ billing\n    scope: a b -> a c\n", "+ fresh (with a generated secret)\n    client_name: Fresh\n", " to add, 1 to change, 0 to delete, "} {
			if status != Changes || !strings.Contains(out, line) {
				t.Errorf("status %d, the plan lacks %q:\n%s", status, line, out)
			}
		}
		b.refused("-secrets FILE", "apply", path, "-prune")
		if c := b.client("billing"); len(c.Secrets) > 0 {
			t.Error("apply without -secrets has changed something")
		}
		done := jsonOf[answered](b, Done, "apply", path, "-prune", "-secrets", secrets)
		if !reflect.DeepEqual(done.Changes, planned.Changes) || len(done.Failed) > 0 {
			t.Errorf("applied %+v, planned %+v", done, planned)
		}
		if c := b.client("billing"); !slices.Equal(c.Scopes, []string{"a", "c"}) || !c.Disabled || !c.Secrets[0].Matches(plain) {
			t.Errorf("billing is %+v", c)
		}
		secret, err := secretOf(secrets, "fresh")
		if c := b.client("fresh"); err != nil || len(c.Secrets) != 1 || !c.Secrets[0].Matches(secret) {
			t.Errorf("%v, fresh is %+v", err, c)
		}
		before, _ := os.ReadFile(secrets)
		if done := jsonOf[answered](b, Done, "apply", path, "-prune", "-secrets", secrets); len(done.Changes) > 0 || done.Unchanged != 4 {
			t.Errorf("the second time %+v", done)
		}
		if out := b.do("plan", path, "-prune"); !strings.Contains(out, "0 to add, 0 to change, 0 to delete, 4 unchanged") {
			t.Errorf("the plan after apply: %s", out)
		}
		if after, _ := os.ReadFile(secrets); string(after) != string(before) {
			t.Error("the second apply has written secrets")
		}
		enabled := b.file("enabled.json", `[{"client_id": "billing", "scope": "a c", "audiences": ["`+apiURL+`"], "disabled": false}]`)
		b.do("apply", enabled)
		if b.client("billing").Disabled {
			t.Error(`"disabled": false has not enabled the client`)
		}
	})
}

// TestApplyChosenSecret adds a chosen secret once. Through the admin API, which shows no
// hashes, that of a client that has one is not compared, and a note says so.
func TestApplyChosenSecret(t *testing.T) {
	t.Parallel()
	file := `[{"client_id": "a", "audiences": ["` + apiURL + `"], "client_secret": "secret456"}]`
	b := newBench(t)
	path := b.file("clients.json", file)
	b.do("apply", path)
	if out := b.do("plan", path); !strings.Contains(out, "1 unchanged") || strings.Contains(out, "not compared") {
		t.Error(out)
	}
	other := b.file("other.json", strings.ReplaceAll(file, "secret456", "secret789"))
	b.do("apply", other)
	if c := b.client("a"); len(c.Secrets) != 2 || !c.Secrets[1].Matches("secret789") {
		t.Errorf("the secrets are %v", c.Secrets)
	}
	b = newAPIBench(t)
	path = b.file("clients.json", file)
	b.do("apply", path)
	if out := b.do("plan", path); !strings.Contains(out, "1 unchanged") || !strings.Contains(out, "a: client_secret is not compared") {
		t.Error(out)
	}
}

// changing changes a client behind the tool's back, after it was compared.
type changing struct {
	Clients
	change func(ctx context.Context) error
}

func (c *changing) once(ctx context.Context) {
	if change := c.change; change != nil {
		c.change = nil
		if err := change(ctx); err != nil {
			panic(err)
		}
	}
}

func (c *changing) Update(ctx context.Context, to registry.Client) (registry.Client, error) {
	c.once(ctx)
	return c.Clients.Update(ctx, to)
}

func (c *changing) Register(ctx context.Context, to registry.Client) (registry.Client, error) {
	c.once(ctx)
	return c.Clients.Register(ctx, to)
}

// TestApplyConflict leaves a client alone that another call has changed since it was
// compared, says so, and does the rest.
func TestApplyConflict(t *testing.T) {
	t.Parallel()
	secrets := filepath.Join(t.TempDir(), "secrets.csv")
	for name, c := range map[string]struct {
		change func(ctx context.Context, store Clients) error
		file   string
		args   []string
		says   string
	}{
		"changed": {func(ctx context.Context, store Clients) error {
			_, err := store.Update(ctx, registry.Client{ID: "a", Name: "theirs", Version: 1})
			return err
		}, `[{"client_id": "a", "client_name": "ours"}, {"client_id": "b", "client_name": "ours"}]`, nil, "a: another call has changed it"},
		"deleted": {func(ctx context.Context, store Clients) error { return store.Delete(ctx, "a") },
			`[{"client_id": "a", "client_name": "ours"}, {"client_id": "b", "client_name": "ours"}]`, nil, "a: another call has deleted it"},
		"added": {func(ctx context.Context, store Clients) error {
			_, err := store.Register(ctx, registry.Client{ID: "c"})
			return err
		}, `[{"client_id": "c", "client_name": "ours"}, {"client_id": "b", "client_name": "ours"}]`, []string{"-secrets", secrets}, "c: another call has added it"},
		"changed before it is pruned": {func(ctx context.Context, store Clients) error {
			_, err := store.Update(ctx, registry.Client{ID: "a", Name: "theirs", Version: 1})
			return err
		}, `[{"client_id": "b"}]`, []string{"-prune"}, "a: another call has changed it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, registry.Client{ID: "a"}, registry.Client{ID: "b"})
			store := b.clients
			b.clients = &changing{store, func(ctx context.Context) error { return c.change(ctx, store) }}
			b.refused(c.says, append([]string{"apply", b.file("clients.json", c.file)}, c.args...)...)
			if strings.Contains(c.file, `"b", "client_name"`) && b.client("b").Name != "ours" {
				t.Error("the other client was not changed")
			}
			if a, err := store.Client(t.Context(), "a"); name != "added" && err == nil && a.Name != "theirs" {
				t.Errorf("a is %+v", a)
			}
		})
	}
}

// TestApplyLate makes the changes that a killed run has sent, and that are made after
// the next run has compared the clients.
func TestApplyLate(t *testing.T) {
	t.Parallel()
	ours := registry.Client{ID: "a", Name: "ours", Version: 1}
	for name, c := range map[string]struct {
		change func(ctx context.Context, store Clients, file *secretsFile) error
		verb   string
		file   string
		args   []string
	}{
		"changed": {func(ctx context.Context, store Clients, _ *secretsFile) error {
			_, err := store.Update(ctx, ours)
			return err
		}, "apply", `[{"client_id": "a", "client_name": "ours"}]`, nil},
		"added":    {addLate, "apply", `[{"client_id": "b"}]`, nil},
		"imported": {addLate, "import", "client_id\nb\n", nil},
		"disabled before it is pruned": {func(ctx context.Context, store Clients, _ *secretsFile) error {
			_, err := store.Update(ctx, registry.Client{ID: "a", Disabled: true, Version: 1})
			return err
		}, "apply", `[{"client_id": "b"}]`, []string{"-prune"}},
		"pruned": {func(ctx context.Context, store Clients, _ *secretsFile) error { return store.Delete(ctx, "a") },
			"apply", `[{"client_id": "b"}]`, []string{"-prune"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, registry.Client{ID: "a"})
			path := filepath.Join(b.dir, "secrets.csv")
			file, err := openSecrets(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.secrets([]string{"b"}); err != nil {
				t.Fatal(err)
			}
			file.close()
			store := b.clients
			b.clients = &changing{store, func(ctx context.Context) error { return c.change(ctx, store, file) }}
			b.do(append([]string{c.verb, b.file("clients", c.file), "-secrets", path}, c.args...)...)
			secret, err := secretOf(path, "b")
			if b, found := store.Client(t.Context(), "b"); err != nil || found == nil && (len(b.Secrets) != 1 || !b.Secrets[0].Matches(secret)) {
				t.Errorf("%v, b is %+v", err, b)
			}
			if _, err := store.Client(t.Context(), "a"); len(c.args) > 0 && !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("a was not pruned: %v", err)
			}
		})
	}
}

// addLate adds the client b with the secret of the file.
func addLate(ctx context.Context, store Clients, file *secretsFile) error {
	secret, err := registry.HashSecret(file.known["b"])
	if err != nil {
		return err
	}
	_, err = store.Register(ctx, registry.Client{ID: "b", Secrets: []registry.Secret{secret}})
	return err
}

// TestApplyFile refuses a file that is wrong before anything is changed.
func TestApplyFile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for says, content := range map[string]string{
		"no JSON array":                    `{"client_id": "a"}`,
		"clients.json: it is no JSON":      ``,
		`client 1: unknown member "color"`: `[{"client_id": "a", "color": "red"}]`,
		`is there twice`:                   `[{"client_id": "a", "client_id": "b"}]`,
		`client 2: client_id "a" is that`:  `[{"client_id": "a"}, {"client_id": "a"}]`,
		"client_id: ":                      `[{}]`,
		"scope: ":                          `[{"client_id": "a", "scope": "a  b"}]`,
		"scope: it must not be":            `[{"client_id": "a", "scope": ["a"]}]`,
		"default_audience: ":               `[{"client_id": "a", "default_audience": "x"}]`,
		"token_ttl: ":                      `[{"client_id": "a", "token_ttl": -1}]`,
		"grant_types: ":                    `[{"client_id": "a", "grant_types": ["password"]}]`,
		"secrets: unknown member":          `[{"client_id": "a", "secrets": [{"id": "x"}]}]`,
		"metadata: ":                       `[{"client_id": "a", "metadata": {"x": "1", "x": "2"}}]`,
		"client_secret_expires_at: ":       `[{"client_id": "a", "client_secret_expires_at": 5}]`,
		"all would be deleted":             `[]`,
	} {
		b.refused(says, "apply", b.file("clients.json", content), "-prune")
	}
	b.refused("no such file", "plan", filepath.Join(b.dir, "nothing.json"))
}

// TestPruneKeepsTheOperator does not let the tool delete the client that it uses.
func TestPruneKeepsTheOperator(t *testing.T) {
	t.Parallel()
	b := newAPIBench(t)
	path := b.file("clients.json", `[{"client_id": "a", "audiences": ["x"]}]`)
	b.refused("it would delete itself", "apply", path, "-prune", "-secrets", filepath.Join(b.dir, "secrets.csv"))
	b.client("operator")
}
