package outbound

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// WorkloadToken returns an Assertion from a file with a token that the platform renews,
// such as a projected service account token of Kubernetes. The authorization server must
// trust the platform for this client. The token must be for that server: give it the
// issuer as audience.
//
// The file is read for each token request, by the rules of [SecretFile]: a swapped
// symlink is followed, and while the file is missing, empty or half written, the token
// that the server accepted last is used.
func WorkloadToken(path string) Assertion {
	if path == "" {
		return Assertion{mistaken: errors.New("the path for WorkloadToken is empty")}
	}
	f := &secretFile{path: path, read: readWorkloadToken}
	return Assertion{make: func(ctx context.Context, _ assertionRequest) (string, error) { return f.secret(ctx) }}
}

// readWorkloadToken reads a token. What has not the form of one is an error: the file may
// be half written.
func readWorkloadToken(path string) (string, error) {
	text, err := readText(path)
	if err != nil {
		return "", err
	}
	parts := strings.Split(text, ".")
	if !isToken(text) || len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return "", fmt.Errorf("outbound: credential: %s is not a JWT of at most %d bytes", path, maxToken)
	}
	return text, nil
}
