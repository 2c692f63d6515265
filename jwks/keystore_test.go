package jwks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// A process that a test starts is this test binary with a role: see TestMain.
const roleVariable = "JWKS_TEST_ROLE"

var roles = map[string]func(args []string) error{"count": countRole, "write": writeRole, "open": openRole}

func process(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), sure(os.Executable()), args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

// countUp adds one to the number in the store, n times. No step is lost if Load and
// Save together are atomic between processes.
func countUp(store KeyStore, n int) error {
	ctx := context.Background()
	for n > 0 {
		old, err := store.Load(ctx)
		if err != nil {
			return err
		}
		number, _ := strconv.Atoi(string(old))
		saved, err := store.Save(ctx, old, []byte(strconv.Itoa(number+1)))
		if err != nil {
			return err
		}
		if saved {
			n--
		}
	}
	return nil
}

func countRole(args []string) error { return countUp(File(args[0]), 20) }

func keyFile(t *testing.T) string { return filepath.Join(t.TempDir(), "keys.json") }

func TestFileNew(t *testing.T) {
	path := keyFile(t)
	store := File(path)
	ctx := t.Context()
	if blob, err := store.Load(ctx); blob != nil || err != nil {
		t.Errorf("%q, %v", blob, err)
	}
	if saved, err := store.Save(ctx, []byte("other"), []byte("a")); saved || err != nil {
		t.Errorf("replaced a blob that is not stored: %t, %v", saved, err)
	}
	if saved, err := store.Save(ctx, nil, []byte("a")); !saved || err != nil {
		t.Fatalf("%t, %v", saved, err)
	}
	for _, old := range [][]byte{nil, {}, []byte("b"), []byte("aa"), []byte("A")} {
		if saved, err := store.Save(ctx, old, []byte("c")); saved || err != nil {
			t.Errorf("old %q: %t, %v", old, saved, err)
		}
	}
	if saved, err := store.Save(ctx, []byte("a"), []byte("b")); !saved || err != nil {
		t.Errorf("%t, %v", saved, err)
	}
	if blob, err := File(path).Load(ctx); string(blob) != "b" || err != nil {
		t.Errorf("%q, %v", blob, err)
	}
	for _, entry := range sure(os.ReadDir(filepath.Dir(path))) {
		if info := sure(entry.Info()); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v", info.Name(), info.Mode())
		}
		if name := entry.Name(); name != "keys.json" && name != "keys.json.lock" {
			t.Errorf("the file %s is left", name)
		}
	}
}

func TestFileRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(path string) error
		want    string
	}{
		{"0604", func(path string) error { return os.Chmod(path, 0o604) }, "chmod 600"},
		{"0602", func(path string) error { return os.Chmod(path, 0o602) }, "chmod 600"},
		{"0644", func(path string) error { return os.Chmod(path, 0o644) }, "chmod 600"},
		{"0777", func(path string) error { return os.Chmod(path, 0o777) }, "chmod 600"},
		{"empty", func(path string) error { return os.Truncate(path, 0) }, "is empty: restore it"},
		{"directory", func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, "not a regular file"},
		{"link", func(path string) error {
			return errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path))
		}, "not a regular file"},
		{"dangling link", func(path string) error { return errors.Join(os.Remove(path), os.Symlink(path+".real", path)) }, "not a regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := keyFile(t)
			store := File(path)
			if saved, err := store.Save(t.Context(), nil, []byte("a")); !saved || err != nil {
				t.Fatal(err)
			}
			if err := tt.prepare(path); err != nil {
				t.Fatal(err)
			}
			before := sure(os.Lstat(path))
			blob, err := store.Load(t.Context())
			if blob != nil || err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("Load: %q, %v", blob, err)
			}
			for _, old := range [][]byte{nil, []byte("a")} {
				saved, err := store.Save(t.Context(), old, []byte("b"))
				if saved || err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Save: %t, %v", saved, err)
				}
			}
			if r, err := Open(t.Context(), store, Policy{}); r != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open: %v", err)
			}
			if after := sure(os.Lstat(path)); !os.SameFile(before, after) || before.Size() != after.Size() || before.ModTime() != after.ModTime() || before.Mode() != after.Mode() {
				t.Error("the file was changed")
			}
		})
	}
}

