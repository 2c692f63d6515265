package jose

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// hostileHeaders are headers of almost the maximum length. Each makes another part of
// the reader do the most work.
func hostileHeaders() map[string]string {
	const size = maxHeader - 64
	fill := func(unit string) string { return strings.Repeat(unit, size/len(unit)) }
	names := func(format string, n int) string {
		var doc strings.Builder
		for i := range n {
			fmt.Fprintf(&doc, `,`+format, i)
		}
		return doc.String()
	}
	return map[string]string{
		"250 escaped names":  names(`"\u0061`+strings.Repeat("a", 20)+`%03d":0`, 250),
		"250 names":          names(`"`+strings.Repeat("a", 30)+`%03d":0`, 250),
		"short names":        names(`"%x":0`, 1500),
		"one escaped name":   `,"` + fill(`\u0061`) + `":0`,
		"long names":         names(`"\u0061`+strings.Repeat("a", 600)+`%02d":0`, 14),
		"names of 62":        names(`"`+strings.Repeat(`\u0061`, 10)+`%02d":0`, 12) + `,"kid":"` + strings.Repeat(`\u0061`, 250) + `","typ":"` + strings.Repeat(`\u0061`, 60) + `","x":"` + strings.Repeat(`\u0061`, 900) + `"`,
		"escaped kid":        `,"kid":"` + fill(`\u0061`) + `"`,
		"escaped typ":        `,"typ":"` + fill(`\u0061`) + `"`,
		"escaped string":     `,"x":"` + fill(`\u0061`) + `"`,
		"surrogates":         `,"x":"` + fill(`\ud83d\ude00`) + `"`,
		"short escapes":      `,"x":"` + fill(`\n`) + `"`,
		"escaped and broken": `,"x":"` + fill(`\u0061`) + `\q"`,
		"long typ":           `,"typ":"` + fill(`a`) + `"`,
		"array of numbers":   `,"x":[` + fill(`1,`) + `1]`,
		"array of strings":   `,"x":["` + fill(`","`) + `"]`,
		"array of arrays":    `,"x":[` + fill(`[],`) + `[]]`,
		"array of words":     `,"x":[` + fill(`null,`) + `null]`,
		"array of objects":   `,"x":[` + fill(`{},`) + `{}]`,
		"object in object":   `,"x":{` + fill(`"":0,`) + `"":0}`,
		"white space":        `,"x":` + fill(` `) + `0`,
		"long number":        `,"x":` + fill(`1`),
		"not ASCII":          `,"x":"` + fill(`é`) + `"`,
	}
}

func hostileToken(members string) string {
	return encode(`{"alg":"ES256"`+members+`}`) + ".e30.AAAA"
}

// The cost of a forged header is bounded, because its length and its numbers of members
// and values are.
func TestHeaderBounds(t *testing.T) {
	members := func(n int) string {
		var doc strings.Builder
		for i := range n {
			fmt.Fprintf(&doc, `,"m%d":0`, i)
		}
		return doc.String()
	}
	values := func(n int) string { return `,"x":[` + strings.Repeat("0,", n-1) + "0]" }
	within := maxHeader - len(`{"alg":"ES256","x":""}`)
	for name, tt := range map[string]struct {
		members string
		ok      bool
	}{
		"16 members":             {members(15), true},
		"17 members":             {members(16), false},
		"16 members, escaped":    {strings.ReplaceAll(members(15), "m", `\u006d`), true},
		"17 members, escaped":    {strings.ReplaceAll(members(16), "m", `\u006d`), false},
		"64 values":              {values(62), true},
		"65 values":              {values(63), false},
		"65 values, deep":        {`,"x":` + strings.Repeat(`[{"":0,"":`, 15) + values(30)[5:] + strings.Repeat(`}]`, 15), false},
		"a certificate chain":    {`,"x5c":["` + strings.Repeat("M", 1800) + `","` + strings.Repeat("M", 1800) + `"]`, true},
		"maximum length":         {`,"x":"` + strings.Repeat("x", within) + `"`, true},
		"one byte more":          {`,"x":"` + strings.Repeat("x", within+1) + `"`, false},
		"an escaped name of 62":  {`,"` + strings.Repeat(`\u0061`, 10) + "aa" + `":0`, true},
		"an escaped name of 63":  {`,"` + strings.Repeat(`\u0061`, 10) + "aaa" + `":0`, false},
		"a long name, unescaped": {`,"` + strings.Repeat("a", 500) + `":0`, true},
		"kid of 256, escaped":    {`,"kid":"` + strings.Repeat(`\u0061`, 256) + `"`, true},
		"kid of 257, escaped":    {`,"kid":"` + strings.Repeat(`\u0061`, 257) + `"`, false},
		"typ of 64, escaped":     {`,"typ":"` + strings.Repeat(`\u0061`, 64) + `"`, true},
		"typ of 65":              {`,"typ":"` + strings.Repeat(`a`, 65) + `"`, false},
		"audit, finding 12":      {hostileHeaders()["250 escaped names"], false},
		"an ordinary header":     {`,"kid":"` + strings.Repeat("k", 256) + `","typ":"at+jwt","x5t#S256":"abc","jku":"https://example.com"`, true},
	} {
		if _, err := Parse(hostileToken(tt.members), 0); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The reader stops at the bound and does not read to the end.
	if allocs := testing.AllocsPerRun(100, func() { _, _ = Parse(hostileToken(members(16)), 0) }); allocs > 40 {
		t.Errorf("%v allocations", allocs)
	}
}

// BenchmarkManyMembers shows that the search for duplicate names takes linear time.
func BenchmarkManyMembers(b *testing.B) {
	for _, n := range []int{8, 16, 32, 64, 128, 256} {
		var doc strings.Builder
		for i := range n {
			fmt.Fprintf(&doc, `,"%s%03d":0`, strings.Repeat("a", 30), i)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseObject("{" + doc.String()[1:] + "}"); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/member")
		})
	}
}

// BenchmarkHostileHeader measures a header against one RS256 check, the cheapest of all.
// It reports the median ratio of pairs.
func BenchmarkHostileHeader(b *testing.B) {
	good, public := benchmarkToken("RS256"), testKeys()["RS256"].key.Public()
	timed := func(f func()) float64 {
		began := time.Now()
		for range 10 {
			f()
		}
		return float64(time.Since(began))
	}
	for name, members := range hostileHeaders() {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			token := hostileToken(members)
			b.ReportAllocs()
			var ratios []float64
			for b.Loop() {
				parsing := timed(func() { _, _ = Parse(token, 0) })
				ratios = append(ratios, parsing/timed(func() { floorVerify(public, good) }))
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "x-RS256")
		})
	}
}
