package service

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestHelp wants every setting of the page in the help, and all but help refused.
func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}} {
		var out strings.Builder
		if helped, err := Help("issuer", args, &out); !helped || err != nil {
			t.Fatalf("%q: %v, %v", args, helped, err)
		}
		if !strings.Contains(out.String(), "issuer -doctor") {
			t.Errorf("the help does not name -doctor:\n%s", &out)
		}
		page, err := os.ReadFile("../../.github/docs/settings.md")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(page)) {
			names, _, isRow := strings.Cut(strings.TrimPrefix(line, "| `"), " | ")
			if !isRow || !strings.HasPrefix(line, "| `") {
				continue
			}
			for _, name := range regexp.MustCompile(`[A-Z][A-Z0-9_]+`).FindAllString(names, -1) {
				if !strings.Contains(out.String(), name) {
					t.Errorf("the help does not name %s", name)
				}
			}
		}
	}
	var out strings.Builder
	if helped, err := Help("issuer", nil, &out); helped || err != nil || out.Len() > 0 {
		t.Errorf("no arguments: %v, %v", helped, err)
	}
	if helped, err := Help("issuer", []string{"serve"}, &out); helped || err == nil || out.Len() > 0 {
		t.Errorf("an argument: %v, %v", helped, err)
	}
}
