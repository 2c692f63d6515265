package service

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The headings of the page where the settings of example/caller and example/gateway begin.
const caller, theGateway = "\n## The caller\n", "\n## The gateway\n"

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
		page, _, ok := strings.Cut(settingsPage(t), caller)
		if !ok {
			t.Errorf("settings.md has no heading %s", caller)
		}
		wantNamed(t, out.String(), page)
	}
	var out strings.Builder
	if helped, err := Help("issuer", nil, &out); helped || err != nil || out.Len() > 0 {
		t.Errorf("no arguments: %v, %v", helped, err)
	}
	if helped, err := Help("issuer", []string{"serve"}, &out); helped || err == nil || out.Len() > 0 {
		t.Errorf("an argument: %v, %v", helped, err)
	}
}

func TestCallerHelp(t *testing.T) {
	for _, arg := range []string{"help", "-h", "--help"} {
		var out strings.Builder
		if helped, err := CallerHelp([]string{arg}, &out); !helped || err != nil {
			t.Fatalf("%q: %v, %v", arg, helped, err)
		}
		_, page, _ := strings.Cut(settingsPage(t), caller)
		page, _, _ = strings.Cut(page, theGateway)
		wantNamed(t, out.String(), page)
	}
	var out strings.Builder
	if helped, err := CallerHelp(nil, &out); helped || err != nil || out.Len() > 0 {
		t.Errorf("no arguments: %v, %v", helped, err)
	}
	if helped, err := CallerHelp([]string{"call"}, &out); helped || err == nil || out.Len() > 0 {
		t.Errorf("an argument: %v, %v", helped, err)
	}
}

func TestGatewayHelp(t *testing.T) {
	for _, arg := range []string{"help", "-h", "--help"} {
		var out strings.Builder
		if helped, err := GatewayHelp([]string{arg}, &out); !helped || err != nil {
			t.Fatalf("%q: %v, %v", arg, helped, err)
		}
		_, page, _ := strings.Cut(settingsPage(t), theGateway)
		wantNamed(t, out.String(), page)
	}
	var out strings.Builder
	if helped, err := GatewayHelp(nil, &out); helped || err != nil || out.Len() > 0 {
		t.Errorf("no arguments: %v, %v", helped, err)
	}
	if helped, err := GatewayHelp([]string{"serve"}, &out); helped || err == nil || out.Len() > 0 {
		t.Errorf("an argument: %v, %v", helped, err)
	}
}

func settingsPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../.github/docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// wantNamed wants every setting of the tables of a page in a help.
func wantNamed(t *testing.T, help, page string) {
	t.Helper()
	found := 0
	for line := range strings.Lines(page) {
		names, _, isRow := strings.Cut(strings.TrimPrefix(line, "| `"), " | ")
		if !isRow || !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, name := range regexp.MustCompile(`[A-Z][A-Z0-9_]+`).FindAllString(names, -1) {
			found++
			if !strings.Contains(help, name) {
				t.Errorf("the help does not name %s", name)
			}
		}
	}
	if found < 8 {
		t.Errorf("the page has %d settings", found)
	}
}
