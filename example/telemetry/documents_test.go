package telemetry_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/jwks/event"
)

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

var (
	namedMetric   = regexp.MustCompile(`\bm2m_[a-z_]+`)
	namedSelector = regexp.MustCompile(`(m2m_[a-z_]+)\{([^}]*)\}`)
	namedMatcher  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"`)
	namedGroup    = regexp.MustCompile(`by \(([^)]*)\)`)
)

// checkDocuments compares the names in the dashboard, the rules and the page with
// what is exported.
func checkDocuments(t *testing.T, series map[string]float64) {
	exported := map[string]map[string]bool{} // metric to labels
	for s := range series {
		if exported[base(s)] == nil {
			exported[base(s)] = map[string]bool{}
		}
		for name := range labels(s) {
			exported[base(s)][name] = true
		}
	}
	if len(exported) < 45 {
		t.Fatalf("%d metrics are exported", len(exported))
	}
	page := read(t, "../../.github/docs/telemetry.md")
	for document, text := range map[string]string{"dashboard.json": queries(t), "alerts.yaml": read(t, "alerts.yaml"), "telemetry.md": strings.ReplaceAll(page, `\|`, "|")} {
		named := map[string]bool{}
		for _, name := range namedMetric.FindAllString(text, -1) {
			named[base(name)] = true
			if exported[base(name)] == nil {
				t.Errorf("%s names %s, which is not exported", document, name)
			}
		}
		for name := range exported {
			if !named[name] && document != "alerts.yaml" {
				t.Errorf("%s does not name %s", document, name)
			}
		}
		for _, found := range namedSelector.FindAllStringSubmatch(text, -1) {
			for _, matcher := range namedMatcher.FindAllStringSubmatch(found[2], -1) {
				checkMatcher(t, document, found[1], exported[base(found[1])], matcher[1], matcher[2])
			}
		}
		for _, found := range namedGroup.FindAllStringSubmatch(text, -1) {
			for name := range strings.SplitSeq(found[1], ", ") {
				if !slices.ContainsFunc(slices.Collect(maps.Values(exported)), func(l map[string]bool) bool { return l[name] }) &&
					name != "instance" && name != "job" {
					t.Errorf("%s groups by %q, which no metric has", document, name)
				}
			}
		}
	}
	for alert := range strings.SplitSeq(read(t, "alerts.yaml"), "- alert: ") {
		name, _, _ := strings.Cut(alert, "\n")
		if strings.HasPrefix(name, "M2M") && !strings.Contains(page, "`"+name+"`") {
			t.Errorf("telemetry.md does not name the alert %s", name)
		}
	}
	for _, name := range regexp.MustCompile("`(M2M\\w+)`").FindAllStringSubmatch(page, -1) {
		if !strings.Contains(read(t, "alerts.yaml"), "- alert: "+name[1]+"\n") {
			t.Errorf("there is no alert %s, which telemetry.md names", name[1])
		}
	}
}

var status = regexp.MustCompile(`^[1-5](\d\d|\.\.)$`)

// checkMatcher holds a matcher such as reason=~"a|b" against the closed lists.
func checkMatcher(t *testing.T, document, metric string, has map[string]bool, name, values string) {
	t.Helper()
	if !has[name] {
		t.Errorf("%s: %s has no label %s", document, metric, name)
	}
	for value := range strings.SplitSeq(values, "|") {
		var known bool
		switch name {
		case "reason":
			known = value == "ok" || slices.Contains(event.Reasons(), event.Reason(value))
		case "op":
			known = slices.Contains(declaredOps(t), event.Op(value))
		case "status":
			known = status.MatchString(value)
		case "outcome":
			known = slices.Contains([]string{"ok", "refused", "failed"}, value)
		case "le":
			known = value == "1e-05"
		}
		if !known {
			t.Errorf("%s: %s never has %s=%q", document, metric, name, value)
		}
	}
}

// declaredOps are the operations of package event.
func declaredOps(t *testing.T) []event.Op {
	t.Helper()
	var ops []event.Op
	for _, found := range regexp.MustCompile(`(?m)^\tOp\w+ +Op = "([^"]+)"`).FindAllStringSubmatch(read(t, "../../jwks/event/event.go"), -1) {
		ops = append(ops, event.Op(found[1]))
	}
	if len(ops) < 17 {
		t.Fatalf("only %q are declared", ops)
	}
	return ops
}

// queries are those of the dashboard, a line each.
func queries(t *testing.T) string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title, Type, Description string
			Targets                  []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range dashboard.Panels {
		if p.Type != "row" && (len(p.Targets) == 0 || p.Description == "") {
			t.Errorf("the panel %q lacks a query or a description", p.Title)
		}
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	return strings.Join(all, "\n")
}

// TestPageCode finds every line of the Go block of telemetry.md in the Example, which is
// compiled and run.
func TestPageCode(t *testing.T) {
	t.Parallel()
	_, block, _ := strings.Cut(read(t, "../../.github/docs/telemetry.md"), "```go\n")
	block, _, _ = strings.Cut(block, "```")
	example, lines := "\n"+read(t, "example_test.go"), 0
	for line := range strings.Lines(block) {
		lines++
		if line != "\n" && !strings.Contains(example, "\n\t"+line) {
			t.Errorf("the Example lacks this line of telemetry.md: %s", line)
		}
	}
	if lines < 10 {
		t.Errorf("the block has %d lines", lines)
	}
}
