//go:build unix

package outbound

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Pipes, devices, sockets and folders are refused, and not opened: a pipe would hang.
func TestSecretFileIsARegularFile(t *testing.T) {
	dir := t.TempDir()
	pipe, socket := filepath.Join(dir, "pipe"), filepath.Join(dir, "socket")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Skip(err)
	}
	defer listener.Close()
	for path, kind := range map[string]string{pipe: "a pipe", dir: "a folder", socket: "a socket", "/dev/zero": "a device"} {
		secret, err := SecretFile(path)(t.Context())
		if secret != "" || err == nil || !strings.Contains(err.Error(), path+" is "+kind) {
			t.Errorf("%s: %q, %v", path, secret, err)
		}
	}
}
