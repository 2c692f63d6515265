// Package wycheproof tests package jose with the vectors of Project Wycheproof: tokens,
// keys, key sets and raw signatures, many of them wrong on purpose. It has tests only.
// It is a module of its own because the vectors need a later Go than the library does.
//
//	cd example/wycheproof && go test -v .
package wycheproof
