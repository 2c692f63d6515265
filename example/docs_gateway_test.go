//go:build !nosqlite

package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestDocsGateway runs the commands of gateway.md against example/gateway, and then those
// that the gateway itself prints.
func TestDocsGateway(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s IS NOT INSTALLED: the commands of gateway.md are not run", tool)
		}
	}
	p, _, _ := startGateway(t)
	script := ""
	for _, match := range regexp.MustCompile(`(?m)^ {2}((?:ADMIN_)?SECRET=\S+)$`).FindAllStringSubmatch(p.said(), -1) {
		script += match[1] + "\n"
	}
	for _, block := range fencedBlocks(pages(t)[docs+"/gateway.md"]) {
		if block.info == "sh run gateway" {
			script += block.text
		}
	}
	_, printed, _ := strings.Cut(p.said(), "Paste this in another terminal:\n")
	printed, _, _ = strings.Cut(printed, "Stop with Ctrl-C.")
	for what, commands := range map[string]string{"gateway.md": strings.ReplaceAll(script, "http://127.0.0.1:8080", p.url), "the gateway": printed} {
		out, err := exec.Command("bash", "-euo", "pipefail", "-c", commands).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s\nof\n%s", what, err, out, commands)
		}
		for _, want := range []string{`"x_client_id":"demo"`, `"path":"/orders/1"`, "401 Unauthorized", "403 Forbidden", "400 Bad Request", "policy: 8 rules", "nothing is in shadow"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: the commands do not print %q:\n%s", what, want, out)
			}
		}
	}
}
