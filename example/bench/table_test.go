package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	results := map[string][]series{
		"A": {
			{name: "floor", ns: []float64{1000, 2000, 1000}, allocs: []float64{1, 1, 1}},
			{name: "it", ns: []float64{1500, 3000, 1500}, allocs: []float64{12, 12, 12}},
			{name: "away", why: "ill"},
		},
	}
	var out strings.Builder
	compare("job", "floor", inNanoseconds, []string{"A"}, results).write(&out)
	want := "" +
		"| job   | A, ns (allocs) | × floor          |\n" +
		"| ----- | -------------- | ---------------- |\n" +
		"| floor | 1 000 (1)      | 1.00 [1.00–1.00] |\n" +
		"| it    | 1 500 (12)     | 1.50 [1.50–1.50] |\n" +
		"| away  | —              | ill              |\n\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

func TestGrouped(t *testing.T) {
	for given, want := range map[string]string{
		"1": "1", "999": "999", "1000": "1 000", "1234567": "1 234 567", "231600.04": "231 600.04", "-123": "-123", "-1234": "-1 234",
	} {
		if got := grouped(given); got != want {
			t.Errorf("%s: %s, want %s", given, got, want)
		}
	}
}

func TestChart(t *testing.T) {
	results := map[string][]series{}
	for _, alg := range algorithms {
		results[alg] = []series{
			{name: noAuth, ns: []float64{1, 1}}, {name: floor, ns: []float64{100, 100}}, {name: m2mFirst, ns: []float64{104, 106}},
			{name: m2mAgain, ns: []float64{2, 2}}, {name: goOIDC, ns: []float64{150, 160}}, {name: jwx, why: "<ill> & away"},
		}
	}
	var c charts
	c.validated(results)
	if len(c) != 4 {
		t.Fatalf("%d charts", len(c))
	}
	if bars := c[0].bars; len(bars) != 2 || !bars[0].ours || bars[0].value.median != 1.05 || bars[1].name != goOIDC {
		t.Errorf("bars %+v", bars)
	}
	svg := c.svg()
	checkSVG(t, svg)
	for _, want := range []string{">1.05<", ">1.55<", ">" + goOIDC + "<", "logarithmic scale", "prefers-color-scheme: dark"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the chart lacks %q:\n%s", want, svg)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, tt := range []struct {
		low, high float64
		want      int
	}{{0.9, 2.1, 4}, {0.5, 1000, 4}, {0.95, 1.06, 1}} {
		if got := ticks(tt.low, tt.high); len(got) != tt.want {
			t.Errorf("from %v to %v: %v", tt.low, tt.high, got)
		}
	}
}

// checkSVG wants well-formed XML with a page and bars.
func checkSVG(t *testing.T, svg string) {
	t.Helper()
	decoder, bars := xml.NewDecoder(strings.NewReader(svg)), 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "rect" {
			bars++
		}
	}
	if bars < 3 || strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Errorf("%d rectangles in\n%s", bars, svg)
	}
}
