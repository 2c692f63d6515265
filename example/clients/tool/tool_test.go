package tool

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// bench is the tool over clients in memory.
type bench struct {
	*testing.T
	clients Clients
	env     map[string]string
	in      string
	dir     string
}

func newBench(t *testing.T, clients ...registry.Client) *bench {
	t.Helper()
	store, err := registry.NewMemory(clients...)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{T: t, clients: store, env: map[string]string{}, dir: t.TempDir()}
}

// run runs the tool and returns its exit status and what it wrote.
func (b *bench) run(args ...string) (status int, out, err string) {
	b.Helper()
	var stdout, stderr bytes.Buffer
	p := Program{
		Open: func(context.Context) (Storage, error) {
			return Storage{Clients: b.clients, Place: "memory", Close: func() error { return nil }}, nil
		},
		In: strings.NewReader(b.in), Out: &stdout, Err: &stderr,
		Getenv: func(name string) string { return b.env[name] },
	}
	status = p.Run(b.Context(), args)
	return status, stdout.String(), stderr.String()
}

// do runs the tool, which must end with Done.
func (b *bench) do(args ...string) string {
	b.Helper()
	status, out, err := b.run(args...)
	if status != Done {
		b.Fatalf("%q: status %d\n%s\n%s", args, status, out, err)
	}
	return out
}

// refused runs the tool, which must fail and say so.
func (b *bench) refused(says string, args ...string) {
	b.Helper()
	status, out, err := b.run(args...)
	if status != Failed || !strings.Contains(err, says) {
		b.Errorf("%q: status %d\n%s\n%s\nwant %q", args, status, out, err, says)
	}
}

