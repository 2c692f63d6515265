package tool

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// TestImportRowOfTwoFaults names both.
func TestImportRowOfTwoFaults(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	answer := jsonOf[imported](b, Failed, "import", b.file("a.csv", "client_id,scope,token_ttl,disabled\na b\x01,x,soon,maybe\n"), "-secrets", b.dir+"/s.csv")
	if len(answer.Bad) != 1 {
		t.Fatalf("%+v", answer)
	}
	for _, fault := range []string{"client_id: ", "token_ttl: ", "disabled: "} {
		if !strings.Contains(answer.Bad[0].Reason, fault) {
			t.Errorf("%s is not in: %s", fault, answer.Bad[0].Reason)
		}
	}
}

// TestImportProgress shows how far a long run is, and leaves the end to the answer.
func TestImportProgress(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rows := "client_id,audiences,secret_hash\n"
	for n := range 250 {
		rows += fmt.Sprintf("c%d,%s,%s\n", n, apiURL, bcryptHash)
	}
	var out, progress bytes.Buffer
	i := &importing{s: &Session{Clients: b.clients, Place: "memory", Out: &out, Err: &progress}, path: b.file("a.csv", rows)} // progress was never shown
	if err := i.run(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if got, want := progress.String(), "clients: 100 of 250 rows: 100 added, 0 unchanged, 0 bad\n"; !strings.HasPrefix(got, want) || strings.Contains(got, "250 of 250") {
		t.Errorf("progress: %q, want %q", got, want)
	}
	if got, want := out.String(), "memory: 250 added, 0 unchanged, 0 bad\n"; got != want {
		t.Errorf("the answer: %q, want %q", got, want)
	}
}

// TestAudienceWarnings adds and changes clients whose audiences keep them from tokens.
// That is done, and said.
func TestAudienceWarnings(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, newBench func(*testing.T, ...registry.Client) *bench) {
		b := newBench(t)
		none := "warning: it has no audience, so it gets no token\n"
		noURI := `warning: audience "orders" is not an absolute URI: clients cannot name it in resource` + "\n"
		for _, step := range []struct {
			says string
			args []string
		}{
			{"", []string{"add", "good", "-audience", apiURL}},
			{"", []string{"add", "api", "-introspects", apiURL}},
			{"clients: a: " + noURI, []string{"add", "a", "-audience", "orders"}},
			{"", []string{"set", "a", "-name", "A"}},
			{"clients: a: " + none, []string{"set", "a", "-clear", "audience"}},
			{"clients: a: " + noURI, []string{"set", "a", "-audience", "orders"}},
			{"clients: j: " + none, []string{"apply", b.file("j.json", `[{"client_id": "j"}]`), "-secrets", b.dir + "/s.csv"}},
			{"clients: j: " + noURI, []string{"apply", b.file("k.json", `[{"client_id": "j", "audiences": ["orders"]}]`)}},
			{b.file("c.csv", "client_id,audiences\nc,\n") + ":2: c: " + none, []string{"import", b.dir + "/c.csv", "-secrets", b.dir + "/s.csv"}},
			{b.file("d.csv", "client_id,audiences\nd,orders\n") + ":2: d: " + noURI, []string{"import", b.dir + "/d.csv", "-secrets", b.dir + "/s.csv"}},
			{"", []string{"import", b.dir + "/d.csv", "-secrets", b.dir + "/s.csv"}}, // nothing is added
		} {
			if status, out, err := b.run(step.args...); status != Done || err != step.says {
				t.Errorf("%q: status %d, %s said %q, want %q", step.args, status, out, err, step.says)
			}
		}
	})
}
