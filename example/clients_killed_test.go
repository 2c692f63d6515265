//go:build !nosqlite

package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestApplyKilled kills apply with SIGKILL at random moments: on SQLite, on PostgreSQL
// and through the admin API. The clients that it leaves are those of the file.
func TestApplyKilled(t *testing.T) {
	t.Parallel()
	testKilled(t, "apply", 10)
}

// TestImportKilled does the same with import.
func TestImportKilled(t *testing.T) {
	t.Parallel()
	testKilled(t, "import", 3)
}

func testKilled(t *testing.T, verb string, kills int) {
	for name, storage := range map[string]func(*testing.T) (*process, []string){"SQLite": toolOnSQLite, "PostgreSQL": toolOnPostgres, "admin API": toolOnAPI} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, env := storage(t)
			k := &killed{T: t, p: p, env: env, verb: verb, dir: t.TempDir(), left: kills}
			for round := 1; k.left > 0; round++ {
				k.round(round)
			}
			t.Logf("%s: %d rounds, %d kills, %d of them between two changes that it printed (import prints none)", verb, k.rounds, kills, k.during)
		})
	}
}

// toolOnSQLite starts an issuer, and returns the environment of the tool.
func toolOnSQLite(t *testing.T) (*process, []string) {
	t.Helper()
	env := []string{"DATA_DIR=" + filepath.Join(t.TempDir(), "data")}
	return start(t, "example", append(env, "CLIENT_ID=first", "CLIENT_SECRET=secret456")...), env
}

func toolOnPostgres(t *testing.T) (*process, []string) {
	t.Helper()
	env := []string{"DATABASE_URL=" + database(t), kek}
	return start(t, "example", append(env, "CLIENT_ID=first", "CLIENT_SECRET=secret456")...), env
}

// toolOnAPI is SQLite, through the admin API.
func toolOnAPI(t *testing.T) (*process, []string) {
	t.Helper()
	p, env := toolOnSQLite(t)
	words := strings.Fields(clients(t, env, "add", "operator", "-scope", "clients:admin", "-audience", p.url+"/v1"))
	return p, []string{"ADMIN_URL=" + p.url + "/admin", "CLIENT_ID=operator", "CLIENT_SECRET=" + words[len(words)-1]}
}

// killed runs a verb again and again, and kills it.
type killed struct {
	*testing.T
	p      *process
	env    []string
	verb   string
	dir    string
	left   int           // kills to go
	took   time.Duration // that a run takes which is not killed
	rounds int
	during int
	file   string   // of this round
	ids    []string // of the file
}

// round applies a file of new clients. All clients of the round before are changed, and
// those of the one before that are deleted.
func (k *killed) round(n int) {
	k.Helper()
	const size = 12
	k.rounds++
	k.ids = nil
	type client struct {
		ID        string   `json:"client_id"`
		Name      string   `json:"client_name"`
		Audiences []string `json:"audiences"`
		Scope     string   `json:"scope"`
	}
	name := fmt.Sprint("round ", n)
	desired := []client{{"first", "", []string{k.p.url + "/v1"}, "orders:read orders:write"}}
	if k.verb == "apply" {
		desired = append(desired, client{"operator", "", []string{k.p.url + "/v1"}, "clients:admin"})
	}
	for _, of := range []int{n - 1, n} {
		for i := range size {
			if of > 0 && (k.verb == "apply" || of == n) {
				c := client{fmt.Sprintf("c%d-%d", of, i), name, []string{k.p.url + "/v1"}, "orders:read"}
				desired, k.ids = append(desired, c), append(k.ids, c.ID)
			}
		}
	}
	k.file = filepath.Join(k.dir, "clients")
	var text []byte
	if k.verb == "apply" {
		var err error
		if text, err = json.Marshal(desired); err != nil {
			k.Fatal(err)
		}
	} else {
		text = []byte("client_id,client_name,audiences,scope\n")
		for _, c := range desired[1:] {
			text = fmt.Appendf(text, "%s,%s,%s,%s\n", c.ID, c.Name, c.Audiences[0], c.Scope)
		}
	}
	if err := os.WriteFile(k.file, text, 0o600); err != nil {
		k.Fatal(err)
	}
	for !k.run(n) {
		continue
	}
	k.verify(name)
}

