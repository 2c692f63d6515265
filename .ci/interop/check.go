//go:build ignore

// The checks of the Go clients in this folder: one `ok <what>` line, or exit 1.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
)

func check(what string, got, want any) {
	what = filepath.Base(os.Args[0]) + ": " + what
	if !reflect.DeepEqual(got, want) {
		fmt.Printf("FAIL %s: got %#v, want %#v\n", what, got, want)
		os.Exit(1)
	}
	fmt.Println("ok", what)
}

// must ends the program unless err is nil.
func must(err error) {
	if err != nil {
		fmt.Printf("FAIL %s: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}
