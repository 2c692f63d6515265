package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// file is the file of a SQLite database as it was at Open. SQLite does not notice when
// the file is deleted or replaced, and what it writes then is lost.
type file struct {
	path   string
	info   os.FileInfo
	wal    os.FileInfo // the write-ahead log, which exists as long as keeper is open; nil without one
	keeper driver.Conn // a connection that is open until Close and so keeps the log
}

var errInMemory = errors.New("sqlstore: the SQLite database is in memory, where each connection has its own: write the path of a file, or use registry.NewMemory")

// findFile asks the database for its file.
func findFile(ctx context.Context, db *sql.DB) (*file, error) {
	var path string
	if err := db.QueryRowContext(ctx, "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&path); err != nil {
		return nil, fmt.Errorf("sqlstore: asking for the database's file: %w", err)
	}
	if path == "" {
		return nil, errInMemory
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errInMemory
	}
	if err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	return &file{path: path, info: info}, nil
}

// keep opens the connection that keeps the log. The tables must exist.
func (f *file) keep(ctx context.Context, c driver.Connector, query string) error {
	conn, err := c.Connect(ctx)
	if err != nil {
		return err
	}
	f.keeper = conn
	if err := run(ctx, conn, query); err != nil {
		return err
	}
	f.wal, err = os.Stat(f.path + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		f.wal, err = nil, nil // another journal mode
	}
	return err
}

// close closes the connection that keeps the log.
func (f *file) close() error {
	if f == nil || f.keeper == nil {
		return nil
	}
	keeper := f.keeper
	f.keeper = nil
	return keeper.Close()
}

// check returns an error when the file was deleted or replaced.
func (f *file) check() error {
	if f == nil {
		return nil
	}
	for _, part := range []struct {
		path string
		was  os.FileInfo
	}{{f.path, f.info}, {f.path + "-wal", f.wal}} {
		if part.was == nil {
			continue
		}
		switch is, err := os.Stat(part.path); {
		case errors.Is(err, fs.ErrNotExist):
			return &fileError{part.path, "was deleted"}
		case err != nil:
			return fmt.Errorf("checking the database's file: %w", err)
		case !os.SameFile(is, part.was):
			return &fileError{part.path, "was replaced"}
		}
	}
	return nil
}

// opened returns an error when the connection has opened another file.
func (f *file) opened(ctx context.Context, conn driver.Conn) error {
	q, ok := conn.(driver.QueryerContext)
	if !ok {
		return nil // check has to suffice
	}
	rows, err := q.QueryContext(ctx, "SELECT file FROM pragma_database_list WHERE name = 'main'", nil)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	value := make([]driver.Value, 1)
	if err := rows.Next(value); err != nil {
		return err
	}
	path, _ := value[0].(string)
	if is, err := os.Stat(path); err != nil || !os.SameFile(is, f.info) {
		return &fileError{f.path, "was replaced"}
	}
	return nil
}

// fileError says that a file was deleted or replaced.
type fileError struct{ path, what string }

func (e *fileError) Error() string {
	return fmt.Sprintf("the database's file %s %s while it was open: put the original file back, or stop the program, restore a backup and start it again", e.path, e.what)
}
