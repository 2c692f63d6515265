package main

import (
	"fmt"
	"math"
	"slices"
)

// spread is the median and the quartiles of some values: on a shared machine the
// extremes are caused by other programs.
type spread struct{ low, median, high float64 }

func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	return spread{quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75)}
}

// quantile interpolates between the two values around the place asked for.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	place := q * float64(len(sorted)-1)
	below := int(place)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (place-float64(below))*(sorted[above]-sorted[below])
}

// paired combines what two contestants took in the same round, round by round.
// A machine that slows down for a while slows both, so pairs vary less than medians.
func paired(a, b []float64, combine func(a, b float64) float64) []float64 {
	n := min(len(a), len(b))
	pairs := make([]float64, n)
	for i := range n {
		pairs[i] = combine(a[i], b[i])
	}
	return pairs
}

func ratio(a, b float64) float64      { return a / b }
func difference(a, b float64) float64 { return a - b }
func sum(a, b float64) float64        { return a + b }

// reachesOne reports whether a ratio is 1 or less, within the noise: its lower
// quartile is, as far as it is shown.
func (s spread) reachesOne() bool { return s.low < 1.005 }

// ratioSpread is how many times b the contestant a took.
func ratioSpread(a, b []float64) spread { return spreadOf(paired(a, b, ratio)) }

// String is a ratio: the median and the quartiles, in as many decimals as its
// size calls for.
func (s spread) String() string {
	switch {
	case math.IsNaN(s.median):
		return absent
	case s.median >= 100:
		return s.text("%.0f")
	case s.median >= 10:
		return s.text("%.1f")
	case s.median < 0.1:
		return s.text("%.4f")
	}
	return s.text("%.2f")
}

// in is a spread of nanoseconds in another unit.
func (s spread) in(unit scale) spread {
	return spread{s.low / unit.ns, s.median / unit.ns, s.high / unit.ns}
}

// text is the median and the quartiles in a format.
func (s spread) text(form string) string {
	return fmt.Sprintf(form+" ["+form+"–"+form+"]", s.median, s.low, s.high)
}
