package tool

import (
	"fmt"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// TestExportOddTexts exports clients whose fields have texts that CSV, JSON, a spreadsheet
// or a terminal might read as something else. Each form keeps them or refuses.
func TestExportOddTexts(t *testing.T) {
	t.Parallel()
	odd := []string{
		"=1+1", "@SUM(A1)", "-1", "+1", `\.`, `"`, `""`, `a"b`, "a,b", "a;b", "a\tb", "a\nb", "a\r\nb", "a\rb", "\n", " a", "a ", "\ufeffa", "\u00a0", "a\u00a0b",
		"\u2028", "\u202e", "é", "e\u0301", "日本", "\x7f", "\x1b[2J", "#a", "'a", "null", "true", "0", "1e3", "{}", "[]", "<&>", "%2F", "client_id",
	}
	for n, text := range odd {
		for field, set := range map[string]func(c *registry.Client){
			"id":             func(c *registry.Client) { c.ID = text },
			"name":           func(c *registry.Client) { c.Name = text },
			"audience":       func(c *registry.Client) { c.Audiences = append(c.Audiences, text) },
			"scope":          func(c *registry.Client) { c.Scopes = []string{text, "x"} },
			"introspects":    func(c *registry.Client) { c.Introspects = []string{"y", text} },
			"metadata":       func(c *registry.Client) { c.Metadata = map[string]string{"k": text, "e": ""} },
			"metadata's key": func(c *registry.Client) { c.Metadata = map[string]string{text: "v"} },
		} {
			c := registry.Client{ID: fmt.Sprintf("c%d", n), Audiences: []string{apiURL}}
			set(&c)
			if c.Validate() != nil {
				continue
			}
			from := newBench(t, c)
			for _, form := range [][]string{{"export"}, {"export", "-csv"}} {
				status, out, errs := from.run(form...)
				if status != Done {
					if len(form) == 1 || !strings.Contains(errs, "white space") {
						t.Errorf("%s %q, %q: %s", field, text, form, errs)
					}
					continue
				}
				var got *registry.Client
				if len(form) == 1 {
					to := newBench(t, registry.Client{ID: c.ID})
					to.do("apply", to.file("f", out))
					got = to.client(c.ID)
				} else {
					_, rows, err := readRows(strings.NewReader(out))
					if err != nil || len(rows) != 1 || len(rows[0].problems) > 0 {
						t.Errorf("%s %q, %q: %v, %v", field, text, form, rows, err)
						continue
					}
					got = &rows[0].client
				}
				if changes := differences(&c, got); len(changes) > 0 || c.ID != got.ID {
					t.Errorf("%s %q, %q: %v", field, text, form, changes)
				}
			}
		}
	}
}
