package outbound

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// maxSecretFile bounds a file with a secret, in bytes.
const maxSecretFile = 64 << 10

// hungAfter is how long a read is waited for if the context has no deadline and there is
// another secret to use.
const hungAfter = 2 * time.Second

// SecretFile returns a SecretFunc that reads a file of at most 64 KiB, such as a mounted
// Kubernetes secret. The file is opened by its path each time, so a swapped symlink is
// followed. One line break at its end is left out. Folders, pipes and devices are refused, and
// so is a secret that is not printable ASCII.
//
// While the file is missing, unreadable, empty or no secret, as in the middle of a change, the
// last valid secret is used: the one that the authorization server accepted last. A file that
// hangs, as on a network file system, has half of the time of a fetch. There is one reader
// of the file at a time. The event of such a fetch has the reason secret_unreadable, also
// if it got a token. To a caller other than a Source, the secret that was read last is the
// valid one.
//
// When the server refuses a new secret with invalid_client, the one that it accepted
// before is tried once, in the same fetch: the file may be ahead of the server, or was read
// in the middle of a write. The event has the reason credential_refused, also if that got a
// token. If the former secret is refused too, it is used no more.
//
// After such a refusal the file is read once a second while calls want a token. A secret in
// it that was not tried yet is tried at once, and not only after the delay of the refusal.
// That happens for ten secrets at most, and not if the server sent Retry-After.
func SecretFile(path string) SecretFunc {
	if path == "" {
		return unnamedFile
	}
	f := &secretFile{path: path, read: readSecret}
	return f.secret
}

// secretFile is the file, and what is known of its secrets.
type secretFile struct {
	path string
	read func(path string) (string, error)

	mu       sync.Mutex
	reading  *fileRead // nil if none is under way
	latest   string    // as read last
	accepted string    // by the server, and not refused since
}

// fileRead is a read of the file.
type fileRead struct {
	done   chan struct{}
	secret string // this and err are set before done is closed
	err    error
}

// secret is the SecretFunc.
func (f *secretFile) secret(ctx context.Context) (string, error) {
	use, _ := ctx.Value(secretUseKey{}).(*secretUse)
	valid := f.valid(use != nil)
	secret, err := f.wait(ctx, f.begin(), valid != "")
	if err != nil {
		if valid == "" || ctx.Err() != nil {
			return "", err
		}
		secret = valid
	}
	if use != nil {
		use.file, use.secret = f, secret
		if err != nil {
			use.warning = secretError{fmt.Errorf("the last valid secret is used: %w", err)}
		}
	}
	return secret, nil
}

// begin returns the read that is under way, or a new one.
func (f *secretFile) begin() *fileRead {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reading != nil {
		return f.reading
	}
	r := &fileRead{done: make(chan struct{})}
	f.reading = r
	go func() {
		r.secret, r.err = f.read(f.path)
		f.mu.Lock()
		defer f.mu.Unlock()
		defer close(r.done)
		if f.reading = nil; r.err == nil {
			f.latest = r.secret
		}
	}()
	return r
}

// wait waits for a read. If there is another secret to use, it waits for half of the time
// until the context's deadline only.
func (f *secretFile) wait(ctx context.Context, r *fileRead, other bool) (string, error) {
	if other {
		most := hungAfter
		if end, ok := ctx.Deadline(); ok {
			most = time.Until(end) / 2
		}
		limited, cancel := context.WithTimeout(ctx, most)
		defer cancel()
		ctx = limited
	}
	select {
	case <-r.done:
		return r.secret, r.err
	case <-ctx.Done():
		return "", fmt.Errorf("outbound: credential: reading %s: %w", f.path, ctx.Err())
	}
}

// valid returns the last valid secret, or "". To a caller that tells no outcomes, the
// latest one is valid.
func (f *secretFile) valid(told bool) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if told {
		return f.accepted
	}
	return f.latest
}

// accept notes that the server accepted a secret.
func (f *secretFile) accept(secret string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.accepted = secret
}

// refuse notes that the server refused a secret, and returns the one that it accepted
// before, or "".
func (f *secretFile) refuse(secret string) (former string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.accepted == secret {
		f.accepted = ""
	}
	return f.accepted
}

func readSecret(path string) (string, error) {
	secret, err := readText(path)
	if err == nil && checkSecret(secret) != nil {
		return "", fmt.Errorf("outbound: credential: %s has more than one line, or a character that is not printable ASCII: write the secret alone", path)
	}
	return secret, err
}

// readText reads a file, without one line break at its end.
func readText(path string) (string, error) {
	if info, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("outbound: credential: %w", err)
	} else if err := checkRegular(path, info); err != nil { // opening a pipe would block
		return "", err
	}
	file, err := os.Open(path) //nolint:gosec // the path is the app's configuration
	if err != nil {
		return "", fmt.Errorf("outbound: credential: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	if info, err := file.Stat(); err != nil {
		return "", fmt.Errorf("outbound: credential: %w", err)
	} else if err := checkRegular(path, info); err != nil { // it may have been replaced in between
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err != nil {
		return "", fmt.Errorf("outbound: credential: %w", err)
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case secret == "":
		return "", fmt.Errorf("outbound: credential: %s is empty", path)
	case len(text) > maxSecretFile:
		return "", fmt.Errorf("outbound: credential: %s is larger than %d bytes", path, maxSecretFile)
	}
	return secret, nil
}

func checkRegular(path string, info os.FileInfo) error {
	kind := "a device"
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		kind = "a folder"
	case mode&os.ModeNamedPipe != 0:
		kind = "a pipe"
	case mode&os.ModeSocket != 0:
		kind = "a socket"
	}
	return fmt.Errorf("outbound: credential: %s is %s: name a regular file", path, kind)
}
