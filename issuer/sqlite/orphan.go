package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// orphanTime is how long another process may take to create the file.
const orphanTime = 2 * time.Second

// refuseOrphans returns an error when there is a log without its database. SQLite would
// overwrite it and lose the last acknowledged writes.
func refuseOrphans(path string) error {
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		name, err := orphan(path)
		if err != nil {
			return fmt.Errorf("sqlite: %w", err)
		}
		if name == "" {
			return nil
		}
		if time.Since(begun) > orphanTime {
			return fmt.Errorf("sqlite: %s is missing or empty, and %s beside it holds the last writes of a database: "+
				"put its file back beside it; to restore a backup or begin with a new database, move it away", path, name)
		}
	}
}

// orphan returns the log without a database, or "".
func orphan(path string) (string, error) {
	if size, err := sizeOf(path); err != nil || size > 0 {
		return "", err
	}
	for _, name := range []string{path + "-wal", path + "-journal"} {
		size, err := sizeOf(name)
		if err != nil {
			return "", err
		}
		if size > 0 && !ofNewDatabase(name) {
			return name, nil
		}
	}
	return "", nil
}

// sizeOf returns the size of a file, or 0 if there is none.
func sizeOf(name string) (int64, error) {
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// journalMagic begins a rollback journal. The number of pages in the journal, a nonce, and
// the number of pages in the database follow.
var journalMagic = []byte{0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7}

// ofNewDatabase reports whether the file is the journal of the first write to an empty
// database. A process that is killed in its first Open leaves one.
func ofNewDatabase(name string) bool {
	f, err := os.Open(name) //nolint:gosec // the path is the app's configuration, not a request's
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	header := make([]byte, 20)
	if _, err := io.ReadFull(f, header); err != nil {
		return false
	}
	return bytes.HasPrefix(header, journalMagic) && binary.BigEndian.Uint32(header[16:]) == 0
}
