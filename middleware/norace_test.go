//go:build !race

package middleware

// spared is how much more a request may allocate under the race detector.
const spared = 0
