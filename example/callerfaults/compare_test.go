package main

import (
	"os"
	"strings"
	"testing"
)

const page = "../../.github/docs/callers-compared.md"

// TestTable puts the faults to both libraries, and compares the table with the page's.
func TestTable(t *testing.T) {
	t.Parallel()
	rows, err := compare(t.Context(), oauth2Library, outboundLibrary)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faulty(rows, 1) {
		t.Errorf("outbound has fault %s: %s", f.number, f.event)
	}
	// A fault that the other library no longer has goes from the page, and a fault that
	// nothing has is tested by nothing.
	if theirs := faulty(rows, 0); len(theirs) != len(faults) {
		t.Errorf("x/oauth2 has %d of %d faults", len(theirs), len(faults))
	}
	var out strings.Builder
	write(&out, rows, oauth2Library, outboundLibrary)
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, after, begins := strings.Cut(string(text), "<!-- go run ./example/callerfaults -->\n")
	shown, _, ends := strings.Cut(after, "<!-- end -->\n")
	if !begins || !ends || shown != out.String() {
		t.Errorf("%s shows\n%s\nwant\n%s", page, shown, out.String())
	}
}
