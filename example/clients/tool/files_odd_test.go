package tool

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// TestPruneOnePage refuses to delete by a page of list, which leaves clients out.
func TestPruneOnePage(t *testing.T) {
	t.Parallel()
	var clients []registry.Client
	for n := range 60 {
		_, secret := registry.GenerateSecret()
		clients = append(clients, registry.Client{ID: fmt.Sprintf("c%02d", n), Audiences: []string{apiURL}, Secrets: []registry.Secret{secret}})
	}
	b := newBench(t, clients...)
	page := b.file("page.json", b.do("list", "-json"))
	b.do("plan", page)
	b.refused("a page of list", "plan", page, "-prune")
	b.refused("a page of list", "apply", page, "-prune")
	b.client("c59")
}

// TestImportTwoFilesInOne names the header of a second file that was put behind the first.
func TestImportTwoFilesInOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const header = "client_id,scope\n"
	status, out, err := b.run("import", b.file("a.csv", header+"a,x\n"+header+"b,y\n"), "-secrets", b.dir+"/s.csv")
	if status != Failed || !strings.Contains(err, ":3: client_id: the row names the columns again") {
		t.Errorf("status %d, %s%s", status, out, err)
	}
	if _, err := b.clients.Client(t.Context(), "client_id"); err == nil {
		t.Error("a client client_id was added")
	}
	b.client("b")
}

// TestImportSecretSpaces takes no secret whose white space a cell does not keep.
func TestImportSecretSpaces(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	status, out, err := b.run("import", b.file("a.csv", "client_id,client_secret\na,\" pass word \"\nb,pass word\n"))
	if status != Failed || !strings.Contains(err, ":2: a: client_secret: ") || strings.Contains(out+err, "pass") {
		t.Errorf("status %d, %s%s", status, out, err)
	}
	if c := b.client("b"); !c.Secrets[0].Matches("pass word") {
		t.Error("b has another secret")
	}
}

// TestImportOtherEncodings quotes little of a file that is no CSV file.
func TestImportOtherEncodings(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, _, err := b.run("import", b.file("a.csv", strings.Repeat("\xff\xfe\x00", 1<<20)))
	if len(err) > 1000 || err == "" {
		t.Errorf("the error has %d bytes", len(err))
	}
}

// TestStaleManyDays takes no number of days that a time cannot hold.
func TestStaleManyDays(t *testing.T) {
	t.Parallel()
	_, secret := registry.GenerateSecret()
	secret.ExpiresAt = time.Now().Add(time.Hour)
	b := newBench(t, registry.Client{ID: "a", Secrets: []registry.Secret{secret}})
	b.refused("at most", "stale-secrets", "-expiring", "200000")
	b.refused("at most", "stale-secrets", "-unused", "200000")
	if status, _, _ := b.run("stale-secrets", "-expiring", "36500"); status != Changes {
		t.Errorf("status %d", status)
	}
}

// TestDashes names a client whose id begins with a dash.
func TestDashes(t *testing.T) {
	t.Parallel()
	b := newBench(t, registry.Client{ID: "-json", Audiences: []string{apiURL}}, registry.Client{ID: "-h", Audiences: []string{apiURL}})
	var shown struct {
		ID string `json:"client_id"`
	}
	if err := json.Unmarshal([]byte(b.do("show", "-json", "--", "-json")), &shown); err != nil || shown.ID != "-json" {
		t.Errorf("%+v, %v", shown, err)
	}
	b.do("delete", "--", "-h")
}

// TestPlanSecretID prints no control character of a file.
func TestPlanSecretID(t *testing.T) {
	t.Parallel()
	_, secret := registry.GenerateSecret()
	b := newBench(t, registry.Client{ID: "a", Audiences: []string{apiURL}})
	file := b.file("a.json", `[{"client_id":"a","audiences":["`+apiURL+`"],"secrets":[{"secret_id":"\u001b[2J","generated":true,"hash":"`+secret.Hash+`"}]}]`)
	if status, out, err := b.run("plan", file); status != Changes || strings.Contains(out+err, "\x1b") {
		t.Errorf("status %d, %q", status, out+err)
	}
}

// TestApplyExpiredSecrets adds no secret of a file that has expired since, in any run.
func TestApplyExpiredSecrets(t *testing.T) {
	t.Parallel()
	_, ended := registry.GenerateSecret()
	_, lasting := registry.GenerateSecret()
	ended.ExpiresAt = time.Now().Add(-time.Hour)
	from := newBench(t, registry.Client{ID: "a", Audiences: []string{apiURL}, Secrets: []registry.Secret{ended, lasting}})
	var b strings.Builder
	records := []record{settings(from.client("a"))}
	for _, s := range []registry.Secret{ended, lasting} {
		records[0].Secrets = append(records[0].Secrets, secretRecord{ID: s.ID, Hash: s.Hash, ExpiresAt: s.ExpiresAt})
	}
	if err := json.NewEncoder(&b).Encode(records); err != nil {
		t.Fatal(err)
	}
	to := newBench(t)
	file := to.file("a.json", b.String())
	to.do("apply", file)
	if secrets := to.client("a").Secrets; len(secrets) != 1 || secrets[0].ID != lasting.ID {
		t.Errorf("the secrets are %v", secrets)
	}
	to.do("plan", file)
}

// TestImportSameHash gives two clients one hash, as where two apps had one secret.
func TestImportSameHash(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.do("import", b.file("a.csv", "client_id,secret_hash\na,"+bcryptHash+"\nb,"+bcryptHash+"\n"))
	if b.client("a").Secrets[0].ID == b.client("b").Secrets[0].ID {
		t.Error("two secrets have one id")
	}
}

// TestPageIsStrict reads the answer of list -json as strictly as its clients: of two
// lists, one would be left out.
func TestPageIsStrict(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const a = `[{"client_id":"a","audiences":["https://a.example"]}]`
	for _, page := range []string{`{"clients":` + a + `,"clients":[]}`, `{"Clients":` + a + `}`, `{"clients":` + a + `,"next":"b"}`, `{"clients":null}`, `{"error":"x"}`} {
		b.refused("it is no JSON", "plan", b.file("page.json", page))
	}
	if status, _, _ := b.run("plan", b.file("page.json", `{"clients":`+a+`}`)); status != Changes {
		t.Errorf("status %d", status)
	}
}