// run runs the verb, and kills it if there are kills to go. It reports whether the verb
// has ended by itself.
func (k *killed) run(round int) bool {
	k.Helper()
	binary, err := binaries()
	if err != nil {
		k.Fatal(err)
	}
	args := []string{k.verb, k.file, "-secrets", k.secrets()}
	if k.verb == "apply" {
		args = append(args, "-prune")
	}
	cmd := exec.Command(filepath.Join(binary, "clients"), args...)
	cmd.Env = k.env
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		k.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		k.Fatal(err)
	}
	kill := func(within time.Duration) {
		if k.left > 0 && round > 1 {
			killing := time.AfterFunc(rand.N(within), func() { _ = cmd.Process.Kill() })
			k.Cleanup(func() { killing.Stop() })
		}
	}
	done, last := 0, rand.IntN(10) // the clients that were changed, and after how many it is killed
	if k.verb == "import" || last == 0 {
		kill(k.took + time.Millisecond)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if sign, _, _ := strings.Cut(lines.Text(), " "); slices.Contains([]string{"+", "~", "-"}, sign) {
			if done++; done == last {
				kill(5 * time.Millisecond)
			}
		}
	}
	err = cmd.Wait()
	switch {
	case err == nil:
		k.took = time.Since(began)
		return true
	case cmd.ProcessState.ExitCode() >= 0:
		k.Fatalf("%s: %v\n%s", k.verb, err, complaint.String())
	}
	k.left--
	if done > 0 {
		k.during++
	}
	return false
}

func (k *killed) secrets() string { return filepath.Join(k.dir, "secrets.csv") }

type listedClient struct {
	ID      string `json:"client_id"`
	Name    string `json:"client_name"`
	Secrets []struct {
		ID string `json:"secret_id"`
	} `json:"secrets"`
}

func (k *killed) list() map[string]*listedClient {
	k.Helper()
	found, after := map[string]*listedClient{}, ""
	for {
		var page struct{ Clients []*listedClient }
		if err := json.Unmarshal([]byte(clients(k.T, k.env, "list", "-json", "-limit", "500", "-after", after)), &page); err != nil {
			k.Fatal(err)
		}
		if len(page.Clients) == 0 {
			return found
		}
		for _, c := range page.Clients {
			if found[c.ID] != nil {
				k.Errorf("%s is listed twice", c.ID)
			}
			found[c.ID], after = c, c.ID
		}
	}
}

// verify wants every client of the file once, with one secret, which is in the file of
// secrets once and works.
func (k *killed) verify(name string) {
	k.Helper()
	found := k.list()
	file, err := os.Open(k.secrets())
	if err != nil {
		k.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		k.Fatal(err)
	}
	secret := map[string]string{}
	for _, row := range rows {
		if secret[row[0]] != "" {
			k.Errorf("%s has two lines of secrets", row[0])
		}
		secret[row[0]] = row[1]
	}
	for _, id := range k.ids {
		switch c := found[id]; {
		case c == nil:
			k.Fatalf("%s is lost", id)
		case c.Name != name || len(c.Secrets) != 1 || !strings.Contains(secret[id], c.Secrets[0].ID):
			k.Fatalf("%s is %+v, its secret in the file begins with %.24q", id, c, secret[id])
		}
	}
	if own := []string{"first", "operator"}; k.verb == "apply" {
		for id := range found {
			if !slices.Contains(k.ids, id) && !slices.Contains(own, id) {
				k.Errorf("%s was not deleted", id)
			}
		}
	}
	for _, id := range k.ids {
		eventually(k.T, 5*time.Second, id+" gets a token", func() bool {
			status, _ := post(k.T, k.p.url+"/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret[id]}})
			return status == http.StatusOK
		})
	}
}