func TestFileWithoutDirectory(t *testing.T) {
	store := File(filepath.Join(t.TempDir(), "missing", "keys.json"))
	if _, err := Open(t.Context(), store, Policy{}); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("%v", err)
	}
}

// Save waits for a lock until its context ends.
func TestFileLocked(t *testing.T) {
	path := keyFile(t)
	lock := flock.New(path + ".lock")
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if saved, err := File(path).Save(ctx, nil, []byte("a")); saved || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%t, %v", saved, err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if saved, err := File(path).Save(t.Context(), nil, []byte("a")); !saved || err != nil {
		t.Errorf("%t, %v", saved, err)
	}
}

// The temporary file of a killed writer is replaced, whatever it holds.
func TestFileLeftover(t *testing.T) {
	blob := []byte(strings.Repeat("half-written ", 6))
	for n := range blob {
		path := keyFile(t)
		store := File(path)
		if n%2 == 1 {
			if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.WriteFile(path+".tmp", blob[:n], 0o600), os.WriteFile(path+".lock", nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		old := sure(store.Load(t.Context()))
		if want := map[int]string{0: "", 1: "old"}[n%2]; string(old) != want {
			t.Fatalf("%d: loaded %q", n, old)
		}
		if saved, err := store.Save(t.Context(), old, []byte("new")); !saved || err != nil {
			t.Fatalf("%d: %t, %v", n, saved, err)
		}
		if blob := sure(store.Load(t.Context())); string(blob) != "new" {
			t.Fatalf("%d: %q", n, blob)
		}
		if _, err := os.Stat(path + ".tmp"); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%d: the leftover is still there", n)
		}
	}
}

// writeRole writes a megabyte of one letter, then of the next, until it is killed. It
// prints a dot before each write.
func writeRole(args []string) error {
	ctx := context.Background()
	store := File(args[0])
	for i := 0; ; i++ {
		if _, err := os.Stdout.WriteString("."); err != nil {
			return err
		}
		old, err := store.Load(ctx)
		if err != nil {
			return err
		}
		if _, err := store.Save(ctx, old, bytes.Repeat([]byte{byte('a' + i%26)}, 1<<20)); err != nil {
			return err
		}
	}
}

func TestFileKilledWriter(t *testing.T) {
	path := keyFile(t)
	store := File(path)
	written, leftovers := 0, 0
	for i := range 20 {
		writer := process(t, "write", path)
		says := sure(writer.StdoutPipe())
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(says, make([]byte, 1+i%2)); err != nil { // the first or the second write has begun
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 3 * time.Millisecond)
		_ = writer.Process.Kill()
		_ = writer.Wait()
		if _, err := os.Stat(path + ".tmp"); err == nil {
			leftovers++
		}
		blob, err := store.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if blob == nil {
			continue
		}
		written++
		if len(blob) != 1<<20 || !bytes.Equal(blob, bytes.Repeat(blob[:1], 1<<20)) {
			t.Fatalf("the file holds %d bytes from %q to %q", len(blob), blob[0], blob[len(blob)-1])
		}
		if saved, err := store.Save(t.Context(), blob, bytes.Repeat([]byte{'A'}, 1<<20)); !saved || err != nil {
			t.Fatalf("after a kill: %t, %v", saved, err)
		}
	}
	t.Logf("20 writers killed, %d had written, %d left something behind", written, leftovers)
	if written == 0 {
		t.Error("no writer had written anything")
	}
}

func TestFileConcurrently(t *testing.T) {
	path := keyFile(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := countUp(File(path), 20); err != nil {
				t.Error(err)
			}
		})
	}
	for range 3 {
		wg.Go(func() {
			if err := process(t, "count", path).Run(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if blob := sure(File(path).Load(t.Context())); string(blob) != "220" {
		t.Errorf("%s of 220 steps were kept", blob)
	}
}

// Of many concurrent saves over one blob exactly one succeeds.
func TestFileOneWins(t *testing.T) {
	path := keyFile(t)
	var old []byte
	for round := range 10 {
		won := make(chan string, 16)
		var wg sync.WaitGroup
		for i := range cap(won) {
			wg.Go(func() {
				blob := fmt.Sprintf("%d by %d", round, i)
				saved, err := File(path).Save(t.Context(), old, []byte(blob))
				if err != nil {
					t.Error(err)
				}
				if saved {
					won <- blob
				}
			})
		}
		wg.Wait()
		close(won)
		winners := slices.Collect(func(yield func(string) bool) {
			for w := range won {
				if !yield(w) {
					return
				}
			}
		})
		old = sure(File(path).Load(t.Context()))
		if len(winners) != 1 || winners[0] != string(old) {
			t.Fatalf("%q won, %q is stored", winners, old)
		}
	}
}

// secretsOf are the private members of a state's keys, which no error may quote.
func secretsOf(t *testing.T, blob []byte) (secrets []string) {
	t.Helper()
	var f struct {
		Keys []struct{ Key map[string]any }
	}
	if err := json.Unmarshal(blob, &f); err != nil {
		t.Fatal(err)
	}
	for _, k := range f.Keys {
		for _, name := range []string{"d", "p", "q", "dp", "dq", "qi"} {
			if value, ok := k.Key[name].(string); ok {
				secrets = append(secrets, value)
			}
		}
	}
	if len(secrets) == 0 || len(secrets) < len(f.Keys) {
		t.Fatal("the state has no private members")
	}
	return secrets
}

// A stored blob that is not a complete state is not changed, and the error says what to
// do. Each prefix of a state is tried.
func TestOpenDamaged(t *testing.T) {
	path, otherPath := keyFile(t), keyFile(t)
	for _, path := range []string{path, otherPath} {
		sure(Open(t.Context(), File(path), Policy{})).Close()
	}
	good := sure(os.ReadFile(path))
	secrets := secretsOf(t, good)
	jwk := func(state map[string]any) map[string]any {
		return state["keys"].([]any)[0].(map[string]any)["key"].(map[string]any)
	}
	change := func(edit func(state map[string]any)) string {
		var state map[string]any
		if err := json.Unmarshal(good, &state); err != nil {
			t.Fatal(err)
		}
		edit(state)
		return string(sure(json.Marshal(state)))
	}
	var strange map[string]any
	if err := json.Unmarshal(sure(os.ReadFile(otherPath)), &strange); err != nil {
		t.Fatal(err)
	}
	damaged := map[string]string{
		"space":           " ",
		"NUL":             strings.Repeat("\x00", len(good)),
		"null":            "null",
		"object":          "{}",
		"array":           "[]",
		"HTML":            "<html>",
		"package.json":    `{"name":"a","version":"1.0.0"}`,
		"public JWK set":  string(sure(sure(jose.NewSet(testKeys()["ES256"].Key())).MarshalJSON())),
		"sealed":          string(sealMark) + "box",
		"twice":           string(good) + string(good),
		"trailing NUL":    string(good) + "\x00",
		"older version":   change(func(s map[string]any) { s["m2m_keys"] = 0 }),
		"no lineage":      change(func(s map[string]any) { delete(s, "lineage") }),
		"no generation":   change(func(s map[string]any) { s["generation"] = 0 }),
		"version missing": change(func(s map[string]any) { delete(s, "m2m_keys") }),
		"version string":  change(func(s map[string]any) { s["m2m_keys"] = "1" }),
		"no keys":         change(func(s map[string]any) { s["keys"] = []any{} }),
		"keys missing":    change(func(s map[string]any) { delete(s, "keys") }),
		"keys null":       change(func(s map[string]any) { s["keys"] = nil }),
		"keys an object":  change(func(s map[string]any) { s["keys"] = map[string]any{} }),
		"key null":        change(func(s map[string]any) { s["keys"] = []any{nil} }),
		"key missing":     change(func(s map[string]any) { delete(s["keys"].([]any)[1].(map[string]any), "key") }),
		"kid of another":  change(func(s map[string]any) { jwk(s)["kid"] = "other" }),
		"kid missing":     change(func(s map[string]any) { delete(jwk(s), "kid") }),
		"alg of another":  change(func(s map[string]any) { jwk(s)["alg"] = "ES384" }),
		"alg HS256":       change(func(s map[string]any) { jwk(s)["alg"] = "HS256" }),
		"alg none":        change(func(s map[string]any) { jwk(s)["alg"] = "none" }),
		"public key":      change(func(s map[string]any) { delete(jwk(s), "d") }),
		"d of another":    change(func(s map[string]any) { jwk(s)["d"] = jwk(strange)["d"] }),
		"d zero":          change(func(s map[string]any) { jwk(s)["d"] = strings.Repeat("A", 43) }),
		"d empty":         change(func(s map[string]any) { jwk(s)["d"] = "" }),
		"x of another":    change(func(s map[string]any) { jwk(s)["x"] = jwk(strange)["x"] }),
		"oct":             change(func(s map[string]any) { jwk(s)["kty"], jwk(s)["k"] = "oct", "AAAA" }),
		"date unreadable": change(func(s map[string]any) { s["written"] = "yesterday" }),
	}
	for n := 1; n < len(good); n++ {
		damaged["cut at byte "+strconv.Itoa(n)] = string(good[:n])
	}
	for name, blob := range damaged {
		if err := os.WriteFile(path, []byte(blob), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(t.Context(), File(path), Policy{})
		if err == nil {
			t.Errorf("%s: opened", name)
			r.Close()
			continue
		}
		if !strings.Contains(err.Error(), "restore them from a backup, or remove them") {
			t.Errorf("%s: the error does not say what to do: %v", name, err)
		}
		for _, secret := range secrets {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error holds a key: %v", name, err)
			}
		}
		if left := sure(os.ReadFile(path)); string(left) != blob {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if len(damaged) < 500 {
		t.Errorf("only %d cases", len(damaged))
	}
	// The unchanged state opens, so each refusal above is for its change.
	if err := os.WriteFile(path, []byte(change(func(map[string]any) {})), 0o600); err != nil {
		t.Fatal(err)
	}
	sure(Open(t.Context(), File(path), Policy{})).Close()
}

// A changed byte of the key file is found at Open, unless no key depends on it: what an
// opened keyring signs, its published keys verify. With the tag rehearsal,
// TestOpenDamagedAtEachByte changes each byte.
func TestOpenDamagedByte(t *testing.T) {
	openRotten(t, map[string]int{"ES256": 200, "EdDSA": 200, "RS256": 100})
}

// openRotten changes that many bytes of the key file, one at a time, for each algorithm.
func openRotten(t *testing.T, changes map[string]int) {
	t.Helper()
	for alg, most := range changes {
		path := keyFile(t)
		sure(Open(t.Context(), File(path), Policy{Algorithm: alg})).Close()
		good := sure(os.ReadFile(path))
		step := max(1, len(good)/most)
		changed, refused, wrong := 0, 0, 0
		for i := 0; i < len(good); i += step {
			changed++
			blob := slices.Clone(good)
			blob[i] ^= 1
			if err := os.WriteFile(path, blob, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := Open(t.Context(), File(path), Policy{Algorithm: alg})
			if err != nil {
				refused++
				continue
			}
			for _, k := range r.snapshot.Load().Keys {
				token, err := k.Sign("at+jwt", []byte("{}"))
				if err == nil {
					_, err = accept(token, k.Key())
				}
				if err != nil {
					wrong++
					t.Logf("%s, byte %d (%s): %v", alg, i, good[max(0, i-20):i+1], err)
				}
			}
			r.Close()
		}
		if wrong > 0 || refused < changed/2 {
			t.Errorf("%s: of %d changed bytes %d were refused and %d made bad signatures", alg, changed, refused, wrong)
		}
	}
}

func openRole(args []string) error {
	r, err := Open(context.Background(), File(args[0]), Policy{})
	if err != nil {
		return err
	}
	defer r.Close()
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	_, err = w.Body.WriteTo(os.Stdout)
	return err
}
