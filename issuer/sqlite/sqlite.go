package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

const (
	// busyTimeout is how long a writer waits for a writer in another process, unless
	// its context ends sooner.
	busyTimeout = 10 * time.Second

	// connections is how many statements run at once: readers, and one writer.
	connections = 11
)

// Open opens the file at the path, creates it if there is none, and updates its tables.
// Several processes of one machine may have it open at once. While it is open, and after
// a crash, the -wal beside it holds the last commits. Do not remove that, and do not copy
// one without the other.
//
// The file is readable by its owner alone (0600), and so are -wal and -shm beside it.
// Open refuses files that others can read, and a link to a file; a link to the directory
// is allowed. A file that its group can read and write is accepted if the process is in
// that group, as with an fsGroup of Kubernetes. The file is in WAL mode with
// synchronous=FULL: acknowledged writes survive a crash of the process, the system or the
// power. A writer waits at most 10 s for a writer in another process.
//
// Open refuses a missing or empty file beside a -wal or -journal that is not empty,
// because that one holds acknowledged writes and would be overwritten.
//
// When the file or its -wal is deleted or replaced while it is open, every call is an
// error until the original file is back, because writes to another file would be lost.
// The file is never created anew while it is open. [sqlstore.Status].New reports that
// Open has created it.
//
// Not checked: the permissions of the directory, and that it is on a local file
// system. The locks of network file systems cannot be trusted.
func Open(ctx context.Context, path string) (*sqlstore.Store, error) {
	if path == "" || strings.Contains(path, ":memory:") || strings.HasPrefix(path, "file:") || strings.ContainsRune(path, 0) {
		return nil, fmt.Errorf("sqlite: path %q: write that of a file; a store in memory is registry.NewMemory", path)
	}
	if !slices.Contains(sql.Drivers(), driverName) {
		return nil, errors.New("sqlite: the driver was left out: build without -tags nosqlite")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	if err := prepare(path); err != nil {
		return nil, err
	}
	store, err := open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: opening %s: %w", path, err)
	}
	return store, nil
}

const driverName = "sqlite"

func open(ctx context.Context, path string) (*sqlstore.Store, error) {
	db, err := sql.Open(driverName, source(path))
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }() // after the store has a connection, so that SQLite keeps the log
	if err := setWAL(ctx, db); err != nil {
		return nil, err
	}
	return sqlstore.Open(ctx, sqlstore.Config{Driver: driverName, DSN: source(path), MaxConns: connections})
}

// source returns the data source name. Its pragmas run on every connection. No connection
// creates the file; prepare does.
func source(path string) string {
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // C:/…
	}
	name := url.URL{Path: slashed}
	return fmt.Sprintf("file://%s?mode=rw&_pragma=busy_timeout(%d)&_pragma=foreign_keys(1)&_pragma=synchronous(FULL)",
		name.EscapedPath(), busyTimeout.Milliseconds())
}

// setWAL turns on write-ahead logging, which the file keeps. When other processes do the
// same at once, SQLite may return "locked" without waiting, to avoid a deadlock.
func setWAL(ctx context.Context, db *sql.DB) error {
	for begun := time.Now(); ; {
		var mode string
		err := db.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode)
		var code interface{ Code() int }
		switch {
		case err == nil && mode == "wal":
			return nil
		case err == nil:
			return fmt.Errorf("the journal mode stays %q: write-ahead logging needs shared memory, which this file system lacks", mode)
		case !errors.As(err, &code) || code.Code()&0xff != sqliteBusy || time.Since(begun) > busyTimeout:
			return fmt.Errorf("turning on write-ahead logging: %w", advise(err))
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// The codes of SQLite's errors. Extended codes have them in the low byte.
const (
	sqliteBusy     = 5
	sqliteReadOnly = 8
	sqliteCorrupt  = 11
	sqliteCantOpen = 14
	sqliteNotADB   = 26
)

// advise adds what to do about an error of the first statement on a file.
func advise(err error) error {
	var code interface{ Code() int }
	if !errors.As(err, &code) {
		return err
	}
	switch code.Code() & 0xff {
	case sqliteCorrupt, sqliteNotADB:
		return fmt.Errorf("the file is damaged, or is not a SQLite database: restore a backup: %w", err)
	case sqliteReadOnly, sqliteCantOpen:
		return fmt.Errorf("the file cannot be written: mount its directory writable; file and directory must be owned by the process's user (%s): %w", user(), err)
	}
	return err
}

// adviseNew adds what to do when the file cannot be created.
func adviseNew(err error) error {
	switch {
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("mount the directory writable: %w", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the directory must be owned by the process's user (%s): %w", user(), err)
	}
	return err
}

func user() string { return fmt.Sprintf("uid %d", os.Geteuid()) }

// creating is held until a file that was created is closed. Closing it later would drop
// the locks that this process has on the file by then (POSIX).
var creating sync.Mutex

// prepare creates the file, because SQLite would make it readable by others. It refuses
// a file that others can read. SQLite gives -wal and -shm the permissions of the file.
func prepare(path string) error {
	creating.Lock()
	defer creating.Unlock()
	if err := refuseOrphans(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the path is the app's configuration, not a request's
	switch {
	case err == nil:
		if err := errors.Join(f.Close(), syncDir(filepath.Dir(path))); err != nil {
			return fmt.Errorf("sqlite: creating %s: %w", path, err)
		}
	case !errors.Is(err, fs.ErrExist):
		return fmt.Errorf("sqlite: creating the file: %w", adviseNew(err))
	}
	for _, name := range []string{path, path + "-wal", path + "-shm", path + "-journal"} {
		info, err := os.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && name != path:
			continue
		case err != nil:
			return fmt.Errorf("sqlite: %w", err)
		case !info.Mode().IsRegular():
			return fmt.Errorf("sqlite: %s is not a regular file: write the path of one, not of a link to it", name)
		case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 && (info.Mode().Perm()&0o077 != 0o060 || !ofOwnGroup(info)):
			return fmt.Errorf("sqlite: %s can be read by others (%v): run chmod 600 on it", name, info.Mode().Perm())
		}
	}
	return nil
}

// syncDir makes the creation of a file in the directory durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be synced there
	}
	d, err := os.Open(dir) //nolint:gosec // the path is the app's configuration, not a request's
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
