//go:build race

package middleware

// spared is how much more a request may allocate under the race detector, which
// empties pools at random.
const spared = 4
