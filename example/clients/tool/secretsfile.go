package tool

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gofrs/flock"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// secretsFile is where generated secrets go: a CSV file of mode 0600. A secret is in
// it, and synced to the disk, before the store has the secret's hash. So a crash at
// any moment loses none, and the next run takes the secrets that it finds.
type secretsFile struct {
	file  *os.File
	lock  *flock.Flock
	known map[string]string // by client id, the last one
}

const secretsHeader = "client_id,client_secret\n"

var errNotSecrets = errors.New("it is no file of secrets that this tool has written: name another one")

// openSecrets opens the file, or makes it. One run at a time has it.
func openSecrets(path string) (*secretsFile, error) {
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	if held, err := lock.TryLock(); err != nil || !held {
		return nil, errors.Join(fmt.Errorf("%s: another run of this tool uses it", path), err)
	}
	s := &secretsFile{lock: lock, known: map[string]string{}}
	if err := s.open(path); err != nil {
		s.close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *secretsFile) open(path string) (err error) {
	if s.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	switch {
	case !info.Mode().IsRegular():
		return errNotSecrets
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("its mode is %o, so others can read the secrets: chmod 600", info.Mode().Perm())
	case !owned(info):
		return errors.New("it belongs to another user, who can read the secrets: name another file")
	}
	content, err := io.ReadAll(s.file)
	if err != nil {
		return err
	}
	end := bytes.LastIndexByte(content, '\n') + 1 // a crash may have cut the last line, whose secret is then used nowhere
	if s.known, err = parseSecrets(content[:end]); err != nil {
		return err
	}
	if end == 0 && !strings.HasPrefix(secretsHeader, string(content)) {
		return errNotSecrets
	}
	if err := s.file.Truncate(int64(end)); err != nil {
		return err
	}
	if _, err := s.file.Seek(int64(end), io.SeekStart); err != nil {
		return err
	}
	if end == 0 {
		if err := s.write(secretsHeader); err != nil {
			return err
		}
	}
	return syncDir(filepath.Dir(path))
}

// parseSecrets reads the content of a secrets file.
func parseSecrets(content []byte) (map[string]string, error) {
	known := map[string]string{}
	for line := range strings.Lines(string(content)) {
		if line == secretsHeader {
			continue
		}
		fields, err := csv.NewReader(strings.NewReader(line)).Read()
		if errors.Is(err, io.EOF) {
			continue
		}
		if err != nil || len(fields) != 2 || !registry.ValidID(fields[0]) {
			return nil, errNotSecrets
		}
		if _, ok := registry.SecretID(fields[1]); !ok {
			return nil, fmt.Errorf("the secret of %q is damaged: name another file", fields[0])
		}
		known[fields[0]] = fields[1]
	}
	return known, nil
}

// secrets returns a secret for each client. Those that the file lacks are generated,
// and are on the disk when secrets returns.
func (s *secretsFile) secrets(ids []string) (map[string]string, error) {
	var lines strings.Builder
	w := csv.NewWriter(&lines)
	made := map[string]string{}
	for _, id := range ids {
		if s.known[id] == "" {
			plain, _ := registry.GenerateSecret()
			made[id] = plain
			if err := w.Write([]string{id, plain}); err != nil {
				return nil, err
			}
		}
	}
	if w.Flush(); w.Error() != nil {
		return nil, w.Error()
	}
	if len(made) > 0 {
		if err := s.write(lines.String()); err != nil {
			return nil, err
		}
	}
	maps.Copy(s.known, made)
	return s.known, nil
}

func (s *secretsFile) write(text string) error {
	if _, err := s.file.WriteString(text); err != nil {
		return err
	}
	return s.file.Sync()
}

func (s *secretsFile) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
	_ = s.lock.Close()
}

// syncDir makes a new file of the folder survive a crash of the machine.
func syncDir(path string) error {
	if runtime.GOOS == "windows" { // which cannot
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// secretOf returns the secret of a client from a file that this tool has written.
func secretOf(path, id string) (string, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no file %s", path)
	}
	if err != nil {
		return "", err
	}
	known, err := parseSecrets(content[:bytes.LastIndexByte(content, '\n')+1])
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if known[id] == "" {
		return "", fmt.Errorf("%s has no secret of %q", path, id)
	}
	return known[id], nil
}
