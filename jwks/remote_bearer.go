package jwks

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

const maxBearer = 64 << 10

// sendBearer makes the Remote send the token of RemoteConfig.BearerFile to the origin of
// its URL or issuer.
func (r *Remote) sendBearer(to string, c RemoteConfig) {
	if c.BearerFile == "" || r.refusal != nil {
		return
	}
	client, err := r.client.WithBearer(to, func() (string, error) { return readBearer(c.BearerFile) })
	if err != nil {
		r.refuse(fmt.Errorf("RemoteConfig.BearerFile: %w", err))
		return
	}
	r.client = client
}

// readBearer reads a token. No error quotes it.
func readBearer(path string) (string, error) {
	text, err := readSmall(path, maxBearer)
	if err != nil {
		return "", err
	}
	token := strings.TrimRight(string(text), "\r\n")
	if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", fmt.Errorf("the file %s does not hold one token", path)
	}
	return token, nil
}

// readSmall reads a regular file of limited size, or what a link leads to: Kubernetes
// mounts links.
func readSmall(path string, limit int) (content []byte, err error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() { // opening a pipe would wait
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path) //nolint:gosec // the path is the app's configuration
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	content, err = io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err == nil && len(content) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return content, err
}
