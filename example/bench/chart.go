package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// chart is horizontal bars on a logarithmic scale, which shows 1.05 beside 100.
type chart struct {
	title, axis string
	bars        []bar
}

// bar is a ratio with its quartiles.
type bar struct {
	name  string
	value spread
	ours  bool
}

type charts []chart

const (
	labelWidth  = 300.0
	plotWidth   = 430.0
	valueWidth  = 130.0
	barHeight   = 20.0
	barStep     = 26.0
	chartMargin = 20.0
)

// svg stacks the charts on a page. The page follows the reader's light or dark
// scheme and has a background of its own.
func (all *charts) svg() string {
	var body strings.Builder
	y := chartMargin
	for _, c := range *all {
		y = c.draw(&body, y)
	}
	width := labelWidth + plotWidth + valueWidth
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="system-ui, sans-serif" font-size="13" role="img">
<title>m2m and other libraries, as ratios</title>
<style>
.page { fill: #ffffff } text { fill: #24292f } .axis { stroke: #8c959f } .peer { fill: #8c959f } .ours { fill: #1f883d } .range { stroke: #24292f }
@media (prefers-color-scheme: dark) { .page { fill: #0d1117 } text { fill: #e6edf3 } .ours { fill: #3fb950 } .range { stroke: #e6edf3 } }
</style>
<rect class="page" width="100%%" height="100%%" rx="6"/>
%s</svg>
`, width, y, body.String())
}

func (c chart) draw(out *strings.Builder, y float64) (below float64) {
	low, high := c.limits()
	place := func(value float64) float64 {
		return labelWidth + plotWidth*(math.Log(value/low)/math.Log(high/low))
	}
	fmt.Fprintf(out, `<text x="10" y="%.0f" font-weight="bold" font-size="15">%s</text>`+"\n", y+5, html.EscapeString(c.title))
	y += 22
	top := y
	for _, b := range c.bars {
		class := "peer"
		if b.ours {
			class = "ours"
		}
		end, middle := place(b.value.median), y+barHeight/2
		fmt.Fprintf(out, `<text x="%.0f" y="%.0f" text-anchor="end">%s</text>`, labelWidth-8, middle+5, html.EscapeString(b.name))
		fmt.Fprintf(out, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.0f"/>`, class, labelWidth, y, max(1, end-labelWidth), barHeight)
		fmt.Fprintf(out, `<line class="range" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, place(b.value.low), place(b.value.high), middle, middle)
		fmt.Fprintf(out, `<text x="%.1f" y="%.0f">%s</text>`+"\n", max(end, place(b.value.high))+6, middle+5, b.label())
		y += barStep
	}
	fmt.Fprintf(out, `<line class="axis" x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f"/>`, labelWidth, labelWidth, top-4, y)
	for _, tick := range ticks(low, high) {
		fmt.Fprintf(out, `<line class="axis" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, place(tick), place(tick), y, y+4)
		fmt.Fprintf(out, `<text x="%.1f" y="%.0f" text-anchor="middle" font-size="11">%g</text>`, place(tick), y+17, tick)
	}
	fmt.Fprintf(out, `<text x="%.0f" y="%.0f" font-size="11">%s</text>`+"\n", labelWidth, y+34, html.EscapeString(c.axis+", logarithmic scale"))
	return y + 34 + 2*chartMargin
}

func (b bar) label() string {
	if b.value.median >= 100 {
		return fmt.Sprintf("%.0f", b.value.median)
	}
	return fmt.Sprintf("%.2f", b.value.median)
}

// limits returns the ends of the axis. It begins at 1, the contestant that all are
// compared with, or just below the fastest.
func (c chart) limits() (low, high float64) {
	low, high = math.Inf(1), 0
	for _, b := range c.bars {
		low, high = min(low, b.value.low), max(high, b.value.high)
	}
	if low >= 1 {
		return 1, high * 1.02
	}
	return low / 1.12, high * 1.02
}

// ticks are 1, 1.2, 1.5, 2, 3 and 5 of each power of ten, or 1 alone where they
// would crowd.
func ticks(low, high float64) (at []float64) {
	steps := []float64{1, 1.2, 1.5, 2, 3, 5}
	if high/low > 50 {
		steps = []float64{1}
	}
	for power := math.Pow(10, math.Floor(math.Log10(low))); power <= high; power *= 10 {
		for _, step := range steps {
			if tick := math.Round(step*power*1e6) / 1e6; tick >= low && tick <= high {
				at = append(at, tick)
			}
		}
	}
	return at
}

// ratioChart compares contestants with a floor, the quickest first.
func ratioChart(title, axis, floorName string, all []series, names, ours []string) chart {
	c := chart{title: title, axis: axis}
	for _, name := range names {
		s := ratioSpread(named(all, name).ns, named(all, floorName).ns)
		if !math.IsNaN(s.median) {
			c.bars = append(c.bars, bar{strings.NewReplacer("*", "", "`", "").Replace(name), s, slices.Contains(ours, name)})
		}
	}
	slices.SortStableFunc(c.bars, func(a, b bar) int {
		return int(math.Copysign(1, a.value.median-b.value.median))
	})
	return c
}

func (all *charts) add(c chart) {
	if len(c.bars) > 0 {
		*all = append(*all, c)
	}
}

func (all *charts) validated(results map[string][]series) {
	names := []string{lean, m2mFirst}
	for _, p := range peers {
		names = append(names, p.name)
	}
	for _, alg := range algorithms {
		all.add(ratioChart("Validation, "+alg+": first sight of a token", "time / (base64 + stdlib signature check)",
			floor, results[alg], names, []string{m2mFirst}))
	}
	again := append([]string{noAuth, cached, m2mAgain}, names...)
	all.add(ratioChart("The same token again, ES256", "time / m2m's", m2mAgain, results["ES256"],
		slices.DeleteFunc(again, func(name string) bool { return name == m2mFirst }), []string{m2mAgain}))
}

func (all *charts) issued(results map[string][]series) {
	names := append([]string{issueLean, issueMemory, issueSQLite, issuePG}, issuePeers...)
	for _, alg := range algorithms {
		all.add(ratioChart("Issuance, "+alg+": POST /token", "time / (stdlib sign + SHA-256)", issueFloor, results[alg], names,
			[]string{issueMemory, issueSQLite, issuePG}))
	}
}
