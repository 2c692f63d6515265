package tool

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestSecretsFileIsAnother leaves a file alone that this tool has not written, also one
// without a line end, which is no torn line.
func TestSecretsFileIsAnother(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"hunter2", "client_id,client_secret", "# notes", "client_id,client_secretX", "\x00\x00"} {
		path := filepath.Join(t.TempDir(), "notes")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := openSecrets(path)
		if err == nil {
			file.close()
		}
		if torn := strings.HasPrefix(secretsHeader, content); torn != (err == nil) {
			t.Errorf("%q: %v", content, err)
		}
		if now, _ := os.ReadFile(path); err != nil && string(now) != content {
			t.Errorf("%q became %q", content, now)
		}
	}
}

// TestSecretsFileIsNotOurs refuses what is no file.
func TestSecretsFileIsNotOurs(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("without owners")
	}
	device := filepath.Join(t.TempDir(), "secrets.csv")
	if err := os.Symlink(os.DevNull, device); err != nil {
		t.Fatal(err)
	}
	if _, err := openSecrets(device); err == nil {
		t.Error("a device was opened")
	}
	if _, err := openSecrets(t.TempDir()); err == nil {
		t.Error("a folder was opened")
	}
}

// TestSecretsFileOfAnotherUser needs root, which .ci/run gives it.
func TestSecretsFileOfAnotherUser(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secrets.csv")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 12345, -1); err != nil {
		t.Skip("only root can give a file away")
	}
	if file, err := openSecrets(path); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Errorf("a file of another user: %v", err)
		file.close()
	}
}
