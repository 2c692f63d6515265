//go:build !nosqlite

package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPrograms runs each program that shows an exchange. It ends by itself, has shown what
// it is about, and has printed no token that works.
func TestPrograms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", dir+"/", "./privatekey", "./mtls", "./dpop", "./workload")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, says := range map[string][]string{
		"privatekey": {`"jwks": {`, `"typ":"client-authentication+jwt"`, "/v1/orders", "a dozen eggs"},
		"mtls":       {`"tls_client_auth_subject_dn"`, "certificate of the client: CN=reporter,O=Example", `"cnf":{"x5t#S256":`, "A thief", "<- 401"},
		"dpop":       {`"dpop_bound_access_tokens"`, `"typ":"dpop+jwt"`, "use_dpop_nonce", `"nonce":"`, `"cnf":{"jkt":`, "A thief", "<- 401"},
		"workload":   {`"workload": [`, `"sub":"system:serviceaccount:billing:reporter"`, "/v1/orders", "a dozen eggs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, filepath.Join(dir, name)).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			said := string(out)
			for _, want := range append(says, "The record of the client", "-> POST /token", "<- 200", "\nDone.\n") {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q:\n%s", want, said)
				}
			}
			if strings.Contains(said, "eyJ") {
				t.Errorf("it prints a token:\n%s", said)
			}
		})
	}
}
