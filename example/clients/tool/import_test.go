package tool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

const bcryptHash = "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"

// imported is the answer of import -json.
type imported struct {
	Added, Unchanged int
	Bad              []badRow
}

// TestImport adds the good rows of a file as spreadsheets write it, names the bad ones
// and adds nothing when it runs again.
func TestImport(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, newBench func(*testing.T, ...registry.Client) *bench) {
		b := newBench(t, registry.Client{ID: "there", Name: "Other"})
		plain, _ := registry.GenerateSecret()
		lines := []string{
			"\ufeffclient_id,client_name,scope,audiences,token_ttl,disabled,metadata,client_secret,secret_hash",
			`full,"Billing, ""nightly""",orders:read orders:write,https://a.example.com https://b.example.com,300,true,"{""tenant"":""acme""}",,`,
			"hashed,,,https://a.example.com,,,,," + bcryptHash,
			"plain,,,https://a.example.com,,,," + plain + ",",
			"chosen,,,https://a.example.com,,,,secret456,",
			"short,,",
			"full,,,,,,,,",
			",,,,,,,,",
			"there,,,,,,,,",
			"hash,,,,,,,,$1$abc",
			"ttl,,,,soon,,,,",
			"bool,,,,,maybe,,,",
			"meta,,,,,,[],,",
			"two,,,,,,,a," + bcryptHash,
			"scope,,a\"b,,,,,,",
			"long," + strings.Repeat("x", 1025) + ",,,,,,,",
			`scoped,,"a\b",,,,,,`,
		}
		path := b.file("clients.csv", strings.Join(lines, "\r\n")+"\r\n")
		secrets := filepath.Join(b.dir, "secrets.csv")
		answer := jsonOf[imported](b, Failed, "import", path, "-secrets", secrets)
		reasons := []string{
			6: "3 cells, and the first row has 9", 7: "line 2", 8: "client_id", 9: "differs in client_name",
			10: "secret_hash: the hash has an unknown form", 11: "token_ttl", 12: "disabled", 13: "metadata", 14: "client_secret and secret_hash",
			15: "it is no CSV", 16: "client_name: write UTF-8", 17: "scope: ",
		}
		for _, bad := range answer.Bad {
			if bad.Line >= len(reasons) || reasons[bad.Line] == "" || !strings.Contains(bad.Reason, reasons[bad.Line]) {
				t.Errorf("bad row: %+v", bad)
			}
		}
		if answer.Added != 4 || answer.Unchanged != 0 || len(answer.Bad) != 12 {
			t.Errorf("added %d, unchanged %d, bad %+v", answer.Added, answer.Unchanged, answer.Bad)
		}
		full := b.client("full")
		generated, err := secretOf(secrets, "full")
		if err != nil {
			t.Fatal(err)
		}
		if full.Name != `Billing, "nightly"` || len(full.Scopes) != 2 || len(full.Audiences) != 2 || full.TokenTTL != 5*time.Minute || !full.Disabled ||
			full.Metadata["tenant"] != "acme" || len(full.Secrets) != 1 || !full.Secrets[0].Matches(generated) {
			t.Errorf("full is %+v", full)
		}
		if c := b.client("hashed"); len(c.Secrets) != 1 || c.Secrets[0].Hash != bcryptHash {
			t.Errorf("hashed has %v", c.Secrets)
		}
		for id, secret := range map[string]string{"plain": plain, "chosen": "secret456"} {
			if c := b.client(id); len(c.Secrets) != 1 || !c.Secrets[0].Matches(secret) {
				t.Errorf("%s has %v", id, c.Secrets)
			}
		}
		again := jsonOf[imported](b, Failed, "import", path, "-secrets", secrets)
		if again.Added != 0 || again.Unchanged != 4 || !reflect.DeepEqual(again.Bad, answer.Bad) {
			t.Errorf("again: %+v", again)
		}
		good := b.file("good.csv", "client_id,audiences\nfull,https://b.example.com https://a.example.com\n")
		if out := b.do("import", good, "-secrets", secrets); !strings.Contains(out, "0 added, 1 unchanged, 0 bad") {
			t.Errorf("a file with other columns: %s", out)
		}
	})
}

