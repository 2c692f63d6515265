package main

import (
	"errors"
	"flag"
	"strings"
	"testing"
)

// An argument is not ignored: the run takes 11 s.
func TestUsage(t *testing.T) {
	var out strings.Builder
	if err := usage(nil, &out); err != nil || out.Len() != 0 {
		t.Errorf("%v, and it prints %q", err, &out)
	}
	if err := usage([]string{"-x"}, &out); err == nil || errors.Is(err, flag.ErrHelp) || out.Len() != 0 {
		t.Errorf("-x: %v, and it prints %q", err, &out)
	}
	for _, ask := range []string{"-h", "-help", "--help", "help"} {
		out.Reset()
		if err := usage([]string{ask}, &out); !errors.Is(err, flag.ErrHelp) || out.String() != help {
			t.Errorf("%s: %v, and it prints %q", ask, err, &out)
		}
	}
}