// file writes a file and returns its path.
func (b *bench) file(name, content string) string {
	b.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

func (b *bench) client(id string) *registry.Client {
	b.Helper()
	c, err := b.clients.Client(b.Context(), id)
	if err != nil {
		b.Fatalf("client %s: %v", id, err)
	}
	return c
}

// jsonOf runs the tool with -json and reads the answer.
func jsonOf[T any](b *bench, want int, args ...string) (answer T) {
	b.Helper()
	status, out, err := b.run(append(args, "-json")...)
	if status != want {
		b.Fatalf("%q: status %d, want %d\n%s\n%s", args, status, want, out, err)
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		b.Fatalf("%q: %v in %s", args, err, out)
	}
	return answer
}

const apiURL = "https://api.example.com"

// last is the last word, which is where a new secret is shown.
func last(out string) string { words := strings.Fields(out); return words[len(words)-1] }

// TestHelp reads the help of every verb, which opens no storage and shows every flag
// and an example.
func TestHelp(t *testing.T) {
	b := newBench(t)
	b.clients = nil
	overview := b.do("help")
	if b.do() != overview {
		t.Error("no arguments do not show the overview")
	}
	for _, v := range verbs() {
		text := b.do(v.Name, "-h")
		if text != b.do("help", v.Name) {
			t.Errorf("%s -h is not help %s", v.Name, v.Name)
		}
		if !strings.Contains(text, "Example\n  ") || strings.TrimSpace(v.Example) == "" || v.Text == "" || !strings.Contains(text, "clients "+v.Name) {
			t.Errorf("the help of %s:\n%s", v.Name, text)
		}
		if !strings.Contains(overview, "  clients "+v.Name) || v.Summary == "" {
			t.Errorf("the overview lacks %s", v.Name)
		}
		for line := range strings.Lines(v.Text) {
			if len(line) > 91 {
				t.Errorf("%s: a line of the help is %d bytes long: %s", v.Name, len(line), line)
			}
		}
	}
	for _, group := range groups[:len(groups)-1] {
		if !strings.Contains(overview, "\n"+group+"\n") {
			t.Errorf("the overview lacks the group %s", group)
		}
	}
	b.refused("no verb", "frobnicate")
	b.refused("no verb", "help", "frobnicate")
}

// TestArguments refuses arguments before a storage is opened.
func TestArguments(t *testing.T) {
	b := newBench(t)
	b.clients = nil
	for says, args := range map[string][]string{
		"list takes no id":                  {"list", "billing"},
		"one client id":                     {"show"},
		"name one client id":                {"show", "a", "b"},
		"one client id and one secret":      {"remove-secret", "a"},
		"flag provided but not defined":     {"add", "a", "-colour", "red"},
		"flag provided but not defined: -j": {"export", "-json"},
		"write KEY=VALUE":                   {"set", "a", "-metadata", "tenant"},
		"name one file":                     {"apply"},
	} {
		b.refused(says, args...)
	}
	b.env = map[string]string{"ADMIN_URL": "https://a.example.com/admin", "DATABASE_URL": "postgres://db"}
	b.refused("both set", "list")
	b.env = map[string]string{"ADMIN_URL": "http://a.example.com/admin", "ACCESS_TOKEN": "hunter2"}
	b.refused("write https", "list")
}

// TestVerbs makes each change and finds it in the clients.
func TestVerbs(t *testing.T) {
	b := newBench(t)
	first := last(b.do("add", "a", "-audience", apiURL))
	second := last(b.do("rotate-secret", "a", "-overlap", "1h"))
	if c := b.client("a"); len(c.Secrets) != 2 || !c.Secrets[0].Matches(first) || !c.Secrets[1].Matches(second) {
		t.Errorf("the secrets are %v", c.Secrets)
	}
	b.refused("the id is taken, see: clients show a", "add", "a", "-audience", apiURL)
	b.refused("name an -audience", "add", "b")
	b.refused("Client.Scopes", "add", "b", "-audience", apiURL, "-scope", `a"b`)
	b.refused("there is no such client or secret", "remove-secret", "a", "other")
	b.refused("there is no such client", "show", "nobody")
	b.refused("leave -overlap out", "rotate-secret", "a", "-revoke", "-overlap", "1h")
	b.refused("or -all; see", "revoke", "a", "-all")
	b.refused("name one client id, or -all", "revoke")
	b.in = first + "\n"
	id, _ := registry.SecretID(second)
	for _, step := range []struct {
		args []string
		says string
	}{
		{[]string{"remove-secret", "a", "-", "-revoke"}, "tokens got with it are revoked"},
		{[]string{"remove-secret", "-revoke=false", "a", id}, "secret " + id + " of client a is removed; tokens got with it are still valid"},
		{[]string{"rotate-secret", "a", "-revoke"}, "within 2 s"},
		{[]string{"rotate-secret", "a", "-overlap", "0"}, "still valid"},
		{[]string{"disable", "a"}, "is disabled"},
		{[]string{"enable", "a"}, "is enabled"},
		{[]string{"revoke", "a"}, "of client a are revoked"},
		{[]string{"revoke", "-all"}, "of all clients are revoked"},
		{[]string{"delete", "a"}, "is deleted"},
	} {
		if out := b.do(step.args...); !strings.HasPrefix(out, "memory: ") || !strings.Contains(out, step.says) {
			t.Errorf("%q says %q, want memory: … %s", step.args, out, step.says)
		}
	}
	b.in = "chosen\n"
	b.refused("no generated secret", "remove-secret", "a", "-")
}

// TestAnswers reads the JSON of each verb.
func TestAnswers(t *testing.T) {
	b := newBench(t)
	added := jsonOf[record](b, Done, "add", "a", "-audience", apiURL, "-scope", "x y")
	if c := b.client("a"); added.ID != "a" || added.Scope != "x y" || added.Version != 1 || len(added.Secrets) != 1 || !c.Secrets[0].Matches(added.Secret) {
		t.Errorf("add: %+v", added)
	}
	rotated := jsonOf[done](b, Done, "rotate-secret", "a")
	if c := b.client("a"); len(c.Secrets) != 2 || c.Secrets[1].ID != rotated.SecretID || !c.Secrets[1].Matches(rotated.Secret) || rotated.Place != "memory" {
		t.Errorf("rotate-secret: %+v", rotated)
	}
	if page := jsonOf[struct{ Clients []record }](b, Done, "list"); len(page.Clients) != 1 || len(page.Clients[0].Secrets) != 2 {
		t.Errorf("list: %+v", page)
	}
	if shown := b.do("show", "a", "-json"); strings.Contains(shown, "sha256:") || strings.Contains(shown, added.Secret) {
		t.Errorf("show: %s", shown)
	}
	for verb, want := range map[string]string{"disable": "disabled", "enable": "enabled", "revoke": "tokens revoked"} {
		if answer := jsonOf[done](b, Done, verb, "a"); answer.Done != want || answer.ID != "a" {
			t.Errorf("%s: %+v", verb, answer)
		}
	}
	if answer := jsonOf[map[string]any](b, Done, "delete", "a"); !maps.Equal(answer, map[string]any{"client_id": "a", "done": "deleted", "place": "memory"}) {
		t.Errorf("delete: %v", answer)
	}
}
