package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// SecretFunc returns the secret of a client. It is called for each token request, never
// by two goroutines for one token at once, but by several for several tokens. It must
// return when its context ends, and its errors must not quote the secret.
type SecretFunc func(ctx context.Context) (string, error)

// Secret returns a SecretFunc of a secret that does not change.
func Secret(secret string) SecretFunc {
	return func(context.Context) (string, error) {
		if secret == "" {
			return "", errors.New("outbound: the secret is empty")
		}
		return secret, nil
	}
}

// maxSecretFile bounds a file with a secret, in bytes.
const maxSecretFile = 64 << 10

// SecretFile returns a SecretFunc that reads a file, such as a mounted Kubernetes
// secret. The file is opened by its path each time, so a swapped symlink is followed.
// One line break at its end is left out.
//
// While the file is missing, unreadable or empty, as in the middle of a change, the last
// secret that was read is used.
func SecretFile(path string) SecretFunc {
	var mu sync.Mutex
	last := ""
	return func(context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		secret, err := readSecret(path)
		if err == nil {
			last = secret
		}
		if last != "" {
			return last, nil
		}
		return "", err
	}
}

func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("outbound: secret: %w", err)
	}
	if !info.Mode().IsRegular() { // opening a pipe could block
		return "", fmt.Errorf("outbound: secret: %s is not a regular file", path)
	}
	file, err := os.Open(path) //nolint:gosec // the path is the app's configuration
	if err != nil {
		return "", fmt.Errorf("outbound: secret: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err != nil {
		return "", fmt.Errorf("outbound: secret: %w", err)
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case secret == "":
		return "", fmt.Errorf("outbound: secret: %s is empty", path)
	case len(text) > maxSecretFile:
		return "", fmt.Errorf("outbound: secret: %s is larger than %d bytes", path, maxSecretFile)
	}
	return secret, nil
}

// SecretEnv returns a SecretFunc that reads an environment variable of this process.
func SecretEnv(name string) SecretFunc {
	return func(context.Context) (string, error) {
		if secret := os.Getenv(name); secret != "" {
			return secret, nil
		}
		return "", fmt.Errorf("outbound: secret: the environment variable %s is empty", name)
	}
}