// TestImportHeader refuses a file whose first row is wrong, before anything is added.
func TestImportHeader(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for says, content := range map[string]string{
		"must name the columns":  "",
		`the column "colour"`:    "client_id,colour\na,red\n",
		"no column client_id":    "client_name\na\n",
		`"client_id" twice`:      "client_id,client_id\na,a\n",
		`the column "client_id;`: "client_id;scope\na;b\n",
		"need a generated":       "client_id\na\n",
	} {
		b.refused(says, "import", b.file("clients.csv", content))
	}
	if clients, _ := all(t.Context(), b.clients); len(clients) > 0 {
		t.Errorf("%d clients were added", len(clients))
	}
}

// breaking are clients whose storage stops after a number of registrations.
type breaking struct {
	Clients
	left int
}

func (b *breaking) Register(ctx context.Context, c registry.Client) (registry.Client, error) {
	if b.left--; b.left < 0 {
		return registry.Client{}, errors.New("the disk is full")
	}
	return b.Clients.Register(ctx, c)
}

// TestImportResumes stops in the middle. The next run takes the secrets of the first
// one, and every secret of the file is that of its client.
func TestImportResumes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	content := "client_id,audiences\n"
	for n := range 250 {
		content += fmt.Sprintf("c%d,%s\n", n, apiURL)
	}
	path, secrets := b.file("clients.csv", content), filepath.Join(b.dir, "secrets.csv")
	store := b.clients
	b.clients = &breaking{store, 130}
	b.refused("stopped after 100 of 250 rows; run the same command again", "import", path, "-secrets", secrets)
	before, err := os.ReadFile(secrets)
	if err != nil {
		t.Fatal(err)
	}
	b.clients = store
	status, out, progress := b.run("import", path, "-secrets", secrets)
	if want := "memory: 120 added, 130 unchanged, 0 bad\n"; status != Done || out != want || strings.Contains(progress, "250 of 250") {
		t.Errorf("the second run: status %d, %s%s", status, out, progress)
	}
	after, err := os.ReadFile(secrets)
	if err != nil || !bytes.HasPrefix(after, before) || strings.Count(string(after), "\n") != 251 {
		t.Errorf("%v, the file of secrets has %d lines", err, strings.Count(string(after), "\n"))
	}
	for n := range 250 {
		id := fmt.Sprintf("c%d", n)
		secret, err := secretOf(secrets, id)
		if c := b.client(id); err != nil || len(c.Secrets) != 1 || !c.Secrets[0].Matches(secret) {
			t.Fatalf("%s: %v, %v", id, err, c.Secrets)
		}
	}
}

// TestSecretsFile keeps complete lines, cuts a torn one, and is private.
func TestSecretsFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secrets.csv")
	file, err := openSecrets(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openSecrets(path); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("a second run: %v", err)
	}
	odd := `a,"b`
	first, err := file.secrets([]string{odd, "c"})
	if err != nil {
		t.Fatal(err)
	}
	want := first[odd]
	file.close()
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	content, _ := os.ReadFile(path)
	if err := os.WriteFile(path, append(slices.Clone(content), "d,m2m_abc"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if file, err = openSecrets(path); err != nil {
		t.Fatal(err)
	}
	second, err := file.secrets([]string{odd, "d"})
	if err != nil || second[odd] != want || second["d"] == "" {
		t.Errorf("%v, %v", second, err)
	}
	file.close()
	for id := range second {
		if got, err := secretOf(path, id); got != second[id] || err != nil {
			t.Errorf("%s: %q, %v", id, got, err)
		}
	}
	if err := os.WriteFile(path, []byte("client_id,client_secret\na,wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openSecrets(path); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged secret: %v", err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openSecrets(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others can read: %v", err)
	}
}
