// Package cases has no code but tests: inputs that broke other libraries of this
// field, from public reports, tried on this one.
package cases
