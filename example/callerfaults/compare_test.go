package main

import (
	"os"
	"strconv"
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
	for _, r := range rows {
		t.Run(r.number+" "+r.event, func(t *testing.T) {
			t.Parallel()
			// A fault that the other library no longer has goes from the page.
			if theirs := r.findings[0]; !theirs.fault {
				t.Errorf("x/oauth2 does not have the fault: %s", theirs.text)
			}
			if ours := r.findings[1]; ours.fault {
				t.Errorf("outbound has the fault: %s", ours.text)
			}
		})
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

// The page says that there are ten faults, in order.
func TestTenFaults(t *testing.T) {
	latest := 0
	for _, f := range faults {
		n, err := strconv.Atoi(f.number)
		if err != nil || n != latest && n != latest+1 {
			t.Errorf("fault %s after fault %d", f.number, latest)
		}
		latest = n
	}
	if latest != 10 {
		t.Errorf("there are %d faults", latest)
	}
}
