package doctor

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Severity says how bad a finding is.
type Severity int

// The severities. The zero Severity is Unchecked, so one that was not set never reads as
// "all is well".
const (
	Unchecked Severity = iota // it could not be found out
	Good                      // all is well
	Notice                    // worth knowing; nothing is wrong
	Wrong                     // something does not work, or will not soon
)

// String returns the word that a report begins a finding with.
func (s Severity) String() string {
	switch s {
	case Good:
		return "ok"
	case Notice:
		return "note"
	case Wrong:
		return "WRONG"
	default:
		return "not checked"
	}
}

// Finding is one thing that was checked.
type Finding struct {
	Severity Severity
	Check    string // what was checked, such as "metadata": see .github/docs/doctor.md
	Text     string // what was found
	Do       string // what to do about it; empty if there is nothing to do
}

// Report is what Check found, in the order of the checks. The zero Report says that
// nothing could be checked.
type Report struct {
	Findings []Finding
}

// The exit statuses.
const (
	StatusGood      = 0 // nothing is wrong
	StatusWrong     = 1 // at least one finding is Wrong
	StatusUnchecked = 2 // nothing was found to be wrong, and at least one finding is Unchecked
)

// Status returns the exit status for a program.
func (r Report) Status() int {
	switch {
	case r.count(Wrong) > 0:
		return StatusWrong
	case r.count(Unchecked) > 0 || len(r.Findings) == 0:
		return StatusUnchecked
	default:
		return StatusGood
	}
}

// maxShown is how many characters of a text WriteTo writes.
const maxShown = 1000

// shown is a text without control characters and line ends: an address that was asked
// may have sent it.
func shown(text string) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n++; n > maxShown {
			return b.String() + "…"
		}
		if !unicode.IsPrint(r) {
			r = '\ufffd'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// WriteTo writes the report for people, and a last line with the counts.
func (r Report) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for _, f := range r.Findings {
		n, err := fmt.Fprintf(w, "%-11s  %-10s  %s\n", f.Severity, f.Check, shown(f.Text))
		written += int64(n)
		if err == nil && f.Do != "" {
			n, err = fmt.Fprintf(w, "%-11s  %-10s  -> %s\n", "", "", f.Do)
			written += int64(n)
		}
		if err != nil {
			return written, err
		}
	}
	n, err := fmt.Fprintf(w, "\nwrong: %d, not checked: %d, notes: %d, ok: %d\n", r.count(Wrong), r.count(Unchecked), r.count(Notice), r.count(Good))
	return written + int64(n), err
}

func (r Report) count(s Severity) (n int) {
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

func (c *check) add(s Severity, what, text, do string) {
	c.report.Findings = append(c.report.Findings, Finding{s, what, text, do})
}

func (c *check) goodf(what, format string, args ...any) {
	c.add(Good, what, fmt.Sprintf(format, args...), "")
}
