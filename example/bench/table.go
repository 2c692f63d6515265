package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// absent is the cell of what was not measured.
const absent = "—"

// table is a Markdown table, its columns padded so that a terminal shows it too.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(out io.Writer) {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(row []string) {
		for i, cell := range row {
			fmt.Fprintf(out, "| %s%s ", cell, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		fmt.Fprintln(out, "|")
	}
	line(t.head)
	rule := make([]string, len(widths))
	for i, width := range widths {
		rule[i] = strings.Repeat("-", width)
	}
	line(rule)
	for _, row := range t.rows {
		line(row)
	}
	fmt.Fprintln(out)
}

// scale is the unit that a table shows times in.
type scale struct {
	name string
	ns   float64
	form string
}

var (
	inNanoseconds  = scale{"ns", 1, "%.0f"}
	inMicroseconds = scale{"µs", 1e3, "%.1f"}
)

func (s scale) format(ns float64) string { return grouped(fmt.Sprintf(s.form, ns/s.ns)) }

// median is a contestant's time.
func (s scale) median(of series) string { return s.format(spreadOf(of.ns).median) }

func count(n int) string { return grouped(strconv.Itoa(n)) }

// grouped puts a space between thousands.
func grouped(number string) string {
	whole, fraction, pointed := strings.Cut(number, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + " " + whole[i:]
	}
	if pointed {
		return whole + "." + fraction
	}
	return whole
}

// compare has a row for each contestant and, for each column of results, its
// time and allocations and its ratio to the floor of that column.
func compare(first, floorName string, unit scale, columns []string, results map[string][]series) *table {
	t := &table{head: []string{first}}
	for _, column := range columns {
		t.head = append(t.head, column+", "+unit.name+" (allocs)", "× floor")
	}
	for i, s := range results[columns[0]] {
		row := []string{s.name}
		for _, column := range columns {
			s := results[column][i]
			if len(s.ns) == 0 {
				row = append(row, absent, s.why)
				continue
			}
			row = append(row, timing(s, unit), ratioSpread(s.ns, named(results[column], floorName).ns).String())
		}
		t.add(row...)
	}
	return t
}

func timing(s series, unit scale) string {
	return unit.median(s) + " (" + strconv.FormatFloat(spreadOf(s.allocs).median, 'f', 0, 64) + ")"
}
